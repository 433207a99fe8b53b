"""The script as it is sent to sites, and its content address, by which a hub knows it again."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

SCRIPT_NAME = "probe.py"


@cache
def read_script() -> bytes:
    """Return the script."""
    return Path(__file__).with_name(SCRIPT_NAME).read_bytes()


@cache
def script_sha256() -> str:
    """Return its content address."""
    return hashlib.sha256(read_script()).hexdigest()
