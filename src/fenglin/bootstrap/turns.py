"""Several hubs over one PostgreSQL database: one leads, the others wait and hand requests on.

A hub waits for the lease with its door open. It leads until it is stopped or finds that another
has taken over; then its process ends, loudly, and whoever watches over it starts it again: a hub
that was wrong about leading believes nothing that it has in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar, cast

import structlog

from fenglin.api import create_app
from fenglin.api.forward import Switch, WaitingDoor
from fenglin.engine.meters import Meters
from fenglin.engine.quiet import QuietHub
from fenglin.engine.tokens import Tokens
from fenglin.errors import UnavailableError
from fenglin.storage.identity import SqliteIdentity
from fenglin.storage.store import SqliteStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from fenglin.api import Door
    from fenglin.engine.service import HubService
    from fenglin.intake.hubblock import HubBlock
    from fenglin.ports.clock import Clock
    from fenglin.ports.hub import Hub
    from fenglin.storage.postgres.lease import Lease, Term
    from fenglin.storage.store import SqlStore

    Background = list[Coroutine[None, None, None]]
    Lead = Callable[[Term], AbstractAsyncContextManager[tuple[HubService, Background]]]

T = TypeVar("T")
AWAY_PAUSE_S = 1.0

_log = structlog.get_logger("fenglin.hub")


class Turn:
    """This hub's place among those that share a database.

    Attributes:
        switch: The ASGI application to serve, before and after this hub leads.
        term: Its right to lead, once it has it.
    """

    def __init__(self, lease: Lease, quiet: QuietHub, *, auth: bool) -> None:
        """Take the hand on the lease, and what answers while nobody leads."""
        self._lease = lease
        self._quiet = quiet
        self._auth = auth
        self._threads = ThreadPoolExecutor(1, "fenglin-lease")
        door = create_app(cast("Hub", quiet), require_auth=auth)
        self._door = WaitingDoor(self._leader, door)
        # To `serve` it is a door like any other.
        self.switch = Switch(self._door)
        self.term: Term | None = None

    async def take(self) -> Term:
        """Wait for the lease."""
        while True:
            try:
                self.term = await self._run(self._lease.take)
                if self.term is not None:
                    self._see("")
                    _log.info("lease_taken", term=self.term.number, holder=self.term.holder)
                    return self.term
                self._see(await self._run(self._lease.leader))
                await self._run(self._lease.wait)
            except UnavailableError as error:
                _log.error("database_unavailable", error=str(error))
                await asyncio.sleep(AWAY_PAUSE_S)

    def _see(self, leader: str) -> None:
        """Hand requests to this leader from now on, and wait for no other's answers."""
        if leader != self._quiet.leader:
            self._quiet.leader = leader
            self._door.drop()
            _log.info("leader_seen", leader=leader)

    def lead(self, service: HubService) -> None:
        """Answer by oneself from now on."""
        self.switch.lead(create_app(service, require_auth=self._auth))

    async def keep(self) -> None:
        """Renew the lease for ever.

        Raises:
            StaleEpochError: another hub has taken it.
        """
        term = cast("Term", self.term)
        await self._run(
            lambda: self._lease.keep(
                term, lambda problem: _log.error("lease_not_renewed", error=problem)
            )
        )

    async def close(self) -> None:
        """Give the lease up, if this hub has it, and let go of the database."""
        term = self.term
        if term is not None:
            await asyncio.to_thread(self._lease.release, term)
        await asyncio.to_thread(self._lease.close)
        await asyncio.to_thread(self._threads.shutdown)

    async def _leader(self) -> str:
        """Return the leader's address, as `take` has last seen it."""
        return self._quiet.leader

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def open_store(database: str, path: Path, term: Term | None) -> SqlStore:
    """Return the store: a PostgreSQL database where one is named, else a file.

    Raises:
        UnavailableError: it cannot be opened.
        DamageError: it is of another version or no database of ours.
    """
    if not database:
        return SqliteStore(path)
    # psycopg comes with an extra.
    from fenglin.storage.postgres.store import PostgresStore  # noqa: PLC0415

    return PostgresStore(database, term)


@contextlib.asynccontextmanager
async def open_turn(block: HubBlock, url: str, clock: Clock) -> AsyncIterator[Turn]:
    """Yield this hub's place among those of its database; gives the lease up at the end.

    Args:
        block: `[hub]`, with a database.
        url: Where other hubs reach this one, unless the block says otherwise.
        clock: The machine's.

    Raises:
        UnavailableError: the database is away.
        DamageError: it is of another version or no database of ours.
    """
    # psycopg comes with an extra.
    from fenglin.storage.postgres.lease import Lease  # noqa: PLC0415
    from fenglin.storage.postgres.store import PostgresStore  # noqa: PLC0415

    store = PostgresStore(block.database)
    try:
        holder = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        lease = Lease(block.database, holder, block.advertise or url, block.lease_ms)
        tokens = Tokens(SqliteIdentity(store), clock, lambda: 0)
        turn = Turn(lease, QuietHub(store, tokens, Meters(), clock), auth=block.auth)
        try:
            yield turn
        finally:
            await turn.close()
    finally:
        await store.close()


async def run_in_turn(
    turn: Turn,
    serving: Callable[[Door], Coroutine[None, None, None]],
    lead: Lead,
    stop: asyncio.Event,
) -> None:
    """Serve, wait for the lease, lead, and end in good order.

    Args:
        turn: From `open_turn`.
        serving: Serves an application until `stop` is set.
        lead: Takes over, and yields the hub with its background work.
        stop: Set by a signal, or here at the end.

    Raises:
        StaleEpochError: another hub has taken over.
    """
    door = asyncio.create_task(serving(cast("Door", turn.switch)))
    taking = asyncio.create_task(turn.take())
    try:
        await asyncio.wait([door, taking], return_when=asyncio.FIRST_COMPLETED)
        if door.done():
            door.result()
            return
        async with lead(taking.result()) as (service, background):
            turn.lead(service)
            await run_beside(door, [turn.keep(), *background], stop)
    finally:
        stop.set()
        taking.cancel()
        await asyncio.gather(door, taking, return_exceptions=True)


async def run_beside(
    door: asyncio.Task[None], background: Sequence[Coroutine[None, None, None]], stop: asyncio.Event
) -> None:
    """Run background work beside the door until one of them ends; end the others.

    Raises:
        FenglinError: what ended first failed by it.
    """
    tasks = [asyncio.create_task(work) for work in background]
    try:
        done, _ = await asyncio.wait([*tasks, door], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            # A control task never ends by itself: its error ends the hub, loudly.
            task.result()
    finally:
        stop.set()
        await asyncio.gather(door, return_exceptions=True)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        _log.info("hub_stopped")
