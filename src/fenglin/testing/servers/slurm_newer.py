"""A newer Slurm beside the system's own: Debian 13's packages in a folder of the user's cache.

Its programs run under their own loader and libraries, so neither a container nor a mount is
needed, and tasks are ordinary processes of this machine. Munge is the system's.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import NamedTuple

from fenglin.testing.servers import packages

SUITE = "trixie"
PACKAGES = "slurm-wlm,slurmrestd,slurm-wlm-jwt-plugin"
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
    """Return the release, its scripts written into a folder, or why there is none. Installs it."""
    if why := _install():
        return f"no newer Slurm here: {why}"
    root = cache()
    libraries = next(iter(sorted(root.glob("usr/lib/*-linux-gnu"))), root)
    loader = next(iter(sorted(libraries.glob("ld-linux-*.so.*"))), None)
    if loader is None:
        return f"no newer Slurm here: no loader in {libraries}"
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


def _install() -> str:
    """Install it; return why that failed, empty when it is there."""
    cache().parent.mkdir(parents=True, exist_ok=True)
    with cache().with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (cache() / "usr/sbin/slurmrestd").exists():
            return ""
        if why := packages.install("debootstrap"):
            return why
        draft = cache().with_suffix(".new")
        shutil.rmtree(draft, ignore_errors=True)
        program = shutil.which("debootstrap", path="/usr/sbin:/usr/bin") or "debootstrap"
        command = [program, "--variant=minbase", f"--include={PACKAGES}", SUITE, str(draft)]
        try:
            done = subprocess.run(
                command, capture_output=True, timeout=INSTALL_WITHIN_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"debootstrap: {error}"
        if done.returncode:
            return done.stdout.decode(errors="replace").strip().rpartition("\n")[2]
        shutil.rmtree(cache(), ignore_errors=True)
        draft.rename(cache())
    return ""
