"""Command of the karst VR example; see karst/tasks.py."""

from __future__ import annotations

import sys

from karst.tasks import assemble, guarded

if __name__ == "__main__":
    sys.exit(guarded(assemble))
