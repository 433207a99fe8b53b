"""Totals and output of an attempt, over its nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.drivers.ssh import gangs
from fenglin.model.allocation import Usage
from fenglin.ports.driver import LogChunk
from fenglin.quantities.taskset import TaskSet
from fenglin.runner.records import sum_of, total

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fenglin.drivers.ssh.parts import Note
    from fenglin.remote.agent import Remote


def usage_of(note: Note, journals: Mapping[str, bytes]) -> Usage:
    """Return the sum over all ended tasks; a gang's ranks make one task."""
    if note.gang:
        return sum_of(gangs.read(note, journals, [part.node for part in note.parts]).ends)
    usage = Usage()
    for data in journals.values():
        usage += total(data)
    return usage


async def read_log(
    note: Note, remotes: Mapping[str, Remote], task: int, offset: int, limit: int
) -> LogChunk:
    """Return a piece of a task's output; a rank's follows when the one before it has ended.

    Raises:
        DriverError: a host does not answer.
    """
    passed = 0
    nodes = _nodes_of(note, task)
    for at, node in enumerate(nodes):
        head, data = await remotes[node].ask(
            "log", key=note.key, task=task, offset=max(0, offset - passed), limit=limit
        )
        size = int(head["size"])
        # The size of a finished output is final: what follows it has a fixed offset.
        if data or not head["ended"] or at == len(nodes) - 1:
            after = offset + len(data)
            whole = bool(head["ended"]) and at == len(nodes) - 1 and after >= passed + size
            return LogChunk(data, after, complete=whole)
        passed += size
    return LogChunk(b"", offset, complete=not note.parts)


def _nodes_of(note: Note, task: int) -> list[str]:
    """Return the nodes that a task's ranks are on, by rank."""
    if note.gang:
        ranks = sorted(
            (rank, part.node) for part in note.parts for i, rank, _ in part.ranks if i == task
        )
        return [node for _, node in ranks]
    if len(note.parts) == 1:
        return [note.parts[0].node]
    return [part.node for part in note.parts if task in TaskSet.parse(part.tasks)][:1]
