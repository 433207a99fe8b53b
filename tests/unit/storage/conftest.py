"""A store on a fresh file with one site of two nodes, and short ways to write to it."""

from __future__ import annotations

import asyncio
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
from fenglin.storage.store import SqliteStore
from fenglin.testing.builders import a_job, a_site

NOW_MS = 1_700_000_000_000
SITES = (a_site(cpu=4, nodes=2),)


class Desk:
    """A store, loaded, and the state that it answered with."""

    def __init__(self, path):
        self.path = path

    async def open(self, sites=SITES, *, credit=10_000_000):
        self.store = SqliteStore(self.path)
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

    def unit(self, job, *, tasks=1, slots=None, node="n0", held=1_000):
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
            price=Price(),
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
        made = hold(job.spec.account, held, key, job=job.number)
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
        """Ask the file itself, behind the store's back."""
        with sqlite3.connect(self.path) as conn:
            found = conn.execute(query, values).fetchall()
        conn.close()
        return found

    def used(self):
        return dict(self.sql("SELECT name, cpu_used_milli FROM node"))


@pytest.fixture
def desk(tmp_path):
    """Run a coroutine function of a `Desk` with an open store; closes it afterwards."""

    def run(scene, **options):
        async def play():
            here = await Desk(tmp_path / "fenglin.db").open(**options)
            try:
                return await scene(here)
            finally:
                await here.store.close()

        return asyncio.run(play())

    return run
