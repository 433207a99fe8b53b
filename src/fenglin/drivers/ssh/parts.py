"""An attempt as parts, one per node, and the hub's own note of where they went.

The note is written before any host is asked, so that what a host may hold is never forgotten;
should the folder be lost all the same, the order on any host tells of all parts.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from fenglin.errors import DriverError
from fenglin.model.allocation import Share
from fenglin.quantities.taskset import TaskSet
from fenglin.runner.host.order import decode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fenglin.ports.driver import StartOrder

# A node's tasks come in this many pieces from all over the array, so that an array whose tasks
# grow with their index is not long on one node and short on another.
PIECES = 16
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", re.ASCII)


class Part(Struct, frozen=True):
    """What one node runs of an attempt.

    Attributes:
        node: Its name.
        tasks: Task set in text form.
        share: Its slots and cards.
        ranks: (task index, rank, nodes of the gang), for gangs.
    """

    node: str
    tasks: str
    share: Share
    ranks: tuple[tuple[int, int, tuple[str, ...]], ...] = ()


class Note(Struct, frozen=True):
    """Where an attempt is.

    Attributes:
        key: Attempt key.
        parts: By node; none for an attempt that was stopped before it was ever started.
        gang: Whether tasks have a rank on each of several nodes.
        artifacts_dir: Folder on the hub's machine for its artifacts; empty when unknown.
        grace_ms: Between the polite and the final signal.
    """

    key: str
    parts: tuple[Part, ...] = ()
    gang: bool = False
    artifacts_dir: str = ""
    grace_ms: int = 0


def divide(order: StartOrder, where: str) -> Note:
    """Return the parts of an attempt; the same order gives the same parts.

    Raises:
        DriverError: a gang needs more different nodes than the order names.
    """
    parts = _gang_parts(order, where) if order.nodes > 1 else _array_parts(order)
    return Note(order.key, parts, order.nodes > 1, order.artifacts_dir, order.grace_ms)


def _array_parts(order: StartOrder) -> tuple[Part, ...]:
    """Deal the tasks out by slots."""
    lanes = [at for at, share in enumerate(order.shares) for _ in range(share.slots)]
    tasks = TaskSet.parse(order.tasks)
    if len(order.shares) == 1:
        return (Part(order.shares[0].node, order.tasks, order.shares[0]),)
    dealt: list[list[tuple[int, int]]] = [[] for _ in order.shares]
    size = max(1, -(-len(tasks) // (len(lanes) * PIECES)))
    for at, run in enumerate(_pieces(tasks, size)):
        dealt[lanes[at % len(lanes)]].append(run)
    sets = [TaskSet.of(()) if not runs else _joined(runs) for runs in dealt]
    return tuple(
        Part(share.node, str(own), share)
        for share, own in zip(order.shares, sets, strict=True)
        if own
    )


def _pieces(tasks: TaskSet, size: int) -> Iterator[tuple[int, int]]:
    """Yield runs of at most `size` tasks, in rising order."""
    for start, stop in tasks.runs:
        for at in range(start, stop, size):
            yield at, min(stop, at + size)


def _joined(runs: list[tuple[int, int]]) -> TaskSet:
    """Return the set of runs that are sorted and apart, touching ones made one."""
    merged: list[tuple[int, int]] = []
    for start, stop in runs:
        if merged and merged[-1][1] == start:
            merged[-1] = (merged[-1][0], stop)
        else:
            merged.append((start, stop))
    return TaskSet(tuple(merged))


def _gang_parts(order: StartOrder, where: str) -> tuple[Part, ...]:
    """Give each task a fixed gang, and each node its ranks.

    As many gangs run at once as the slots allow. Every node works through its tasks in rising
    order, so the lowest unfinished task always has all its nodes: gangs never wait in a circle.
    """
    left = {share.node: share.slots for share in order.shares}
    gangs: list[tuple[str, ...]] = []
    for _ in range(order.slots):
        # Of the nodes with most slots left, so that what can be done is done.
        names = sorted(left, key=lambda node: (-left[node], node))[: order.nodes]
        if len(names) < order.nodes or not all(left[name] for name in names):
            break
        for name in names:
            left[name] -= 1
        gangs.append(tuple(sorted(names)))
    if not gangs:
        raise DriverError(
            f"a gang of {order.nodes} needs as many nodes, the order names {len(order.shares)}",
            where=where,
        )
    ranks: dict[str, list[tuple[int, int, tuple[str, ...]]]] = {s.node: [] for s in order.shares}
    for at, index in enumerate(_each(TaskSet.parse(order.tasks))):
        gang = gangs[at % len(gangs)]
        for rank, node in enumerate(gang):
            ranks[node].append((index, rank, gang))
    return tuple(
        Part(share.node, str(TaskSet.of(i for i, _, _ in own)), share, tuple(own))
        for share in order.shares
        if (own := ranks[share.node])
    )


def _each(tasks: TaskSet) -> Iterator[int]:
    for start, stop in tasks.runs:
        yield from range(start, stop)


def part_lines(note: Note, addresses: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the lines of an order that tell of all parts, for a hub that lost its note."""
    yield "gang", str(int(note.gang))
    for part in note.parts:
        yield "part", msgspec.json.encode(part).decode()
    for node, address in addresses.items():
        yield "address", f"{node} {address}"


