"""A store with one site of two nodes, and short ways to write to it: on both databases.

`desk` is one fixture with two parameters, so that every test of the store runs on SQLite and on
a real PostgreSQL server; the second is skipped where none can be had.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import sqlite3
from dataclasses import replace

import msgspec
import pytest

from fenglin.ledger.posting import grant, hold
from fenglin.model.allocation import Share, Usage
from fenglin.model.ids import attempt_key
from fenglin.model.site import Price
from fenglin.model.states import AttemptState, JobState
from fenglin.ports.store import AllocationRecord, Change, Event, StartUnit, SubmitRequest
from fenglin.quantities.resources import Resources
from fenglin.storage.postgres.connection import PostgresConnection
from fenglin.storage.postgres.schema import tables
from fenglin.storage.postgres.store import PostgresStore, open_database
from fenglin.storage.schema import connect
from fenglin.storage.store import SqliteStore
from fenglin.testing.builders import a_job, a_site
from fenglin.testing.servers.postgres import PostgresServer, find_postgres

NOW_MS = 1_700_000_000_000
SITES = (a_site(cpu=4, nodes=2),)


class Desk:
    """A store, loaded, and the state that it answered with."""

    def __init__(self, made):
        self.made = made

    async def open(self, sites=SITES, *, credit=10_000_000):
        self.store = self.made.open()
        self.loaded = await self.store.load(sites, NOW_MS)
        self.number = self.loaded.next_allocation
        if credit:
            await self.store.post(self.epoch, [grant("default", credit, "config:default")], NOW_MS)
        return self

    @property
    def epoch(self):
        return self.loaded.epoch

    async def submit(self, *specs, key="", actor="ann", body=b"", now_ms=NOW_MS):
        request = SubmitRequest(
            specs=specs,
            spec_bytes=[msgspec.json.encode(spec) for spec in specs],
            actor=actor,
            key=key,
            body_hash=hashlib.sha256(body).digest(),
            now_ms=now_ms,
        )
        return await self.store.submit(request)

    async def job(self, **spec):
        made = msgspec.structs.replace(a_job(), **spec)
        _, records = await self.submit(made)
        return records[0]

    def unit(self, job, *, tasks=1, slots=None, node="n0", held=1_000, commodity="CNY"):
        """Return a start of the job's first tasks, one core for each slot."""
        number, self.number = self.number, self.number + 1
        taken = job.pending.first(tasks)
        record = AllocationRecord(
            number=number,
            job=job.number,
            site="site",
            flavor="std",
            shares=(Share(node, slots or tasks),),
            resources=Resources(1_000, 2**20),
            nodes=1,
            tasks=taken,
            price=Price(currency=commodity),
            speed_milli=1_000,
            created_ms=NOW_MS,
            finish_ms=NOW_MS + 1,
            held_micro=held,
            usage=Usage(),
        )
        after = replace(
            job, version=job.version + 1, state=JobState.RUNNING, pending=job.pending - taken
        )
        key = attempt_key(self.loaded.hub, number, 1)
        event = Event(job.number, "committed", f"a{number}")
        made = hold(job.spec.account, held, key, job=job.number, commodity=commodity)
        return StartUnit(after, record, made, None, event)

    def change(self, **parts):
        return Change(**{"epoch": self.epoch, "now_ms": NOW_MS, **parts})

    async def start(self, *units):
        return await self.store.commit(self.change(starts=list(units)))

    async def end(self, unit):
        """End a start whose tasks all succeeded and cost nothing."""
        record, job = unit.allocation, unit.job
        done = replace(record, state=AttemptState.ENDED, shares=(), succeeded=record.tasks,
                       ended_ms=NOW_MS)  # fmt: skip
        after = replace(job, version=job.version + 1, state=JobState.SUCCEEDED, ended_ms=NOW_MS,
                        succeeded=record.tasks)  # fmt: skip
        share = record.shares[0]
        back = [("site", share.node, record.resources.times(share.slots))]
        await self.store.commit(self.change(jobs=[after], allocations=[done], released=back))
        return after

    def sql(self, query, *values):
        """Ask the database itself, behind the store's back."""
        return self.made.sql(query, *values)

    def used(self):
        return dict(self.sql("SELECT name, cpu_used_milli FROM node"))


class OnSqlite:
    """A database file of a test."""

    kind = "sqlite"

    def __init__(self, path):
        self.path = path

    def open(self):
        return SqliteStore(self.path)

    def connect(self):
        return connect(self.path)

    def sql(self, query, *values):
        with contextlib.closing(sqlite3.connect(self.path)) as conn, conn:
            return conn.execute(query, values).fetchall()

    def anew(self):
        self.path.unlink(missing_ok=True)


class OnPostgres:
    """The session's database with our tables, empty."""

    kind = "postgres"

    def __init__(self, url):
        self.url = url
        self.anew()

    def open(self):
        return PostgresStore(self.url)

    def connect(self):
        return PostgresConnection(self.url)

    def sql(self, query, *values):
        with contextlib.closing(self.connect()) as conn:
            return conn.execute(query, values).fetchall()

    def anew(self):
        """Empty all tables, past the triggers: quicker than a new database for each test."""
        with contextlib.closing(self.connect()) as conn:
            conn.raw("SET session_replication_role = replica")
            names = set(tables(conn)) - {"schema_version", "leader_lease"}
            conn.raw(f"TRUNCATE {', '.join(sorted(names))} RESTART IDENTITY")
            conn.raw("UPDATE leader_lease SET holder = '', term = 0, expires = '-infinity'")


@pytest.fixture(scope="session")
def postgres():
    """Return a real server."""
    if why := find_postgres():
        pytest.skip(why)
    with PostgresServer() as server:
        server.sql("CREATE DATABASE plate TEMPLATE template0")
        open_database(server.url("plate")).close()
        yield server


@pytest.fixture(scope="session")
def made(postgres):
    """Return the address of a database with our tables."""
    return postgres.database("plate")


@pytest.fixture
def database_of_its_own(postgres):
    """Return the address of a database with our tables that a test may spoil."""
    return postgres.database("plate")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def database(request, tmp_path):
    """Return a database of this test alone."""
    if request.param == "sqlite":
        return OnSqlite(tmp_path / "fenglin.db")
    return OnPostgres(request.getfixturevalue("made"))


@pytest.fixture
def desk_of():
    """Return a function that gives the short ways to write to a store that is open."""

    def give(store):
        here = Desk(None)
        here.store = store
        return here

    return give


@pytest.fixture
def desk(database):
    """Run a coroutine function of a `Desk` with an open store; closes it afterwards."""

    def run(scene, **options):
        async def play():
            here = await Desk(database).open(**options)
            try:
                return await scene(here)
            finally:
                await here.store.close()

        return asyncio.run(play())

    return run
