"""`fenglin compat`: Slurm's commands under their own names."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from fenglin.cli.files import replacing
from fenglin.cli.output import write_line
from fenglin.cli.session import command, group
from fenglin.errors import ConflictError

app = group("Put Slurm's commands on the PATH under their own names.")
NAMES = ("sacct", "sbatch", "scancel", "sinfo", "squeue")
_MARK = b"# Made by `fenglin compat install`; `fenglin compat uninstall` removes it."
_CODE = "import sys; from fenglin.cli import main; sys.exit(main(sys.argv[1:]))"
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the commands.")]


@command(app, "install")
def install(folder: Folder) -> None:
    """Put the commands into a folder; then put it in front of the PATH.

    A file of such a name that is not ours is never overwritten: then nothing is installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    foreign = [name for name in NAMES if _is_foreign(folder / name)]
    if foreign:
        what = f"not ours, and not overwritten: {', '.join(foreign)}"
        raise ConflictError(what, where=str(folder), hint="choose an empty folder")
    for name in NAMES:
        with replacing(folder / name) as file:
            file.write(_shim(name))
        (folder / name).chmod(0o755)
    write_line(f'{", ".join(NAMES)} are in {folder}; say: export PATH="{folder.absolute()}:$PATH"')


@command(app, "uninstall")
def uninstall(folder: Folder) -> None:
    """Remove what `install` has put there, and nothing else."""
    ours = [folder / name for name in NAMES if _is_ours(folder / name)]
    for path in ours:
        path.unlink()
    write_line(f"{len(ours)} removed from {folder}")


def _shim(name: str) -> bytes:
    """Return a script that hands its words to ours, whatever folder or PYTHONPATH it is run in."""
    words = shlex.join([sys.executable, "-I", "-c", _CODE, name])
    return b"#!/bin/sh\n" + _MARK + f'\nexec {words} "$@"\n'.encode("utf-8", "surrogateescape")


def _is_ours(path: Path) -> bool:
    """Return whether a file was made by `install`."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return _MARK in file.read(512)


def _is_foreign(path: Path) -> bool:
    """Return whether something else stands there."""
    return (path.is_symlink() or path.exists()) and not _is_ours(path)
