"""Debian packages that test servers need, installed where we are root."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

INSTALL_WITHIN_S = 600.0
LOCK = Path(tempfile.gettempdir()) / "fenglin-packages.lock"


def install(*packages: str) -> str:
    """Install packages; return why they could not be, empty when they are there.

    What fails is tried once more with fresh lists: those of a new machine are often old or empty.
    """
    program = shutil.which("apt-get")
    if os.geteuid() != 0 or program is None:
        return f"apt-get install {' '.join(packages)}"
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    wanted = ["install", "-y", "--no-install-recommends", *packages]
    said = ""
    # One at a time in all test processes; others on the machine are waited for.
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for words in (wanted, ["update"], wanted):
            try:
                done = subprocess.run(
                    [program, "-o", "DPkg::Lock::Timeout=120", *words],
                    env=env,
                    capture_output=True,
                    timeout=INSTALL_WITHIN_S,
                    check=False,
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                return f"{' and '.join(packages)} could not be installed: {error}"
            if words is wanted and not done.returncode:
                return ""
            said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
    return f"{' and '.join(packages)} could not be installed: {said}"
