"""Text files line by line: plain or gzip, with whatever is wrong in them noted as findings."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fenglin.errors import NotFoundError, UnavailableError
from fenglin.simulator.trace import Findings

# No line of a trace is longer; what is, would only fill the memory.
LONGEST_LINE = 2**20
PARQUET = b"PAR1"
_GZIP = b"\x1f\x8b"


def numbered_lines(path: Path, findings: Findings) -> Iterator[tuple[int, str]]:
    """Yield lines with their numbers, from 1, without their ends.

    Bytes that are no UTF-8 become `�`. When a compressed file is cut or damaged, what came
    before that is yielded.

    Raises:
        NotFoundError: there is no such file.
        UnavailableError: it cannot be read.
    """
    number = 0
    with opened(path) as file:
        try:
            while line := file.readline(LONGEST_LINE):
                number += 1
                if len(line) == LONGEST_LINE and line[-1:] != b"\n":
                    findings.add("a line of more than 1 MiB", [number])
                    while line and line[-1:] != b"\n":
                        line = file.readline(LONGEST_LINE)
                    continue
                yield number, line.rstrip(b"\r\n").decode("utf-8", "replace")
        except (EOFError, zlib.error, gzip.BadGzipFile):
            note_damage(findings, number + 1)


def note_damage(findings: Findings, line: int) -> None:
    """Note that a compressed file ends early or is damaged from this line on."""
    findings.add("the compressed file ends early or is damaged: what follows is lost", [line])


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader]:
    """Yield a file's bytes, unpacked when it is gzip.

    Raises:
        NotFoundError: there is no such file.
        UnavailableError: it cannot be read.
    """
    try:
        with path.open("rb") as plain:
            if plain.peek(2)[:2] != _GZIP:
                yield plain
                return
            with gzip.GzipFile(fileobj=plain) as zipped:
                yield io.BufferedReader(zipped)
    except FileNotFoundError:
        raise NotFoundError("there is no such file", where=str(path)) from None
    except (EOFError, gzip.BadGzipFile):
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise UnavailableError(f"it cannot be read: {reason}", where=str(path)) from None


def first_bytes(path: Path, count: int = 65_536) -> bytes:
    """Return the beginning of a file, unpacked as far as it can be."""
    with opened(path) as file:
        try:
            return file.read1(count)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            return b""
