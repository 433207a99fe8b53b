"""A podman of its own with one small image, made of programs of this machine, for tests.

Needs root, podman and runc; as root on Debian they are installed. Pulls nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from fenglin.runner.host.container import global_options
from fenglin.testing.servers import packages

IMAGE = "localhost/fenglin-test:1"
PACKAGES = ("podman", "runc")
PROGRAMS = ("sh", "cat", "env", "id", "ls", "sleep", "touch")
# What podman needs where there is no systemd, with bounds that a container's own may not exceed.
OPTIONS = (
    "--runtime=runc", "--cgroup-manager=cgroupfs", "--ulimit=nofile=1024:1024",
    "--ulimit=nproc=4096:4096",
)  # fmt: skip


def find_podman() -> str:
    """Return why podman cannot be used here; empty when it can. Installs it where it may."""
    if os.geteuid() != 0:
        return "podman is tried as root only"
    if not _missing():
        return ""
    why = packages.install(*PACKAGES)
    return f"{' and '.join(_missing())} missing: {why}" if _missing() else ""


def _missing() -> list[str]:
    return [name for name in PACKAGES if shutil.which(name) is None]


class PodmanStore:
    """A store of images and containers below a folder.

    Attributes:
        options: For the setting `container_options` of a site.
    """

    def __init__(self, folder: Path) -> None:
        """Take a folder that is empty or not there."""
        self._folder = folder
        # This way of storing mounts nothing that could be left mounted.
        stored = ("--storage-driver=vfs", f"--root={folder}/store", f"--runroot={folder}/run")
        self.options = (*OPTIONS, *stored)

    def make(self) -> str:
        """Import the image and try it; return why that cannot be done, empty when it was."""
        why = find_podman()
        if why:
            return why
        self._folder.mkdir(parents=True, exist_ok=True)
        archive = self._folder / "root.tar"
        self._pack(archive)
        done = self._call("import", str(archive), IMAGE)
        if done.returncode:
            return f"podman cannot be used here: {done.stderr[-300:]}"
        trial = ("run", "--rm", "--network=host", "--pid=host", *OPTIONS[2:], IMAGE, "id")
        done = self._call(*trial)
        return f"podman runs nothing here: {done.stderr[-300:]}" if done.returncode else ""

    def containers(self) -> str:
        """Return the ids of all containers, running or not."""
        return self._call("ps", "--all", "--quiet").stdout

    def close(self) -> None:
        """Remove every container."""
        self._call("rm", "--all", "--force")

    def _call(self, command: str, *words: str) -> subprocess.CompletedProcess[str]:
        options = global_options(list(self.options))
        return subprocess.run(
            ["podman", command, *options, *words],  # noqa: S607 - found by PATH, as a site does
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def _pack(self, archive: Path) -> None:
        """Write the programs, what they load, and the folders that a container is given."""
        found = {name: shutil.which(name) for name in PROGRAMS}
        programs = {name: Path(path).resolve() for name, path in found.items() if path}
        libraries = {path for program in programs.values() for path in _loaded(program)}
        empty = self._folder / "empty"
        empty.mkdir(exist_ok=True)
        with tarfile.open(archive, "w") as tar:
            for name, program in programs.items():
                tar.add(program, f"bin/{name}")
            for path in sorted(libraries):
                tar.add(path.resolve(), str(path).lstrip("/"))
            for name in ("proc", "sys", "dev", "tmp"):
                tar.add(empty, name)


def _loaded(program: Path) -> set[Path]:
    """Return the shared objects that a program needs, by the names under which it looks."""
    words = ["ldd", str(program)]
    told = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60).stdout
    return {Path(word) for word in told.split() if word.startswith("/")}
