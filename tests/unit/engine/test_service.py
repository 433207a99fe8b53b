"""The hub's face: waits that miss no end, submits that outlive their caller, exports that end."""

import asyncio
import threading
from types import SimpleNamespace

import pytest

from fenglin.engine.admission import Admission
from fenglin.engine.blobs import Blobs
from fenglin.engine.loop import Loop
from fenglin.engine.meters import Meters
from fenglin.engine.news import CancelAsked
from fenglin.engine.safety import SafetyDesk
from fenglin.engine.service import HubService, Rooms
from fenglin.engine.sights import NODE_FILTERS, nodes, page
from fenglin.engine.vault import Vault
from fenglin.errors import DeniedError, InputError, NotFoundError, UnavailableError
from fenglin.ledger.entry import genesis
from fenglin.model.states import JobState
from fenglin.planner.policy import BALANCED
from fenglin.ports.hub import Listing, Principal
from fenglin.testing.builders import a_job, a_site
from fenglin.wire.views import JobView, Submitted, TaskCounts

ADMIN = Principal("admin", frozenset({"admin"}))
TENANT = Principal("ann", frozenset({"write"}), "lab")


class Store:
    """Answers with the states that it is given."""

    def __init__(self, world):
        self.world = world
        self.states = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.entry_count = 3
        self.readers = []

    async def job(self, number, _account):
        if number not in self.states:
            return None
        counts = TaskCounts(0, 1, 0, 0, 0)
        return JobView(f"j{number}", "x", "default", "default", 0, self.states[number], "", "", 1,
                       counts, 1, 0, 0, 0, 0, 0)  # fmt: skip

    async def submit(self, request):
        await self.gate.wait()
        records = [self.world.job(n) for n, _ in enumerate(request.specs, 1)]
        return [Submitted(f"j{job.number}", "pending") for job in records], records

    def ledger_entries(self):
        self.readers.append(threading.current_thread().name)
        try:
            for _ in range(self.entry_count):
                yield genesis("hub-1", 1_000)
        finally:
            self.readers.append("closed")


@pytest.fixture
def play(world, clock):
    """Run a scene with a service whose loop does not run by itself."""

    def run(scene):
        async def inner():
            store, pool, meters = Store(world), world.pool([]), Meters()
            loop = Loop(pool, store, BALANCED, clock, meters)
            service = HubService(
                Rooms(
                    loop=loop, store=store, policy=BALANCED, clock=clock, drivers={}, staging=None,
                    admission=Admission(pool, BALANCED, frozenset({"default"})), tokens=None,
                    meters=meters, version="0", identity=None, login=None, audit=None, agents=None,
                    secrets=Vault(None, None, clock, lambda: 1, frozenset()),
                    blobs=Blobs(None, None, clock, lambda: 1),
                    safety=SafetyDesk(loop, None, None, clock, meters),
                    books=SimpleNamespace(problems=(), bills=SimpleNamespace(offset_min=480)),
                )
            )  # fmt: skip
            return await scene(service, store, loop)

        return asyncio.run(inner())

    return run


def test_a_wait_ends_with_its_job(play, world):
    async def scene(service, store, _loop):
        store.states[1] = "running"
        waiting = asyncio.create_task(service.wait(1, 30, ADMIN))
        await asyncio.sleep(0)
        store.states[1] = "succeeded"
        service.changed([], [world.job(1)])
        view = await waiting
        return view.state, service._waiters

    assert play(scene) == ("succeeded", {})


def test_a_wait_hears_an_end_that_comes_while_it_looks(play, world):
    async def scene(service, store, _loop):
        store.states[1] = "running"
        look = store.job

        async def slow(number, account):
            view = await look(number, account)
            if view.state == "running":
                store.states[1] = "failed"
                service.changed([], [world.job(1)])
                await asyncio.sleep(0)
            return view

        store.job = slow
        view = await asyncio.wait_for(service.wait(1, 30, ADMIN), 10)
        return view.state

    assert play(scene) == "failed"


