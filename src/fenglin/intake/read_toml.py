"""The TOML reader: values by the standard library, positions by a modest scan for keys."""

from __future__ import annotations

import re
import tomllib
from datetime import date, datetime, time
from typing import TYPE_CHECKING

from fenglin.errors import Problem
from fenglin.intake.limits import MAX_DEPTH, MAX_NODES
from fenglin.intake.report import Mark, Place, Tree

if TYPE_CHECKING:
    from fenglin.intake.report import Path

# The library's time grows with the square of a key's parts; no field needs so many.
_DOTTED = re.compile(r"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){65}""")
_DIGITS = re.compile(r"[0-9][0-9_]{4000}")
_AT = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)
_KEY = re.compile(
    r"""[ \t]*((?:[\w-]+|"[^"\n]*"|'[^'\n]*')(?:[ \t]*\.[ \t]*(?:[\w-]+|"[^"\n]*"|'[^'\n]*'))*)"""
    r"""[ \t]*=[ \t]*"""
)
_HEADER = re.compile(r"[ \t]*(\[\[?)[ \t]*([^\]\n]*?)[ \t]*\]\]?[ \t]*(?:#.*)?$")
_PART = re.compile(r"""[\w-]+|"[^"\n]*"|'[^'\n]*'""")


_ADVICE = {
    "Cannot overwrite a value": "a key stands twice; keep one",
    "Cannot declare ('resources',) twice": "keep one of the two tables",
    "Invalid value": "quote text with double quotes",
    "Invalid statement": "write key = value",
}


class _TooLargeError(Exception):
    """Too deep or too many values."""


def read_toml(text: str) -> Tree:
    """Return the value of a TOML text, with positions of keys at least in tables.

    A text that is no TOML gives a tree whose data is None and whose problem says why.
    """
    text = text.replace("\r\n", "\n")
    dotted = _DOTTED.search(text)
    if dotted:
        return _broken("a key of more than 64 parts", "no field needs that", text, dotted.start())
    try:
        data = _plain(tomllib.loads(text), 0, [0])
    except tomllib.TOMLDecodeError as error:
        match = _AT.fullmatch(str(error))
        what = match[1] if match else str(error)
        line, column = (int(match[2]), int(match[3])) if match and match[2] else _repeated(text)
        problem = Problem("", f"broken TOML: {what[:200]}", _ADVICE.get(what, ""), line, column)
        return Tree(None, {}, (problem,), broken=True)
    except RecursionError:
        return _broken(f"nested deeper than {MAX_DEPTH}", "no field needs that", text, -1)
    except _TooLargeError as error:
        return _broken(str(error), "put large data into files", text, -1)
    except ValueError:
        digits = _DIGITS.search(text)
        at = digits.start() if digits else -1
        return _broken("a number too long, or a date that does not exist", "", text, at)
    return Tree(data, _marks(text)[0])


def _broken(what: str, hint: str, text: str, at: int) -> Tree:
    """Return the tree for a text that is refused at an offset (-1: unknown)."""
    line = text.count("\n", 0, at) + 1 if at >= 0 else 0
    column = at - text.rfind("\n", 0, at) if at >= 0 else 0
    problem = Problem("", f"broken TOML: {what}", hint, line, column)
    return Tree(None, {}, (problem,), broken=True)


def _plain(value: object, depth: int, nodes: list[int]) -> object:
    """Return the value with dates and times as the texts they were written as."""
    nodes[0] += 1
    if depth > MAX_DEPTH:
        raise _TooLargeError(f"nested deeper than {MAX_DEPTH}")
    if nodes[0] > MAX_NODES:
        raise _TooLargeError(f"more than {MAX_NODES} values")
    if isinstance(value, dict):
        return {key: _plain(item, depth + 1, nodes) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, depth + 1, nodes) for item in value]
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return value


def _repeated(text: str) -> tuple[int, int]:
    """Return where the first repeated key stands, (0, 0) when the scan sees none."""
    repeats = _marks(text)[1]
    return repeats[0] if repeats else (0, 0)


def _marks(text: str) -> tuple[dict[Path, Mark], list[Place]]:
    """Return where keys stand, as far as a scan by lines can tell, and where any is repeated."""
    repeats: list[Place] = []
    marks: dict[Path, Mark] = {(): Mark(Place(0, 0), Place(1, 1))}
    counts: dict[Path, int] = {}
    table: Path = ()
    quotes = ""
    for number, line in enumerate(text.split("\n"), 1):
        inside, quotes = bool(quotes), _open_quotes(line, quotes)
        if inside:
            continue
        header = _HEADER.match(line)
        if header:
            table = _parts(header[2])
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
            table = _numbered(table, counts)
            place = Place(number, header.start(1) + 1)
            marks.setdefault(table, Mark(place, place))
            continue
        key = _KEY.match(line)
        if key:
            path = table + _parts(key[1])
            mark = Mark(Place(number, key.start(1) + 1), Place(number, key.end() + 1))
            if marks.setdefault(path, mark) is not mark:
                repeats.append(mark.key)
            for shorter in range(len(table) + 1, len(path)):
                marks.setdefault(path[:shorter], mark)
    return marks, repeats


def _parts(key: str) -> Path:
    """Return the parts of a dotted key."""
    return tuple(part.strip("\"'") for part in _PART.findall(key))


def _numbered(table: Path, counts: dict[Path, int]) -> Path:
    """Return the path of a table with the running number of every array of tables on its way."""
    numbered: list[str | int] = []
    for end in range(1, len(table) + 1):
        numbered.append(table[end - 1])
        if table[:end] in counts:
            numbered.append(counts[table[:end]])
    return tuple(numbered)


def _open_quotes(line: str, quotes: str) -> str:
    """Return the triple quotes that are open at the end of a line."""
    at = 0
    while True:
        if quotes:
            at = line.find(quotes, at)
            if at < 0:
                return quotes
            at, quotes = at + 3, ""
        starts = [(line.find(mark, at), mark) for mark in ('"""', "'''")]
        starts = [start for start in starts if start[0] >= 0]
        if not starts:
            return ""
        at, quotes = min(starts)
        at += 3
