"""A newer Slurm beside the system's own: Debian 13's packages in a folder of the user's cache.

    python -m fenglin.testing.servers.slurm_newer      # once; needs root and debootstrap

Its programs run under their own loader and libraries, so neither a container nor a mount is
needed, and tasks are ordinary processes of this machine. Munge is the system's.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

SUITE = "trixie"
PACKAGES = "slurm-wlm"
COMMANDS = ("sbatch", "squeue", "scancel", "scontrol", "sinfo", "srun", "sacct")
DAEMONS = ("slurmctld", "slurmd", "slurmstepd", "slurmrestd")
INSTALL_WITHIN_S = 900.0


class Release(NamedTuple):
    """Another release of Slurm.

    Attributes:
        bin: Folder of its programs, as scripts that start them.
        plugins: Folder of its plugins, for slurm.conf.
    """

    bin: Path
    plugins: Path


def cache() -> Path:
    """Return where it is kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(base) / "fenglin" / "slurm-24.11"


def find_newer(folder: Path) -> Release | str:
    """Return the release, its scripts written into a folder, or why there is none."""
    root = cache()
    libraries = next(iter(sorted(root.glob("usr/lib/*-linux-gnu"))), root)
    loader = next(iter(sorted(libraries.glob("ld-linux-*.so.*"))), None)
    if loader is None or not (root / "usr/sbin/slurmctld-wlm").exists():
        return f"no newer Slurm here: run `python -m {__spec__.name}` once, as root on Debian"
    plugins = libraries / "slurm-wlm"
    folder.mkdir(parents=True)
    for name in (*COMMANDS, *DAEMONS):
        place = root / "usr" / ("sbin" if name in DAEMONS else "bin") / name
        if place.is_symlink():
            # An alternative, whose link leads out of our folder.
            place = place.with_name(f"{name}-wlm")
        script = folder / name
        script.write_text(
            f"#!/bin/sh\nexec {loader} --argv0 {script} --library-path {libraries}:{plugins} "
            f'{place} "$@"\n'
        )
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return Release(folder, plugins)


def install() -> str:
    """Install it; return why that failed, empty when it is there."""
    if (cache() / "usr/sbin/slurmctld-wlm").exists():
        return ""
    program = shutil.which("debootstrap", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None or os.geteuid() != 0:
        return "root and debootstrap are needed (apt install debootstrap)"
    draft = cache().with_suffix(".new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.parent.mkdir(parents=True, exist_ok=True)
    command = [program, "--variant=minbase", f"--include={PACKAGES}", SUITE, str(draft)]
    done = subprocess.run(command, capture_output=True, timeout=INSTALL_WITHIN_S, check=False)
    if done.returncode:
        return done.stdout.decode(errors="replace").strip().rpartition("\n")[2]
    draft.rename(cache())
    return ""


if __name__ == "__main__":
    sys.exit(install() or None)
