"""A pool in memory, short ways to fill it, and stand-ins for what the loop talks to."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import msgspec
import pytest

from fenglin.engine.fold import Fold
from fenglin.engine.pool import Pool
from fenglin.engine.status import SiteStatus
from fenglin.model.allocation import Share, Usage
from fenglin.model.site import Price
from fenglin.model.states import JobState
from fenglin.ports.driver import SiteReport
from fenglin.ports.store import AllocationRecord, JobRecord, Loaded
from fenglin.quantities.resources import Resources
from fenglin.quantities.taskset import TaskSet
from fenglin.testing.builders import a_job, a_site
from fenglin.testing.clock import FakeClock

PRICE = Price(core_hour_micro=3_600_000, task_minimum_ms=10)
RICH_MICRO = 10**12


def job_record(number=1, **spec):
    made = msgspec.structs.replace(a_job(), **spec)
    return JobRecord(number, made, 1_000, TaskSet.span(0, made.tasks))


def allocation_record(number, job, tasks, *, slots=1, node="n0", **more):
    return AllocationRecord(
        number=number,
        job=job,
        site="site",
        flavor="std",
        shares=(Share(node, slots),),
        resources=Resources(1_000, 2**28),
        nodes=1,
        tasks=TaskSet.parse(tasks),
        price=PRICE,
        speed_milli=1_000,
        created_ms=0,
        finish_ms=60_000,
        held_micro=1_000_000,
        usage=Usage(),
        **more,
    )


def loaded(jobs=(), allocations=(), parents=(), hub="hub"):
    return Loaded(
        hub=hub,
        epoch=3,
        jobs={job.number: job for job in jobs},
        allocations={record.number: record for record in allocations},
        next_allocation=1 + max((record.number for record in allocations), default=0),
        cycle=0,
        drained={},
        parents={job.number: job for job in parents},
    )


def a_pool(jobs=(), allocations=(), parents=(), sites=None, balances=None):
    """Return a pool in which the jobs' tasks that the allocations hold are running."""
    held = {}
    for record in allocations:
        held[record.job] = held.get(record.job, TaskSet()) | record.remaining
    jobs = [
        replace(job, pending=job.pending - held[job.number], state=JobState.RUNNING)
        if job.number in held
        else job
        for job in jobs
    ]
    statuses = {}
    for site in sites or (a_site(cpu=64),):
        report = SiteReport(site.flavors, site.nodes)
        statuses[site.name] = SiteStatus(site, down="", report=report)
    balances = balances or {"default": RICH_MICRO}
    return Pool.of(loaded(jobs, allocations, parents), statuses, (), balances)


class World:
    """What the tests of this room build with."""

    job = staticmethod(job_record)
    allocation = staticmethod(allocation_record)
    pool = staticmethod(a_pool)
    loaded = staticmethod(loaded)
    price = PRICE

    @staticmethod
    def fold(pool, *steps, now_ms=100_000):
        """Fold these steps (functions of a Fold) into one change, believe it, return it."""
        fold = Fold(pool, now_ms)
        for step in steps:
            step(fold)
        change = fold.finish()
        pool.adopt(change)
        return change


class FakeStore:
    """Keeps what was committed; fails as often as it is told to."""

    def __init__(self):
        self.changes = []
        self.errors = []
        self.refuse = {}
        self.money = {"default": RICH_MICRO}
        self.balance_errors = []

    async def commit(self, change):
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop(0)
        self.changes.append(change)
        return [
            (unit, self.refuse[unit.allocation.job])
            for unit in change.starts
            if unit.allocation.job in self.refuse
        ]

    async def balances(self):
        if self.balance_errors:
            raise self.balance_errors.pop(0)
        return dict(self.money)


class FakeEffects:
    """Notes which calls the loop wants made."""

    def __init__(self):
        self.calls = []

    def start(self, record, job):
        self.calls.append(("start", record.number, job.number))

    def stop(self, record):
        self.calls.append(("stop", record.number))

    def stop_tasks(self, record, tasks):
        self.calls.append(("stop_tasks", record.number, str(tasks)))

    def forget(self, site, key, allocation):
        self.calls.append(("forget", site, key, allocation))


@pytest.fixture
def world():
    return World()


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def store():
    return FakeStore()


@pytest.fixture
def effects():
    return FakeEffects()
