"""Where settlements and reports go: a file, or the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.cli.output import write_bytes
from fenglin.errors import FenglinError

if TYPE_CHECKING:
    from pathlib import Path


def deliver(data: bytes, out: Path | None) -> None:
    """Write a file, whole or not at all; to the terminal without a name.

    Raises:
        FenglinError: the file cannot be written.
    """
    if out is None:
        write_bytes(data)
        return
    from fenglin.cli.files import replacing  # noqa: PLC0415 - only for a file

    try:
        with replacing(out) as file:
            file.write(data)
    except OSError as error:
        raise FenglinError(f"cannot be written: {error.strerror}", where=str(out)) from error
