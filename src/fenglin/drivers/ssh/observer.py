"""One look at all attempts: one call per host, joined by attempt."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from msgspec.structs import replace

from fenglin.drivers.ssh import gangs, joined
from fenglin.drivers.ssh.joined import Cursors, Seen, Whole
from fenglin.drivers.ssh.parts import Note, note_in
from fenglin.drivers.ssh.rounds import Rounds
from fenglin.errors import DriverError, FenglinError
from fenglin.model.reason import Reason
from fenglin.ports.driver import STOP_GRACE_MS, Observation, Presence
from fenglin.runner.host import sights

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fenglin.drivers.ssh.artifacts import Artifacts
    from fenglin.drivers.ssh.parts import Notes
    from fenglin.remote.agent import Remote

_log = structlog.get_logger("fenglin.ssh")

# How long a look waits for its slowest host; those that take longer are silent meanwhile.
PATIENCE_S = 5.0

# Node → key → what it told; None for a node that does not answer.
_Told = dict[str, "dict[str, Seen] | None"]


class Observer:
    """Looks at attempts.

    Attributes:
        unread: Whether the last look left news for the next, since one look reads a page only.
    """

    def __init__(self, remotes: Mapping[str, Remote], notes: Notes, artifacts: Artifacts) -> None:
        """Take the agents, where attempts are, and what fetches artifacts."""
        self._remotes = remotes
        self._notes = notes
        self._artifacts = artifacts
        self._recovered: dict[str, Note] = {}
        self.unread = False
        self._with_artifacts: set[str] = set()
        # A late look was made from older cursors and is of no use.
        self._rounds: Rounds[dict[str, Seen] | None] = Rounds(PATIENCE_S, keep_late=False)

    async def close(self) -> None:
        """Give up looks that are under way."""
        await self._rounds.close()

    async def observe(self, cursors: Mapping[str, str]) -> list[Observation]:
        """Return one observation per key."""
        self.unread = False
        notes: dict[str, Note] = {}
        strange: list[str] = []
        for key in cursors:
            note = await self._noted(key)
            if note is None:
                strange.append(key)
            else:
                notes[key] = note
        found, complete = await self._searched(strange)
        notes.update(found)
        told = await self._told(notes, cursors)
        seen = []
        for key, cursor in cursors.items():
            if key in notes:
                seen.append(await self._one(notes[key], cursor, told))
            else:
                absent = complete and key in strange
                presence = Presence.ABSENT if absent else Presence.UNKNOWN
                seen.append(Observation(key, presence, cursor="" if absent else cursor))
        return seen

    async def recovered(self, key: str) -> Note | None:
        """Return the note of a key that the hub has lost, from the hosts."""
        found, _ = await self._searched([key])
        return found.get(key)

    async def _noted(self, key: str) -> Note | None:
        if key in self._recovered:
            return self._recovered[key]
        try:
            return await asyncio.to_thread(self._notes.find, key)
        except (OSError, DriverError) as error:
            _log.warning("ssh_note", attempt=key, error=str(error))
            return None

    async def _searched(self, keys: list[str]) -> tuple[dict[str, Note], bool]:
        """Look for attempts on all hosts.

        Returns the notes that were found, and whether what was not found is on no host.
        """
        if not keys:
            return {}, True
        asked = {node: dict.fromkeys(keys, 0) for node in self._remotes}
        told = await self._asked(asked)
        complete = all(of_node is not None for of_node in told.values())
        found: dict[str, Note] = {}
        for node, of_node in told.items():
            for key, seen in (of_node or {}).items():
                if seen.presence == sights.ABSENT or key in found:
                    continue
                note = await self._ordered(node, key)
                if note is None:
                    complete = False
                else:
                    found[key] = self._recovered[key] = note
        return found, complete

    async def _ordered(self, node: str, key: str) -> Note | None:
        """Return what the order on a host tells of the parts of its attempt."""
        try:
            _, data = await self._remotes[node].ask("order", key=key)
        except DriverError:
            return None
        return note_in(key, data)

    async def _told(self, notes: Mapping[str, Note], cursors: Mapping[str, str]) -> _Told:
        """Ask each host once for all attempts that it has a part of."""
        asked: dict[str, dict[str, int]] = {}
        for key, note in notes.items():
            try:
                at = Cursors("" if note.gang else cursors[key])
            except ValueError:
                continue
            for part in note.parts:
                offset = 0 if note.gang else at.of(part.node).offset
                asked.setdefault(part.node, {})[key] = offset
        return await self._asked(asked)

    async def _asked(self, asked: Mapping[str, dict[str, int]]) -> _Told:
        calls = {node: partial(self._look, node, keys) for node, keys in asked.items()}
        answers = await self._rounds.ask(calls)
        return {node: answers.get(node) for node in asked}

    async def _look(self, node: str, keys: dict[str, int]) -> dict[str, Seen] | None:
        """Ask one host; None when it does not answer, or not sensibly."""
        remote = self._remotes.get(node)
        if remote is None:
            return None
        try:
            head, data = await remote.ask("look", cursors=keys)
            return self._understood(head, data)
        except (FenglinError, KeyError, TypeError, ValueError):
            return None

    def _understood(self, head: dict[str, Any], data: bytes) -> dict[str, Seen]:
        seen = {}
        at = 0
        for key, presence, reason, more, claimed, artifacts, size in head["found"]:
            piece = data[at : at + int(size)]
            at += int(size)
            seen[str(key)] = Seen(str(presence), str(reason), bool(more), bool(claimed), piece)
            self.unread = self.unread or bool(more)
            if artifacts:
                self._with_artifacts.add(str(key))
        return seen

    async def _one(self, note: Note, cursor: str, told: _Told) -> Observation:
        """Join what the hosts told of one attempt, and do what that asks for."""
        if not note.parts:
            return Observation(note.key, Presence.ENDED, reason=Reason.CANCELLED)
        parts = {part.node: (told.get(part.node) or {}).get(note.key) for part in note.parts}
        try:
            seen, broken = self._join(note, cursor, parts)
            if note.key in self._with_artifacts and any(e.reason is None for e in seen.ends):
                good = [end.index for end in seen.ends if end.reason is None]
                withheld, spoiled = self._artifacts.want(note, good)
                if withheld or spoiled:
                    parts = {
                        node: one and replace(one, withheld=withheld, spoiled=spoiled)
                        for node, one in parts.items()
                    }
                    seen, broken = self._join(note, cursor, parts)
        except (FenglinError, ValueError):
            return Observation(note.key, Presence.UNKNOWN, cursor=cursor)
        await self._repair(note, parts, broken)
        if seen.presence is Presence.ENDED:
            self._with_artifacts.discard(note.key)
        return seen

    def _join(
        self, note: Note, cursor: str, parts: Mapping[str, Seen | None]
    ) -> tuple[Observation, dict[str, frozenset[int]]]:
        if note.gang:
            return gangs.join(note, cursor, parts)
        return joined.join(note.key, cursor, parts), {}

    async def _repair(
        self, note: Note, parts: Mapping[str, Seen | None], broken: dict[str, frozenset[int]]
    ) -> None:
        """Tell hosts what an interrupted start or stop did not tell them, and broken gangs.

        What cannot be told now is told after the next look.
        """
        state = joined.whole(list(parts.values()))
        waiting = [n for n, s in parts.items() if s is not None and s.presence == sights.PREPARED]
        calls = [
            self._remotes[node].ask("peers", key=note.key, tasks=sorted(tasks))
            for node, tasks in broken.items()
        ]
        if state is Whole.HALF_STARTED:
            calls += [self._remotes[node].ask("go", key=note.key) for node in waiting]
        elif state is Whole.HALF_STOPPED:
            grace_ms = note.grace_ms or STOP_GRACE_MS
            calls += [
                self._remotes[node].ask("stop", key=note.key, grace_ms=grace_ms) for node in waiting
            ]
        for problem in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(problem, BaseException):
                _log.warning("ssh_repair", attempt=note.key, error=str(problem))