def test_a_wait_ends_with_its_time_and_leaves_nothing(play):
    async def scene(service, store, _loop):
        store.states[1] = "running"
        view = await service.wait(1, 0.001, ADMIN)
        with pytest.raises(NotFoundError):
            await service.wait(2, 30, ADMIN)
        store.states[3] = "succeeded"
        await service.wait(3, 30, ADMIN)
        return view.state, service._waiters

    assert play(scene) == ("running", {})


def test_a_caller_that_leaves_takes_no_durable_job_with_it(play):
    async def scene(service, store, loop):
        store.gate.clear()
        calling = asyncio.create_task(service.submit([a_job()], ADMIN, "", b""))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        store.gate.set()
        await asyncio.gather(*service._storing)
        await asyncio.sleep(0)
        return list(loop.pool.jobs), len(loop._inbox), service._storing

    assert play(scene) == ([1], 1, set())


def test_a_cancel_that_reached_nothing_says_so(play):
    async def scene(service, store, loop):
        store.states[1] = "pending"
        calling = asyncio.create_task(service.cancel(1, ADMIN))
        await asyncio.sleep(0)
        (news,) = loop._inbox
        assert isinstance(news, CancelAsked)
        news.done.set_result(None)
        with pytest.raises(UnavailableError, match="stored at this moment"):
            await calling
        store.states[1] = str(JobState.CANCELLED)
        assert (await service.cancel(1, ADMIN)).state == "cancelled"

    play(scene)


@pytest.mark.parametrize("account", ["default", "none"])
def test_an_account_of_others_answers_as_one_that_is_not_there(play, account):
    async def scene(service, _store, _loop):
        spec = a_job()
        spec = type(spec)(spec.name, account=account, command=("true",))
        with pytest.raises(InputError) as caught:
            await service.submit([spec], TENANT, "", b"")
        return str(caught.value).replace(account, "X")

    assert play(scene) == "account: account 'X' does not exist"


def test_what_no_site_can_hold_is_refused_with_every_reason(play):
    async def scene(service, _store, _loop):
        with pytest.raises(InputError) as caught:
            await service.submit([a_job(cpu=1_000)], ADMIN, "", b"")
        return caught.value.hint

    assert "site/std" in play(scene)


@pytest.mark.parametrize("form", ["csv", "jsonl", "beancount", "focus"])
def test_an_export_streams_and_closes(play, form):
    async def scene(service, store, _loop):
        data = b"".join([piece async for piece in service.ledger_export(form, ADMIN)])
        return data, store.readers

    data, readers = play(scene)
    assert data
    assert readers[0].startswith("fenglin-export")
    assert readers[-1] == "closed"


def test_a_reader_that_leaves_ends_the_thread_and_the_reading(play):
    async def scene(service, store, _loop):
        store.entry_count = 10**9
        pieces = service.ledger_export("jsonl", ADMIN)
        await anext(pieces)
        await pieces.aclose()
        async with asyncio.timeout(10):
            while "closed" not in store.readers:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            while any(t.name.startswith("fenglin-export") for t in threading.enumerate()):  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    play(scene)


def test_an_export_is_for_admins_and_known_forms(play):
    async def scene(service, _store, _loop):
        with pytest.raises(DeniedError):
            await anext(service.ledger_export("csv", TENANT))
        with pytest.raises(InputError):
            await anext(service.ledger_export("xls", ADMIN))

    play(scene)


def test_small_listings_page_sort_and_filter(world):
    rows = nodes(world.pool([], sites=(a_site("b", nodes=2), a_site("a", nodes=2))))

    def names(**listing):
        found = page(rows, Listing(**listing), NODE_FILTERS)
        return [f"{row.site}/{row.name}" for row in found.items], found.next

    assert names(limit=3) == (["a/n0", "a/n1", "b/n0"], "3")
    assert names(limit=3, cursor="3") == (["b/n1"], "")
    assert names(sort="-site")[0] == ["b/n0", "b/n1", "a/n0", "a/n1"]
    assert names(filters=(("site", "b"), ("up", "true")))[0] == ["b/n0", "b/n1"]
    for bad in ({"cursor": "٣"}, {"cursor": "9" * 5000}, {"cursor": "-1"}, {"sort": "x"},
                {"filters": (("x", "y"),)}):  # fmt: skip
        with pytest.raises(InputError):
            names(**bad)
