"""Ranks of one task on several nodes, joined into one end.

A gang's journals are short and are read whole each time; the cursor holds how many tasks have
started and which ends were told. A rank that failed ends the others: its node's runner does so
for its own ranks, for the rest the driver passes it on (`broken`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from fenglin.drivers.ssh.joined import Seen, Whole, reason_of, spoil, whole
from fenglin.model.allocation import TaskEnd
from fenglin.model.reason import Reason
from fenglin.ports.driver import Observation, Presence
from fenglin.quantities.taskset import TaskSet
from fenglin.runner.host.journal import PEER
from fenglin.runner.host.sights import ABSENT, ENDED, LOST_EXIT_CODE
from fenglin.runner.records import Cursor, read_page

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from fenglin.drivers.ssh.parts import Note


class Gangs(Struct, frozen=True):
    """What the journals of all nodes tell together.

    Attributes:
        ends: Ends of tasks all of whose ranks have ended, by index.
        started: Tasks of which a rank has started.
        first_start_ms: Of the first rank; 0 for none.
        broken: Node → tasks whose ranks there are to end, since another has failed.
    """

    ends: tuple[TaskEnd, ...]
    started: int
    first_start_ms: int
    broken: dict[str, frozenset[int]]


def read(note: Note, parts: Mapping[str, bytes], over: Collection[str] = ()) -> Gangs:
    """Join the journals.

    Args:
        note: Which ranks are where.
        parts: Node → its whole journal.
        over: Nodes whose part is over: ranks without an end there will have none.
    """
    ranks: dict[int, dict[str, TaskEnd | None]] = {}
    for part in note.parts:
        for index, _, _ in part.ranks:
            ranks.setdefault(index, {})[part.node] = None
    started: set[int] = set()
    first_ms: list[int] = []
    peers: set[tuple[str, int]] = set()
    for node, data in parts.items():
        page = read_page(data, Cursor())
        first_ms += [page.cursor.first_start_ms] if page.cursor.first_start_ms else []
        started |= _starts(data)
        peers |= {(node, index) for index in _peers(data)}
        for end in page.ends:
            ranks.setdefault(end.index, {})[node] = end
    ends = []
    broken: dict[str, set[int]] = {}
    for index, of_node in sorted(ranks.items()):
        told = {node: end for node, end in of_node.items() if end is not None}
        missing = of_node.keys() - told.keys()
        if told and missing <= set(over):
            ends.append(_joined(index, told, peers, short=bool(missing)))
        elif any(end.reason is not None for end in told.values()):
            for node in missing - set(over):
                broken.setdefault(node, set()).add(index)
    return Gangs(
        tuple(ends),
        len(started),
        min(first_ms, default=0),
        {node: frozenset(tasks) for node, tasks in broken.items()},
    )


def _joined(
    index: int, told: dict[str, TaskEnd], peers: set[tuple[str, int]], *, short: bool
) -> TaskEnd:
    """Return one end: that of the first rank that failed, not as a consequence of another's.

    When ranks are missing (`short`) and no other has failed, their nodes have lost them.
    """
    bad = [end for node, end in told.items() if end.reason and (node, index) not in peers]
    bad = bad or [end for end in told.values() if end.reason]
    verdict = min(bad, key=lambda end: end.started_ms + end.wall_ms, default=None)
    ends = list(told.values())
    lost = (LOST_EXIT_CODE, Reason.RUNNER_LOST) if short else (0, None)
    code, reason = (verdict.exit_code, verdict.reason) if verdict else lost
    return TaskEnd(
        index=index,
        started_ms=min(end.started_ms for end in ends),
        wall_ms=max(end.wall_ms for end in ends),
        exit_code=code,
        reason=reason,
        cpu_ms=sum(end.cpu_ms for end in ends),
        peak_memory_bytes=max(end.peak_memory_bytes for end in ends),
    )


def _starts(data: bytes) -> set[int]:
    """Return the tasks that have started."""
    lines = (line.split(b" ") for line in data.split(b"\n") if line.startswith(b"S "))
    return {int(words[1]) for words in lines if len(words) == 5 and words[-1] == b"."}


def _peers(data: bytes) -> set[int]:
    """Return the tasks that were ended because another rank had failed."""
    lines = (line.split(b" ") for line in data.split(b"\n") if line.startswith(b"E "))
    return {int(w[1]) for w in lines if len(w) == 9 and w[5] == PEER.encode()}


def join(
    note: Note, cursor: str, parts: Mapping[str, Seen | None]
) -> tuple[Observation, dict[str, frozenset[int]]]:
    """Return the observation of gangs, and which ranks are to be ended where.

    Raises:
        ValueError: the cursor or a journal cannot be understood.
    """
    journals = {n: s.data for n, s in parts.items() if s is not None and s.claimed}
    over = [n for n, s in parts.items() if s is not None and s.presence in (ENDED, ABSENT)]
    gangs = read(note, journals, over)
    state = whole(list(parts.values()))
    if state is Whole.ABSENT:
        return Observation(note.key, Presence.ABSENT), {}
    told = TaskSet.parse(cursor.partition("/")[2])
    waiting = {i for seen in parts.values() if seen is not None for i in seen.withheld}
    spoiled = {i for seen in parts.values() if seen is not None for i in seen.spoiled}
    fresh = tuple(
        spoil(end, spoiled)
        for end in gangs.ends
        if end.index not in told and end.index not in waiting
    )
    presence = Presence.RUNNING
    if state is Whole.UNKNOWN:
        presence = Presence.UNKNOWN
    elif state is Whole.ENDED and not waiting:
        presence = Presence.ENDED
    seen = Observation(
        note.key,
        presence,
        fresh,
        gangs.started,
        gangs.first_start_ms,
        f"{gangs.started}/{told | TaskSet.of(end.index for end in fresh)}",
        reason_of(list(parts.values())) if presence is Presence.ENDED else None,
    )
    return seen, gangs.broken
