"""`%.18i %t` and `jobid:8,state`: what Slurm's format strings say, and rows laid out by them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from fenglin.cli.output import safe
from fenglin.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

DEFAULT_WIDTH = 20
_PERCENT = re.compile(r"%(\.?)(\d{0,4})#?([A-Za-z])")
_NAMED = re.compile(r"([A-Za-z_()-]+)(?::(\.?)(\d{0,4})(.*))?")


class Field(NamedTuple):
    """One thing that can be shown of a row.

    Attributes:
        letter: In `-o`; empty where there is none.
        name: In `-O` and in sacct's `--format`, in lower case.
        head: Head of its column.
        get: Returns the text of a row.
        deep: Whether more of a job must be known than a listing tells.
    """

    letter: str
    name: str
    head: str
    get: Callable[[Any], str]
    deep: bool = False


class Cell(NamedTuple):
    """One field in a layout: its width (0: as long as it is), its side, and the text after it."""

    field: Field
    width: int
    right: bool
    after: str

    def show(self, text: str) -> str:
        """Return a text cut and filled to the width."""
        if self.width:
            text = text[: self.width]
            text = text.rjust(self.width) if self.right else text.ljust(self.width)
        return text + self.after


class Layout(NamedTuple):
    """A line: what stands in front, and the cells."""

    before: str
    cells: tuple[Cell, ...]

    @property
    def deep(self) -> bool:
        """Return whether any field needs more than a listing tells."""
        return any(cell.field.deep for cell in self.cells)

    def lines(self, rows: Iterable[object], *, header: bool) -> list[str]:
        """Return the lines of a table."""
        lines = [self.line([cell.field.head for cell in self.cells])] if header else []
        lines += (self.line([cell.field.get(row) for cell in self.cells]) for row in rows)
        return lines

    def line(self, texts: Sequence[str]) -> str:
        """Return one line."""
        pairs = zip(self.cells, texts, strict=True)
        return self.before + "".join(cell.show(safe(text)) for cell, text in pairs)


def by_percent(text: str, fields: Iterable[Field]) -> Layout:
    """Return the layout of a format such as `%.18i|%t`.

    Raises:
        InputError: a field is unknown, or none is given.
    """
    known = {field.letter: field for field in fields if field.letter}
    found = list(_PERCENT.finditer(text))
    if not found:
        raise InputError(f"the format {text[:64]!r} names no field", hint='write "%i %t"')
    cells = []
    for match, following in zip(found, [*found[1:], None], strict=True):
        field = known.get(match[3])
        if field is None:
            hint = "known are " + " ".join(f"%{letter}" for letter in sorted(known))
            raise InputError(f"the field {match[0]} is not known here", hint=hint)
        end = following.start() if following else len(text)
        cells.append(Cell(field, int(match[2] or 0), bool(match[1]), text[match.end() : end]))
    return Layout(text[: found[0].start()], tuple(cells))


def by_name(text: str, fields: Iterable[Field]) -> Layout:
    """Return the layout of a format such as `jobid:8,name,state:.10`.

    Raises:
        InputError: a field is unknown, or none is given.
    """
    known = {field.name: field for field in fields}
    cells = []
    for part in filter(None, text.split(",")):
        match = _NAMED.fullmatch(part.lstrip())
        if match is None:
            raise InputError(f"{part[:64]!r} is no field", hint="write name, name:20 or name:.20")
        field = find(match[1], known)
        width = int(match[3]) if match[3] else 0 if match[4] else DEFAULT_WIDTH
        cells.append(Cell(field, width, bool(match[2]), match[4] or ""))
    if not cells:
        raise InputError("the format names no field")
    return Layout("", tuple(cells))


def with_last(layout: Layout, name: str, fields: Iterable[Field]) -> Layout:
    """Return a layout with one more column behind the others, so that their places stay."""
    last = layout.cells[-1]
    known = {field.name: field for field in fields}
    more = Cell(find(name, known), 0, False, "")
    return Layout(layout.before, (*layout.cells[:-1], last._replace(after=" "), more))


def find(name: str, known: Mapping[str, Field]) -> Field:
    """Return the field of a name in any case.

    Raises:
        InputError: there is none.
    """
    field = known.get(name.lower())
    if field is None:
        what = f"the field {name[:64]!r} is not known here"
        raise InputError(what, hint="known are " + ", ".join(known))
    return field
