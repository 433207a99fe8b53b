"""What a check writes to: problems with the path and, where known, the place in the text.

A check never stops at the first problem. It adds to a `Report` and goes on with the next field,
so that one run shows all that is wrong.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, NamedTuple

from fenglin.errors import InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

Path = tuple[str | int, ...]
# The shown problems fit a few screens; a machine-made document may have a million.
MAX_PROBLEMS = 100
_SHOWN_CHARS = 48
_SUGGESTED_CHARS = 64


class Place(NamedTuple):
    """A position in a text, both 1-based; 0 when unknown."""

    line: int
    column: int


class Mark(NamedTuple):
    """Where a value and the key that names it stand."""

    key: Place
    value: Place


class Found(NamedTuple):
    """One problem before its path has been looked up in a text."""

    path: Path
    what: str
    hint: str
    at_key: bool


class HugeNumber(NamedTuple):
    """Stands for a number too long to be worth converting; no field accepts it."""

    digits: int


class Tree(NamedTuple):
    """Plain data as a reader made it, with positions and what was wrong with the text.

    `broken` means that the data is not worth a check.
    """

    data: object
    marks: Mapping[Path, Mark]
    problems: tuple[Problem, ...] = ()
    broken: bool = False


class Report:
    """Collects problems of one document.

    Attributes:
        now_ms: Unix time against which relative times are reckoned.
        local: Whether paths on the submitter's machine are allowed (before upload).
        names: How often each name of an earlier document of the same file was given; such a
            name may stand for a job id.
        found: Problems so far, at most `MAX_PROBLEMS`.
        count: Number of problems, the unshown ones included.
    """

    __slots__ = ("count", "found", "local", "names", "now_ms")

    def __init__(
        self, now_ms: int, *, local: bool = False, names: Mapping[str, int] | None = None
    ) -> None:
        """Start empty."""
        self.now_ms = now_ms
        self.local = local
        self.names = names
        self.found: list[Found] = []
        self.count = 0

    def add(self, path: Path, what: str, hint: str = "", *, at_key: bool = False) -> None:
        """Note a problem with the value at `path`, or with the key itself."""
        self.count += 1
        if self.count <= MAX_PROBLEMS:
            self.found.append(Found(path, what, hint, at_key))

    def wrong(self, path: Path, value: object, wanted: str, hint: str = "") -> None:
        """Note that a value is not what the field takes."""
        self.add(path, f"expected {wanted}, found {describe(value)}", hint)

    def unknown(
        self, path: Path, known: Collection[str], synonyms: Mapping[str, str] | None = None
    ) -> None:
        """Note a field that does not exist, with the nearest one that does."""
        word = str(path[-1])
        # Far beyond what is shown, a search for likenesses only costs time.
        hint = suggest(word, known, synonyms) if self.count < MAX_PROBLEMS else ""
        self.add(path, f"unknown field {show(word)}", hint, at_key=True)

    def refused(self, path: Path, error: InputError) -> None:
        """Note what a parser of `quantities` or `model` said."""
        self.add(path, error.what, error.hint)


def describe(value: object) -> str:
    """Return a short, printable description of a value of any size."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {show(value)}"
    if isinstance(value, int):
        return str(value) if value.bit_length() <= 96 else "a number beyond any limit"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, HugeNumber):
        return f"a number of {value.digits} digits"
    if isinstance(value, list):
        return "a list"
    return "a mapping" if isinstance(value, dict) else type(value).__name__


def show(text: str) -> str:
    """Return a text in quotes, escaped so that no character can spoil a terminal, and cut."""
    return ascii_safe(text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…")


def ascii_safe(text: str) -> str:
    """Return the quoted form of a text whose unprintable characters are escapes."""
    return repr(text)


def suggest(word: str, known: Collection[str], synonyms: Mapping[str, str] | None = None) -> str:
    """Return `did you mean …?` for the nearest known word, or the empty text."""
    if len(word) > _SUGGESTED_CHARS:
        return ""
    lowered = word.lower().replace("-", "_")
    if synonyms and lowered in synonyms:
        return synonyms[lowered]
    near = get_close_matches(lowered, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return "known: " + ", ".join(sorted(known)) if len(known) <= 12 else ""


def path_text(path: Path) -> str:
    """Return the dotted form, such as `files[2].target`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            shown = part if part.isprintable() and len(part) <= _SHOWN_CHARS else show(part)
            text += f".{shown}" if text else shown
    return text


def locate(report: Report, marks: Mapping[Path, Mark], prefix: Path = ()) -> tuple[Problem, ...]:
    """Return the problems with their places, in the order of the text where that is known."""
    problems = []
    for found in report.found:
        place = _place(found, marks)
        problems.append(
            Problem(
                path_text(prefix + found.path), found.what, found.hint, place.line, place.column
            )
        )
    problems.sort(key=lambda problem: (problem.line, problem.column))
    unshown = report.count - len(report.found)
    if unshown > 0:
        problems.append(Problem(path_text(prefix), f"and {unshown} more problems"))
    return tuple(problems)


def _place(found: Found, marks: Mapping[Path, Mark]) -> Place:
    """Return the place of a problem: its own, or that of the nearest value around it."""
    path = found.path
    mark = marks.get(path)
    if mark is not None:
        return mark.key if found.at_key and mark.key.line else mark.value
    while path:
        path = path[:-1]
        mark = marks.get(path)
        if mark is not None:
            return mark.value
    return Place(0, 0)
