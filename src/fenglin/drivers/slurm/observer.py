"""What the hub learns of its attempts: one listing for all of them, and their merged journals."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from fenglin.drivers.slurm.attempt import Attempt
from fenglin.errors import DriverError
from fenglin.model.reason import Reason
from fenglin.ports.driver import Observation, Presence
from fenglin.runner.host import claim as claims
from fenglin.runner.host.attempts import RefusedError, closing
from fenglin.runner.host.journal import JOURNAL, NONE
from fenglin.runner.records import Cursor, Page, read_page

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from fenglin.drivers.slurm.cluster import Cluster
    from fenglin.drivers.slurm.ground import Ground
    from fenglin.drivers.slurm.parse import Ended
    from fenglin.drivers.slurm.settings import SlurmSettings
    from fenglin.drivers.slurm.shared import Shared
    from fenglin.drivers.slurm.submitting import Submitter

    Listing = dict[str, dict[int, set[int]]]
    States = tuple[dict[int, Ended], Ended | None]

# One look reads at most this much of one journal, some 5,000 ends; the next cycle reads on.
PAGE_BYTES = 2**18
# After its grace a stopped element has this long to end by itself; then Slurm ends it.
DEAF_S = 15.0
CANCEL_EVERY_S = 30.0
UNREADABLE = (OSError, ValueError, KeyError, IndexError, RefusedError)


class Observer:
    """Looks at the attempts of one site.

    Attributes:
        unread: Whether the last pass left news for the next.
    """

    def __init__(
        self,
        slurm: Cluster,
        ground: Ground,
        shared: Shared,
        submitter: Submitter,
        settings: SlurmSettings,
        prefix: str,
    ) -> None:
        """Take the cluster, the folders, and how the names of our jobs start."""
        self._slurm = slurm
        self._ground = ground
        self._shared = shared
        self._submitter = submitter
        self._poll_s = settings.poll_ms / 1_000
        self._settle_s = settings.lost_after_ms / 1_000
        self._prefix = prefix
        self.unread = False
        self._attempts: dict[str, Attempt] = {}
        self._last: dict[str, Observation] = {}
        self._quiet: dict[str, tuple[str, int]] = {}
        self._listing: Listing = {}
        self._listed_s = float("-inf")
        self._asked_s: dict[str, float] = {}
        self._deaf_s: dict[str, float] = {}
        self._lives = ground.lives
        self._pass = threading.RLock()

    async def observe(self, cursors: Mapping[str, str]) -> list[Observation]:
        """Return one observation per key.

        The listing comes before the journals are read, so that what an element wrote last
        before it left the queue is not missed.
        """
        listing = await self._listed(self._poll_s)
        if not await self._pulled(cursors):
            listing = None
        if self._ground.lives != self._lives:
            self._lives = self._ground.lives
            for key in list(self._attempts):
                self.forget(key)
        seen = await asyncio.to_thread(self._look_all, dict(cursors), listing)
        doubtful = [one.key for one in seen if one.presence is Presence.ABSENT]
        if doubtful:
            # Absence is believed after a listing that was made for it, and is complete.
            fresh = await self._listed(0)
            seen = [self._believed(one, fresh) for one in seen]
        overdue = self._overdue(cursors) if listing is not None else []
        if overdue:
            await self._ask(overdue)
            again = {key: cursors[key] for key in overdue}
            told = {o.key: o for o in await asyncio.to_thread(self._look_all, again, listing)}
            seen = [told.get(one.key, one) for one in seen]
        await self._end_the_deaf(listing)
        return seen

    async def _pulled(self, keys: Collection[str]) -> bool:
        """Take in what elements have written; what cannot be had now proves nothing."""
        try:
            return await self._ground.pull(keys)
        except (DriverError, OSError):
            return False

    def known(self, key: str) -> Attempt | None:
        """Return an attempt that is bound to an array; None when none can be read."""
        with self._pass:
            try:
                return self._attempt(key)
            except UNREADABLE:
                return None

    def forget(self, key: str) -> None:
        """Drop what is remembered of a key."""
        with self._pass:
            for memory in (self._attempts, self._last, self._quiet, self._asked_s, self._deaf_s):
                memory.pop(key, None)

    def stopped(self, key: str, grace_ms: int) -> None:
        """Note that an attempt was asked to end; from when on it counts as deaf."""
        self._deaf_s[key] = time.monotonic() + grace_ms / 1_000 + DEAF_S

    async def _listed(self, age_s: float) -> Listing | None:
        """Return a complete listing that is at most so old; None when Slurm cannot be asked."""
        now_s = time.monotonic()
        if now_s - self._listed_s < age_s:
            return self._listing
        try:
            self._listing = await self._slurm.queue(self._prefix)
        except DriverError:
            self._listed_s = float("-inf")
            return None
        self._listed_s = now_s
        return self._listing

    def _look_all(self, cursors: dict[str, str], listing: Listing | None) -> list[Observation]:
        """Make one pass (in a worker thread)."""
        with self._pass:
            self.unread = False
            return [self._look(key, cursor, listing) for key, cursor in cursors.items()]

    def _look(self, key: str, cursor: str, listing: Listing | None) -> Observation:
        """Read one attempt's news; what cannot be read or understood is UNKNOWN."""
        try:
            attempt = self._attempts.get(key) or self._attempt(key)
            if attempt is None:
                return self._unbound(key, cursor, listing)
            live = None if listing is None else listing.get(key, {}).get(attempt.array, set())
            attempt.merge(live)
            quiet = self._quiet.get(key)
            if quiet == (cursor, attempt.size) and listing is not None:
                return self._last[key]
            seen = self._page(key, attempt.path, cursor, certain=listing is not None)
            if seen.presence is Presence.RUNNING and not seen.ends and seen.cursor == cursor:
                self._quiet[key], self._last[key] = (cursor, attempt.size), seen
        except UNREADABLE:
            self._attempts.pop(key, None)
            return Observation(key, Presence.UNKNOWN, cursor=cursor)
        return seen

    def _attempt(self, key: str) -> Attempt | None:
        """Return the attempt, remembered or read from its folder; None when it is not bound."""
        known = self._attempts.get(key)
        path = known.path if known is not None else self._shared.attempts.folder(key)
        if known is not None or path is None or path.parent != self._shared.attempts.active:
            return known
        claim = claims.read(str(path))
        if claim is None or claim.void:
            return None
        layout, target = self._shared.layout(path)
        self._attempts[key] = attempt = Attempt(path, claim.pid, layout, Path(target))
        return attempt

    def _unbound(self, key: str, cursor: str, listing: Listing | None) -> Observation:
        """Judge an attempt that is bound to no array: void, kept, not submitted, or nowhere."""
        path = self._shared.attempts.folder(key)
        claim = claims.read(str(path)) if path is not None else None
        if claim is not None and claim.void:
            return Observation(key, Presence.ENDED, reason=Reason(claim.void))
        if path is not None and claim is not None:
            return self._page(key, path, cursor, certain=True)
        if listing is None or listing.get(key) or self._submitter.busy(key):
            # A job of that name without a bound folder: its first element will bind it.
            return Observation(key, Presence.UNKNOWN, cursor=cursor)
        return Observation(key, Presence.ABSENT)

    def _page(self, key: str, path: Path, cursor: str, *, certain: bool) -> Observation:
        """Return what the merged journal holds since the cursor."""
        place = Cursor.parse(cursor)
        try:
            file = os.open(path / JOURNAL, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            data = b""
        else:
            try:
                data = os.pread(file, PAGE_BYTES, place.offset)
            finally:
                os.close(file)
        page = _earliest(read_page(data, place), data, place)
        whole = len(data) < PAGE_BYTES
        self.unread = self.unread or not whole
        # A cursor at the very end has the last line behind it.
        word = closing(path) if whole else None
        presence = Presence.RUNNING if word is None else Presence.ENDED
        return Observation(
            key,
            presence if certain or word is not None else Presence.UNKNOWN,
            page.ends,
            page.cursor.started,
            page.cursor.first_start_ms,
            str(page.cursor),
            None if word in (None, NONE) else Reason(word),
        )

    def _believed(self, seen: Observation, fresh: Listing | None) -> Observation:
        """Return ABSENT only if the fresh listing says so too."""
        if seen.presence is not Presence.ABSENT or (fresh is not None and not fresh.get(seen.key)):
            return seen
        return Observation(seen.key, Presence.UNKNOWN, cursor=seen.cursor)

    def _overdue(self, cursors: Mapping[str, str]) -> list[str]:
        """Return attempts with elements that Slurm no longer lists and that say nothing."""
        now_s = time.monotonic()
        found = []
        for key in cursors:
            attempt = self._attempts.get(key)
            due = now_s - self._asked_s.get(key, float("-inf")) >= self._poll_s
            if attempt is None or attempt.done or self._ground.is_late(key):
                continue
            if due and attempt.missing:
                found.append(key)
        return found

    async def _ask(self, keys: list[str]) -> None:
        """Ask Slurm what became of the missing elements of some attempts."""
        for key in keys:
            attempt = self._attempts.get(key)
            if attempt is None:
                continue
            self._asked_s[key] = time.monotonic()
            try:
                states = await self._slurm.states(attempt.array)
                await self._ground.proof(key, list(attempt.missing))
            except DriverError:
                return  # it cannot be asked: nothing is known, nothing is ended
            await asyncio.to_thread(self._close, key, attempt, states)

    def _close(self, key: str, attempt: Attempt, states: States) -> None:
        with self._pass:
            try:
                attempt.close(*states, self._settle_s)
            except UNREADABLE:
                self._attempts.pop(key, None)

    async def _end_the_deaf(self, listing: Listing | None) -> None:
        """Let Slurm end what was asked to stop and has not."""
        now_s = time.monotonic()
        for key, due_s in list(self._deaf_s.items()):
            attempt = self._attempts.get(key)
            if now_s < due_s or attempt is None or not (listing or {}).get(key):
                continue
            self._deaf_s[key] = now_s + CANCEL_EVERY_S
            try:
                await self._slurm.cancel(attempt.array)
            except DriverError:
                return


def _earliest(page: Page, data: bytes, before: Cursor) -> Page:
    """Return the page with the earliest start so far: elements are merged in their own order."""
    known_ms = [before.first_start_ms] if before.first_start_ms else []
    lines = data[: data.rfind(b"\n") + 1].split(b"\n")
    found_ms = [
        int(words[3]) for line in lines if len(words := line.split(b" ")) == 5 and words[0] == b"S"
    ]
    first_ms = min([*known_ms, *found_ms], default=0)
    return replace(page, cursor=replace(page.cursor, first_start_ms=first_ms))
