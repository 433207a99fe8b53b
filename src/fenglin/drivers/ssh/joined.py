"""What several nodes tell of one attempt, joined into one observation of an array."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from fenglin.model.reason import Reason
from fenglin.ports.driver import Observation, Presence
from fenglin.runner.host import sights
from fenglin.runner.records import Cursor, Page, read_page

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from fenglin.model.allocation import TaskEnd


class Seen(Struct, frozen=True):
    """What one node told of its part.

    Attributes:
        presence: As in `runner.host.sights`.
        reason: Why it ended early; empty when it did not.
        more: Whether more follows `data`.
        claimed: Whether a runner has it or had it.
        data: Its journal from the cursor on.
        withheld: Tasks whose ends must wait until their artifacts are here.
        spoiled: Tasks whose artifacts cannot be had.
    """

    presence: str
    reason: str = ""
    more: bool = False
    claimed: bool = False
    data: bytes = b""
    withheld: frozenset[int] = frozenset()
    spoiled: frozenset[int] = frozenset()


class Whole(Enum):
    """What the parts make together."""

    UNKNOWN = "unknown"
    ABSENT = "absent"
    RUNNING = "running"
    HALF_STARTED = "half_started"
    HALF_STOPPED = "half_stopped"
    ENDED = "ended"


class Cursors:
    """Positions per node, in one text: `NODE=OFFSET:STARTED:FIRST_MS;…`."""

    def __init__(self, text: str) -> None:
        """Read what `write` wrote; empty text is the start.

        Raises:
            ValueError: it was not made here.
        """
        self._at: dict[str, Cursor] = {}
        for piece in text.split(";") if text else ():
            node, cursor = piece.split("=")
            if not cursor:
                raise ValueError(f"no position of {node!r}")
            self._at[node] = Cursor.parse(cursor)

    def of(self, node: str) -> Cursor:
        """Return a node's position."""
        return self._at.get(node, Cursor())

    def put(self, node: str, cursor: Cursor) -> None:
        """Set a node's position."""
        self._at[node] = cursor

    def write(self) -> str:
        """Return the text."""
        return ";".join(f"{node}={cursor}" for node, cursor in sorted(self._at.items()))

    @property
    def started(self) -> int:
        """Return the number of starts."""
        return sum(cursor.started for cursor in self._at.values())

    @property
    def first_start_ms(self) -> int:
        """Return the time of the first start; 0 for none."""
        return min((c.first_start_ms for c in self._at.values() if c.first_start_ms), default=0)


def whole(parts: Sequence[Seen | None]) -> Whole:
    """Return what parts make together; None is a node that does not answer.

    A node that holds nothing while others have run is one that lost its memory: its part is
    over. One that has only the order is told to go, or, if the others were stopped, to stop.
    """
    if any(seen is None or seen.presence == sights.UNKNOWN for seen in parts):
        return Whole.UNKNOWN
    known = [seen for seen in parts if seen is not None]
    presences = [seen.presence for seen in known]
    if all(presence in (sights.ABSENT, sights.PREPARED) for presence in presences):
        return Whole.ABSENT
    if sights.PREPARED in presences:
        begun = any(seen.claimed or seen.presence == sights.RUNNING for seen in known)
        return Whole.HALF_STARTED if begun else Whole.HALF_STOPPED
    return Whole.RUNNING if sights.RUNNING in presences else Whole.ENDED


def reason_of(parts: Sequence[Seen | None]) -> Reason | None:
    """Return why an ended attempt ended early."""
    for seen in parts:
        if seen is not None and seen.presence == sights.ABSENT:
            return Reason.SITE_LOST
        if seen is not None and seen.reason:
            return _reason(seen.reason)
    return None


def _reason(text: str) -> Reason:
    """Return the reason that a host names; an unknown one is a failed start."""
    return Reason(text) if text in set(Reason) else Reason.START_FAILED


def join(key: str, cursor: str, parts: Mapping[str, Seen | None]) -> Observation:
    """Return the observation of an array.

    Raises:
        ValueError: the cursor or a journal cannot be understood.
    """
    cursors = Cursors(cursor)
    ends: list[TaskEnd] = []
    waits = False
    for node, seen in parts.items():
        if seen is None or not seen.claimed:
            continue
        page, cut = read_until(seen.data, cursors.of(node), seen.withheld)
        waits = waits or cut
        cursors.put(node, page.cursor)
        ends += [spoil(end, seen.spoiled) for end in page.ends]
    state = whole(list(parts.values()))
    if state is Whole.ABSENT:
        return Observation(key, Presence.ABSENT)
    presence = Presence.RUNNING
    if state is Whole.UNKNOWN:
        presence = Presence.UNKNOWN
    elif state is Whole.ENDED and not waits:
        presence = Presence.ENDED
    return Observation(
        key,
        presence,
        tuple(ends),
        cursors.started,
        cursors.first_start_ms,
        cursors.write(),
        reason_of(list(parts.values())) if presence is Presence.ENDED else None,
    )


def read_until(data: bytes, cursor: Cursor, withheld: Collection[int]) -> tuple[Page, bool]:
    """Understand a piece of a journal up to the first end that must wait.

    Returns the page, and whether it was cut.
    """
    if withheld:
        waiting = {str(task).encode() for task in withheld}
        at = 0
        for line in data.split(b"\n"):
            words = line.split(b" ", 2)
            if words[0] == b"E" and len(words) == 3 and words[1] in waiting:
                return read_page(data[:at], cursor), True
            at += len(line) + 1
    return read_page(data, cursor), False


def spoil(end: TaskEnd, spoiled: Collection[int]) -> TaskEnd:
    """Return the end of a task; without its artifacts it has not succeeded."""
    if end.index not in spoiled or end.reason is not None:
        return end
    return replace(end, exit_code=1, reason=Reason.STAGING_FAILED)
