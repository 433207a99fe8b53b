"""Measures Fenglin beside its peers in one run: `make bench`, or see `bench/README.md`."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from bench.program import main

    sys.exit(main())
