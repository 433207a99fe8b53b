"""Command of the karst VR example; see karst/tasks.py."""

from __future__ import annotations

import sys

from karst.tasks import guarded, render

if __name__ == "__main__":
    sys.exit(guarded(render))
