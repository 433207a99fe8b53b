"""Output of tasks: exact bytes for a file or a pipe, harmless text for a terminal."""

from __future__ import annotations

import codecs
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fenglin.cli.output import flush, harmless, write, write_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def log_writer() -> Iterator[Callable[[bytes], None]]:
    """Yield a function that prints pieces of output.

    Bytes that are no UTF-8 and characters that command a terminal appear as escapes there. A
    character cut in two by the pieces is put together again.
    """
    if not sys.stdout.isatty():
        yield write_bytes
        return
    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def put(data: bytes) -> None:
        write(harmless(decoder.decode(data)))
        flush()

    yield put
    write(harmless(decoder.decode(b"", final=True)))
