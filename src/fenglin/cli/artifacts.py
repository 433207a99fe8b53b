"""Kept files of a job: their list, and bringing them to a folder that nothing can leave."""

from __future__ import annotations

import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from fenglin.cli.files import replacing
from fenglin.cli.humane import age, count, now_ms
from fenglin.cli.output import Column, Output, safe, write_data, write_table
from fenglin.errors import DamageError, InputError
from fenglin.quantities.sizes import format_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.client import Client
    from fenglin.wire.views import ArtifactView

_COLUMNS = (Column("SIZE", right=True), Column("AGE", right=True), Column("PATH"))


def show_artifacts(found: Sequence[ArtifactView], output: Output, *, header: bool) -> None:
    """Print the list."""
    if output is not Output.TABLE:
        write_data({"items": found}, output)
        return
    now = now_ms()
    rows = [(format_bytes(one.size_bytes), age(one.modified_ms, now), one.path) for one in found]
    write_table(_COLUMNS, rows, header=header)


def bring(client: Client, job_id: str, found: Sequence[ArtifactView], folder: Path) -> None:
    """Copy kept files below a folder; each appears whole or not at all.

    Every path is checked before the first byte is written.

    Raises:
        InputError: a path or a symbolic link leads out of the folder.
        DamageError: a file came with another size than the hub has listed.
    """
    targets = [_target(folder, one.path) for one in found]
    for one, target in zip(found, targets, strict=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        with client.artifact(job_id, one.path) as pieces, replacing(target) as file:
            size = sum(file.write(piece) for piece in pieces)
            if size != one.size_bytes:
                raise DamageError(
                    f"the file has {size} bytes, listed were {one.size_bytes}",
                    where=f"{job_id}: {one.path}",
                    hint="the job may still be writing it; try again when the job has ended",
                )
    sys.stderr.write(f"{count(len(found), 'file')} in {safe(str(folder))}\n")


def _target(folder: Path, path: str) -> Path:
    """Return where a kept file goes, never outside the folder.

    Raises:
        InputError: the path is absolute, climbs, or passes through a symbolic link.
    """
    parts = path.split("/")
    bad = not path or "\0" in path or any(part in ("", ".", "..") for part in parts)
    target = folder.joinpath(*PurePosixPath(path).parts) if not bad else folder
    passed = [folder.joinpath(*parts[:count]) for count in range(1, len(parts))]
    if bad or any(place.is_symlink() for place in passed):
        raise InputError(
            f"the path {path!r} of a kept file leads out of the folder",
            where=str(folder),
            hint="nothing was written; an honest hub lists no such path, so look at the job",
        )
    return target
