# ruff: noqa: PTH100, PTH120
"""The file the interpreter is given: `python -I -S -E launch.py ATTEMPT_DIR`.

Isolated mode leaves our folder off the path; it is added so that `host` loads as a package
of its own, without importing `fenglin`.
"""

import os
import sys

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    main = __import__("host.main", fromlist=["main"]).main
    sys.exit(main(sys.argv[1]))
