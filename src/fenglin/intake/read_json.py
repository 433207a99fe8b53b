"""The thorough JSON reader: positions, duplicate keys, and errors that say what to do."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from typing import TYPE_CHECKING

from fenglin.errors import Problem
from fenglin.intake.limits import MAX_DEPTH, MAX_DIGITS, MAX_NODES
from fenglin.intake.report import HugeNumber, Mark, Place, Tree, path_text, show

if TYPE_CHECKING:
    from fenglin.intake.report import Path

_BLANK = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+"')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?(?![0-9A-Za-z_.+-])")
_WORD = re.compile(r"-?[A-Za-z_][A-Za-z0-9_]*")
_WORDS = {
    "true": True, "false": False, "null": None,
    "NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf"),
}  # fmt: skip


class _BrokenError(Exception):
    """The text is no JSON from here on."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.what)
        self.problem = problem


class _Reader:
    """One pass over a text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.nodes = 0
        self.marks: dict[Path, Mark] = {}
        self.problems: list[Problem] = []
        self.lines = [0, *(match.end() for match in re.finditer("\n", text))]

    def place(self, at: int) -> Place:
        """Return line and column of an offset."""
        line = bisect_right(self.lines, at)
        return Place(line, at - self.lines[line - 1] + 1)

    def broken(self, what: str, hint: str = "") -> _BrokenError:
        """Return the error for the present position."""
        place = self.place(self.at)
        return _BrokenError(Problem("", f"broken JSON: {what}", hint, place.line, place.column))

    def peek(self) -> str:
        """Skip blanks and return the next character, empty at the end."""
        blank = _BLANK.match(self.text, self.at)
        if blank:
            self.at = blank.end()
        return self.text[self.at : self.at + 1]

    def document(self) -> object:
        """Read the one value of the text."""
        value = self.value((), Place(0, 0), 0)
        if self.peek():
            raise self.broken("something follows the end of the document", "remove it")
        return value

    def value(self, path: Path, key: Place, depth: int) -> object:
        """Read one value of any kind."""
        first = self.peek()
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise self.broken(f"more than {MAX_NODES} values", "put large data into files")
        self.marks[path] = Mark(key, self.place(self.at))
        if first in ("{", "["):
            if depth >= MAX_DEPTH:
                raise self.broken(f"nested deeper than {MAX_DEPTH}", "no field needs that")
            return self.mapping(path, depth) if first == "{" else self.sequence(path, depth)
        if first == '"':
            return self.string()
        number = _NUMBER.match(self.text, self.at)
        if number:
            self.at = number.end()
            return _number(number)
        word = _WORD.match(self.text, self.at)
        if word and word[0] in _WORDS:
            self.at = word.end()
            return _WORDS[word[0]]
        raise self.broken(f"expected a value, found {self.here()}", self.advice(first))

    def here(self) -> str:
        """Return what stands at the present position, for messages."""
        return show(self.text[self.at : self.at + 12]) if self.peek() else "the end"

    def advice(self, first: str) -> str:
        """Return a hint for the usual slips."""
        if first == "'":
            return "JSON text stands in double quotes"
        if first in ("/", "#"):
            return "JSON has no comments; YAML has"
        if first in ("}", "]"):
            return "is there a comma too many?"
        return "quote text with double quotes" if first else "is a bracket not closed?"

    def string(self) -> str:
        """Read a string; half surrogate pairs pass, the check of the fields refuses them."""
        match = _STRING.match(self.text, self.at)
        if match is None:
            raise self.broken(
                f"the text {self.here()} is not closed or has a character that must be escaped",
                r"write line ends as \n, quotes as \" and backslashes as \\",
            )
        self.at = match.end()
        decoded: str = json.loads(match[0])
        return decoded

    def mapping(self, path: Path, depth: int) -> dict[str, object]:
        """Read `{…}`; of equal keys the first counts and the others are problems."""
        found: dict[str, object] = {}
        self.at += 1
        if self.peek() == "}":
            self.at += 1
            return found
        while True:
            if self.peek() != '"':
                what = f"expected a key in double quotes, found {self.here()}"
                raise self.broken(what, self.advice(self.peek()))
            place = self.place(self.at)
            key = self.string()
            if self.peek() != ":":
                raise self.broken(f"expected ':' after the key, found {self.here()}")
            self.at += 1
            at = (*path, key)
            if key in found:
                self.twice(at, place, self.marks[at].key)
                kept, self.marks = self.marks, {}
                self.value(at, place, depth + 1)
                self.marks = kept
            else:
                found[key] = self.value(at, place, depth + 1)
            mark = self.peek()
            if mark not in (",", "}"):
                raise self.broken(f"expected ',' or '}}', found {self.here()}")
            self.at += 1
            if mark == "}":
                return found

    def twice(self, path: Path, place: Place, first: Place) -> None:
        """Note a key that stands twice."""
        if len(self.problems) < MAX_DEPTH:
            what = f"the key {show(str(path[-1]))} stands twice"
            hint = f"first in line {first.line}; keep one"
            self.problems.append(Problem(path_text(path), what, hint, place.line, place.column))

    def sequence(self, path: Path, depth: int) -> list[object]:
        """Read `[…]`."""
        found: list[object] = []
        self.at += 1
        if self.peek() == "]":
            self.at += 1
            return found
        while True:
            found.append(self.value((*path, len(found)), Place(0, 0), depth + 1))
            mark = self.peek()
            if mark not in (",", "]"):
                raise self.broken(f"expected ',' or ']', found {self.here()}")
            self.at += 1
            if mark == "]":
                return found


def _number(match: re.Match[str]) -> object:
    """Return an int, a float, or a stand-in for a number of absurd length."""
    if match[1] is None and match[2] is None:
        return int(match[0]) if len(match[0]) <= MAX_DIGITS else HugeNumber(len(match[0]))
    return float(match[0])


def read_json(text: str) -> Tree:
    """Return the value of a JSON text with positions.

    A text that is no JSON gives a tree whose data is None and whose problem says why.
    """
    reader = _Reader(text)
    try:
        data = reader.document()
    except _BrokenError as broken:
        return Tree(None, {}, (*reader.problems, broken.problem), broken=True)
    return Tree(data, reader.marks, tuple(reader.problems))
