"""What commands print: aligned plain text, JSON or YAML, and bytes as they are."""

from __future__ import annotations

import os
import sys
import unicodedata
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PIPE_CLOSED = 141  # as a shell reports a process that SIGPIPE ended
_KEPT_CONTROLS = "\n\r\t"


class Output(StrEnum):
    """Forms of an answer."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class Column(NamedTuple):
    """Head of a column; numbers stand at the right."""

    head: str
    right: bool = False


def safe(text: str) -> str:
    """Return a text on one line in which no character can command a terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def harmless(text: str) -> str:
    """Return a text of many lines in which only line ends and tabs are left as controls."""
    return "".join(
        char if char.isprintable() or char in _KEPT_CONTROLS else _escape(char) for char in text
    )


def _escape(char: str) -> str:
    """Return the visible form of a character, such as an ESC as a backslash, `x1b`."""
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def write(text: str) -> None:
    """Write to standard output.

    Raises:
        typer.Exit: nobody reads any more, which is no error.
    """
    try:
        sys.stdout.write(text)
    except BrokenPipeError:
        _drop_output()
        raise typer.Exit(PIPE_CLOSED) from None
    except UnicodeEncodeError:
        encoding = sys.stdout.encoding
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))


def flush() -> None:
    """Bring what was written to whoever reads it now."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
        raise typer.Exit(PIPE_CLOSED) from None


def write_bytes(data: bytes) -> None:
    """Write bytes to standard output as they are, at once."""
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        _drop_output()
        raise typer.Exit(PIPE_CLOSED) from None


def finish_output(code: int) -> int:
    """Flush at the end; return the exit code."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
        return PIPE_CLOSED
    return code


def _drop_output() -> None:
    """Send the rest nowhere, so that the interpreter's last flush does not complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write_data(value: object, output: Output) -> None:
    """Write a view as JSON or YAML."""
    import msgspec  # noqa: PLC0415 - tables do without

    if output is Output.JSON:
        text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
        write(text + "\n")
        return
    import yaml  # noqa: PLC0415 - slow to load

    plain = msgspec.to_builtins(value)
    write(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))


def write_table(
    columns: Sequence[Column], rows: Iterable[Sequence[str]], *, header: bool = True
) -> None:
    """Write aligned columns, two blanks apart, never wrapped."""
    for line in table_lines(columns, rows, header=header):
        write(line + "\n")


def table_lines(
    columns: Sequence[Column], rows: Iterable[Sequence[str]], *, header: bool = True
) -> list[str]:
    """Return the lines of a table; cells are escaped, an empty one shows as `-`."""
    cells = [[safe(cell) or "-" for cell in row] for row in rows]
    if header:
        cells.insert(0, [column.head for column in columns])
    widths = [max((_width(row[i]) for row in cells), default=0) for i in range(len(columns))]
    lines = []
    for row in cells:
        parts = []
        for cell, column, width in zip(row, columns, widths, strict=True):
            blank = " " * (width - _width(cell))
            parts.append(blank + cell if column.right else cell + blank)
        lines.append("  ".join(parts).rstrip())
    return lines


def write_line(*cells: str) -> None:
    """Write cells on one line, two blanks apart; empty ones are left out."""
    write("  ".join(safe(cell) for cell in cells if cell) + "\n")


def write_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Write `name  value` lines, the values aligned; empty values are left out."""
    shown = [(name, safe(value)) for name, value in fields if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        write(f"{name:<{width}}  {value}\n")


def _width(text: str) -> int:
    """Return how many cells of a terminal a text fills; Chinese characters fill two."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )
