"""What the hub learns of its attempts: one listing for all of them, and their logs as they grow.

An attempt whose job has a node is followed: its log streams into its spool, and the hub is woken.
What Ray's listing says (a job has failed, is gone) counts only for what the log has not said.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import TYPE_CHECKING

import structlog

from fenglin.drivers.ray.listing import TARGET, VOID
from fenglin.drivers.ray.spool import Attempt
from fenglin.errors import DriverError
from fenglin.model.reason import Reason
from fenglin.ports.driver import Observation, Presence
from fenglin.runner.records import Cursor, read_page

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fenglin.drivers.ray.listing import Lister, Listing
    from fenglin.drivers.ray.rest import Job, RayApi
    from fenglin.drivers.ray.settings import RaySettings
    from fenglin.drivers.ray.spool import Spool

PAGE_BYTES = 2**18
# Ray answers at most 100 such calls at once, of everybody.
MOST_READING = 16
ALL_LINES = -1
LAST_LINES = 40
FIRST_LOOK_S = 0.1
# What is looked for is learned of late by at most this part of the time that it took to come.
LATE = 0.1
UNREADABLE = (OSError, ValueError)
# Jobs that never began: nothing of them ran.
_NEVER_BEGAN = frozenset(
    {
        "RUNTIME_ENV_SETUP_FAILURE",
        "JOB_SUPERVISOR_ACTOR_START_TIMEOUT",
        "JOB_SUPERVISOR_ACTOR_START_FAILURE",
        "JOB_SUPERVISOR_ACTOR_UNSCHEDULABLE",
    }
)

_log = structlog.get_logger("fenglin.ray")


class Observer:
    """Follows the attempts of one site.

    Attributes:
        unread: Whether the last pass left news for the next.
    """

    def __init__(
        self,
        api: RayApi,
        lister: Lister,
        spool: Spool,
        settings: RaySettings,
        wake: Callable[[], None],
    ) -> None:
        """Take the cluster, the folders, and whom to tell of news."""
        self._api = api
        self._lister = lister
        self._spool = spool
        self._poll_s = settings.poll_ms / 1_000
        self._rest_s = max(self._poll_s, FIRST_LOOK_S)
        self._lost_after_s = settings.lost_after_ms / 1_000
        self._wake = wake
        self.unread = False
        self._attempts: dict[str, Attempt] = {}
        self._followers: dict[str, asyncio.Task[None]] = {}
        self._reading = asyncio.Semaphore(MOST_READING)
        self._writing = threading.RLock()

    async def observe(self, cursors: Mapping[str, str]) -> list[Observation]:
        """Return one observation per key."""
        listing = await self._listed(self._poll_s)
        if listing is not None and any(key not in listing.jobs for key in cursors):
            # Absence is believed after a listing that was made for it.
            listing = await self._listed(0)
        if listing is not None:
            for key in cursors:
                job = listing.jobs.get(key)
                if job is not None and self._lister.is_ours(job) and not self._spool.is_kept(key):
                    self.follow(key)
        return await asyncio.to_thread(self._look_all, dict(cursors), listing)

    def follow(self, key: str) -> None:
        """Have an attempt's log brought home, unless that is done or under way."""
        attempt = self._attempts.get(key)
        if key in self._followers or (attempt is not None and attempt.closed):
            return
        task = self._followers[key] = asyncio.create_task(self._follow(key))
        task.add_done_callback(lambda _: self._followers.pop(key, None))

    async def drained(self, key: str) -> None:
        """Wait until all that is left of an attempt whose job is over has come home."""
        while (task := self._followers.get(key)) is not None:
            await asyncio.wait([task])

    def attempt(self, key: str) -> Attempt | None:
        """Return what is known of an attempt that is not forgotten; in a thread.

        Raises:
            OSError, ValueError: it cannot be read now.
        """
        with self._writing:
            return self._attempt(key)

    def bury(self, key: str, reason: Reason) -> None:
        """Close an attempt's journal; in a thread.

        Raises:
            OSError: the disk refuses.
        """
        with self._writing:
            attempt = self._attempt(key, make=True)
            if attempt is not None:
                attempt.bury(reason)

    def forget(self, key: str) -> None:
        """Drop what is remembered of a key."""
        self._attempts.pop(key, None)
        task = self._followers.pop(key, None)
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        """Let go of all lines; the logs stay where they are."""
        tasks = list(self._followers.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- looking ----------------------------------------------------------------------------

    async def _listed(self, age_s: float) -> Listing | None:
        try:
            return await self._lister.get(age_s)
        except DriverError:
            return None

    def _look_all(self, cursors: dict[str, str], listing: Listing | None) -> list[Observation]:
        """Make one pass (in a worker thread)."""
        self.unread = False
        return [self._look(key, cursor, listing) for key, cursor in cursors.items()]

    def _look(self, key: str, cursor: str, listing: Listing | None) -> Observation:
        """Tell one attempt's news; what cannot be read or understood is UNKNOWN."""
        unknown = Observation(key, Presence.UNKNOWN, cursor=cursor)
        job = listing.jobs.get(key) if listing is not None else None
        if job is not None and not self._lister.is_ours(job):
            return unknown
        if self._spool.is_kept(key):
            return Observation(key, Presence.ABSENT)
        try:
            place = Cursor.parse(cursor)
            with self._writing:
                attempt = self._attempt(key, job)
                if attempt is None:
                    return unknown if listing is None else Observation(key, Presence.ABSENT)
                if not attempt.closed:
                    if listing is None:
                        return unknown
                    if job is None:
                        absent = self._missing(key, attempt, listing)
                        if absent is not None:
                            return Observation(key, absent, cursor=cursor)
                    elif VOID in (job.metadata or {}):
                        attempt.bury(Reason.CANCELLED)
                closed, size = attempt.closed, attempt.size
                page = read_page(attempt.page(place.offset, PAGE_BYTES), place)
        except UNREADABLE:
            self._attempts.pop(key, None)
            return unknown
        whole = page.cursor.offset >= size
        self.unread = self.unread or not whole
        return Observation(
            key,
            Presence.ENDED if closed and whole else Presence.RUNNING,
            ends=page.ends,
            started=page.cursor.started,
            first_start_ms=page.cursor.first_start_ms,
            cursor=str(page.cursor),
            reason=page.reason if closed and whole else None,
        )

    def _missing(self, key: str, attempt: Attempt, listing: Listing) -> Presence | None:
        """Judge an attempt that a complete listing lacks; None when it has ended by that.

        In the life of the cluster in which it began, it is not there. In another life it has
        ended with the former, once that one's nodes cannot be at work any more.
        """
        begun = self._spool.begun(key)
        if begun == listing.session or not begun:
            return Presence.ABSENT
        if self._lister.session_age_s < self._lost_after_s:
            return Presence.UNKNOWN
        _log.warning("cluster_lost", attempt=key, was=begun, now=listing.session)
        attempt.bury(Reason.CANCELLED if attempt.stopped else Reason.NODE_REBOOTED)
        return None

    def _attempt(self, key: str, job: Job | None = None, *, make: bool = False) -> Attempt | None:
        """Return an attempt, remembered or from its folder; None when nothing is known of it."""
        known = self._attempts.get(key)
        if known is not None:
            return known
        folder = self._spool.active / key
        if job is None and not make and not folder.is_dir():
            return None
        target = (job.metadata or {}).get(TARGET, "") if job is not None else ""
        known = Attempt(folder, target)
        if job is not None or make:
            self._attempts[key] = known
        return known

    # --- following --------------------------------------------------------------------------

    async def _follow(self, key: str) -> None:
        """Bring an attempt's log home, until nothing follows."""
        wait_s, since_s = FIRST_LOOK_S, time.monotonic()
        while True:
            try:
                job = (await self._lister.get(wait_s)).jobs.get(key)
                if job is None or not self._lister.is_ours(job) or self._spool.is_kept(key):
                    return  # what becomes of it is judged where it is looked for
                attempt = await asyncio.to_thread(self._open, key, job)
                if attempt.closed:
                    return
                if job.over:
                    await self._drain(attempt, key, job)
                    return
                if job.driver_node_id:
                    await self._stream(attempt, key, job.driver_node_id)
                    since_s = time.monotonic()
            except (DriverError, OSError, ValueError) as error:
                _log.info("log_waits", attempt=key, error=str(error))
            wait_s = self._pause_s(since_s)
            await asyncio.sleep(wait_s)

    def _pause_s(self, since_s: float) -> float:
        """Return how long to wait for what has been looked for since then."""
        return min(self._rest_s, max(FIRST_LOOK_S, LATE * (time.monotonic() - since_s)))

    def _open(self, key: str, job: Job) -> Attempt:
        with self._writing:
            attempt = self._attempt(key, job)
            if attempt is None:
                raise ValueError(key)
            return attempt

    async def _stream(self, attempt: Attempt, key: str, node: str) -> None:
        """Read the log as it grows, until it is complete or its job is over."""
        since_s = time.monotonic()
        while True:
            before = attempt.told
            await self._read(attempt, key, node, LAST_LINES if before else ALL_LINES)
            if attempt.gap:
                await self._read(attempt, key, node, ALL_LINES)
            job = (await self._lister.get(self._rest_s)).jobs.get(key)
            if attempt.closed or job is None or job.over:
                return
            if attempt.told > before:
                since_s = time.monotonic()
            await asyncio.sleep(self._pause_s(since_s))

    async def _read(self, attempt: Attempt, key: str, node: str, lines: int) -> None:
        """Read the last lines of the log into the spool."""
        async with self._reading:
            await asyncio.to_thread(self._rewind, attempt)
            async with contextlib.aclosing(self._api.log(key, node, lines)) as pieces:
                async for data in pieces:
                    if await asyncio.to_thread(self._take, attempt, data):
                        self._wake()

    def _rewind(self, attempt: Attempt) -> None:
        with self._writing:
            attempt.rewind()

    def _take(self, attempt: Attempt, data: bytes) -> bool:
        with self._writing:
            return attempt.take(data)

    async def _drain(self, attempt: Attempt, key: str, job: Job) -> None:
        """Read what a job that is over has left, then close its journal if it has not."""
        node, end_s = job.driver_node_id, time.monotonic() + self._lost_after_s
        while node:
            try:
                await self._read(attempt, key, node, ALL_LINES)
                break
            except DriverError as error:
                # The log was on a node; when that is gone, so is what was not read yet.
                if time.monotonic() > end_s or await self._is_dead(node):
                    _log.warning("log_lost", attempt=key, error=str(error))
                    break
                await asyncio.sleep(self._rest_s)
        await asyncio.to_thread(self._close, attempt, job)
        self._wake()

    async def _is_dead(self, node: str) -> bool:
        return not any(one.node_id == node and one.up for one in await self._api.nodes())

    def _close(self, attempt: Attempt, job: Job) -> None:
        """Close the journal of a job that is over."""
        with self._writing:
            reason = Reason.RUNNER_LOST
            if attempt.stopped:
                reason = Reason.CANCELLED
            elif job.error_type in _NEVER_BEGAN:
                reason = Reason.START_FAILED
            if not attempt.closed:
                _log.info("job_over", attempt=attempt.folder.name, why=job.message or job.status)
            attempt.bury(reason)