def note_in(key: str, order: bytes) -> Note | None:
    """Return the note that an order on a host tells of; None when it does not.

    Where the artifacts go is not among it: no host decides where the hub writes.
    """
    try:
        values = decode(order)
        parts = tuple(msgspec.json.decode(text, type=Part) for text in values["part"])
        return Note(key, parts, values["gang"] == ["1"], "", int(values["grace_ms"][0]))
    except (KeyError, ValueError, msgspec.MsgspecError):
        return None


class Notes:
    """The notes of one site, on the hub's disk. Synchronous."""

    def __init__(self, directory: Path) -> None:
        """Make the folders.

        Raises:
            OSError: they cannot be made.
        """
        self._active = directory.absolute() / "attempts"
        self._kept = directory.absolute() / "kept"
        self._known: dict[str, Note] = {}
        for folder in (self._active, self._kept):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def find(self, key: str) -> Note | None:
        """Return the note of a key, forgotten or not; None when there is none.

        Raises:
            DriverError: the key is none of ours.
            OSError: it cannot be read now.
        """
        if key in self._known:
            return self._known[key]
        if not _KEY.fullmatch(key):
            raise DriverError(f"{key[:80]!r} is not an attempt key")
        for folder in (self._active, self._kept):
            try:
                data = (folder / key).read_bytes()
            except FileNotFoundError:
                continue
            note = self._known[key] = msgspec.json.decode(data, type=Note)
            return note
        return None

    def is_kept(self, key: str) -> bool:
        """Return whether the attempt was forgotten."""
        return (self._kept / key).exists()

    def write(self, note: Note) -> None:
        """Write a note down for good.

        Raises:
            OSError: the disk refuses.
        """
        draft = self._active / f".{note.key}.{os.urandom(4).hex()}"
        try:
            with draft.open("xb") as file:
                file.write(msgspec.json.encode(note))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._active / note.key)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        self._known[note.key] = note

    def stopped(self) -> list[str]:
        """Return the keys that were stopped before they were started."""
        names = [p.name for p in self._active.iterdir() if not p.name.startswith(".")]
        notes = [self.find(name) for name in names]
        return [note.key for note in notes if note is not None and not note.parts]

    def forget(self, key: str) -> None:
        """Keep the note only to find the output by.

        Raises:
            OSError: the disk refuses.
        """
        try:
            (self._active / key).replace(self._kept / key)
        except FileNotFoundError:
            return
        self._known.pop(key, None)
