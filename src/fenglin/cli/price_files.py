"""Price lists on their way to the hub."""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING

from fenglin.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

# As much as a hub takes.
MOST_BYTES = 256 * 2**20


def body_of(file: Path) -> Path | bytes:
    """Return a price list to send: the file itself, or what it holds if it is packed.

    Raises:
        InputError: it cannot be read, or is too large.
    """
    try:
        if file.suffix != ".gz":
            with file.open("rb"):
                pass
            if file.stat().st_size > MOST_BYTES:
                raise _too_large(file)
            return file
        with gzip.open(file) as packed:
            data = packed.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise InputError(f"the price list cannot be read: {why}", where=str(file)) from error
    if len(data) > MOST_BYTES:
        raise _too_large(file)
    return data


def _too_large(file: Path) -> InputError:
    return InputError(
        "the price list is larger than 256 MiB", where=str(file), hint="split it by provider"
    )
