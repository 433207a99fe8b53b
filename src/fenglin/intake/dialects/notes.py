"""What becomes of a foreign field: a native document in the making, and notes on the rest."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, cast

from msgspec import Struct

from fenglin.errors import InputError, InputProblems, Problem
from fenglin.intake.fields import FIELDS
from fenglin.intake.native import JobDocument
from fenglin.intake.report import MAX_PROBLEMS, Mark, Path, Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_NOTES = 1_000
NOWHERE = Place(0, 0)
_ORDER = {key: number for number, key in enumerate(FIELDS)}


class Level(StrEnum):
    """How much of a field is left.

    LOST: the job runs without it, and may run elsewhere, otherwise, or for someone else.
    APPROXIMATED: something near it is asked for instead.
    IGNORED: nothing that the job does depends on it.
    """

    LOST = "lost"
    APPROXIMATED = "approximated"
    IGNORED = "ignored"


class Note(Struct, frozen=True):
    """What became of one field that is not carried over as it is.

    Attributes:
        line: 1-based line in the file; 0 for what the file does not say.
        field: The field as the file calls it.
        level: See `Level`.
        text: What happens instead.
    """

    line: int
    field: str
    level: Level
    text: str


@dataclass(frozen=True, slots=True)
class Converted:
    """One job of a file of any dialect.

    Attributes:
        document: The native document; its places are those of the file that was read.
        notes: What is lost, approximated or ignored, in the order of the lines.
    """

    document: JobDocument
    notes: tuple[Note, ...] = ()


class Draft:
    """A native document in the making.

    Attributes:
        data: The document so far.
        notes: Notes so far, at most `MAX_NOTES` and one that says so.
        problems: What keeps the file from being taken.
        now_ms: Unix time against which relative times are reckoned.
    """

    __slots__ = ("data", "marks", "notes", "now_ms", "problems")

    def __init__(self, now_ms: int) -> None:
        """Start empty."""
        self.data: dict[str, object] = {}
        self.marks: dict[Path, Mark] = {}
        self.notes: list[Note] = []
        self.problems: list[Problem] = []
        self.now_ms = now_ms

    def put(self, path: Path, value: object, place: Place = NOWHERE) -> None:
        """Set a native field; `place` is where the file says so."""
        at = self.data
        for depth, part in enumerate(path[:-1], 1):
            at = cast("dict[str, object]", at.setdefault(str(part), {}))
            self.marks.setdefault(path[:depth], Mark(NOWHERE, place))
        at[str(path[-1])] = value
        self.marks[path] = Mark(place, place)

    def lost(self, place: Place, field: str, text: str) -> None:
        """Note a field that the job runs without."""
        self._note(place, field, Level.LOST, text)

    def approximated(self, place: Place, field: str, text: str) -> None:
        """Note a field of which something near is kept."""
        self._note(place, field, Level.APPROXIMATED, text)

    def ignored(self, place: Place, field: str, text: str) -> None:
        """Note a field that makes no difference."""
        self._note(place, field, Level.IGNORED, text)

    def _note(self, place: Place, field: str, level: Level, text: str) -> None:
        if len(self.notes) < MAX_NOTES:
            self.notes.append(Note(place.line, field, level, text))
        elif len(self.notes) == MAX_NOTES:
            text = f"more than {MAX_NOTES} notes; the rest is not told"
            self.notes.append(Note(0, "", Level.LOST, text))

    def problem(self, place: Place, field: str, what: str, hint: str = "") -> None:
        """Note what keeps the file from being taken."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(field, what, hint, *place))

    def nothing_to_run(self, place: Place, field: str, what: str, hint: str) -> None:
        """Note that no program is named, so that the check of the native job need not say it too.

        The command that is put in its place never runs: a file with a problem is not taken.
        """
        self.problem(place, field, what, hint)
        self.data["command"] = ["true"]

    def refused(self, place: Place, field: str, error: InputError) -> None:
        """Note what a parser of values said."""
        self.problem(place, field, error.what, error.hint)

    def finish(self, source: str, index: int, earlier: Mapping[str, int]) -> Converted:
        """Return the job; native keys in the order of the reference page."""
        data = dict(sorted(self.data.items(), key=lambda pair: _ORDER[pair[0]]))
        document = JobDocument(data, source, index, earlier, self.marks, tuple(self.problems))
        notes = tuple(sorted(self.notes, key=lambda note: note.line))
        return Converted(document, notes)


def refuse_losses(jobs: Iterable[Converted]) -> None:
    """Refuse what is not carried over exactly.

    Raises:
        InputProblems: a field of any of the jobs is lost or approximated.
    """
    listed = list(jobs)
    found = tuple(
        Problem(note.field, f"{note.level}: {note.text}", "", note.line, 1 if note.line else 0)
        for job in listed
        for note in job.notes
        if note.level is not Level.IGNORED
    )
    if found:
        raise InputProblems(listed[0].document.source, found)
