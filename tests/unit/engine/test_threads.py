"""A site whose calls hang keeps its own threads, and nobody else's."""

import asyncio
import threading

import pytest

from fenglin.engine.effects import Effects
from fenglin.engine.threads import MOST_THREADS_PER_SITE, SiteThreads, working_for
from fenglin.engine.watcher import Watcher
from fenglin.ports.driver import SiteReport
from fenglin.staging import FolderStaging

PATIENCE_S = 10
# More than all the threads of any pool here.
MANY = 64


class Driver:
    """Notes the thread of each call."""

    def __init__(self):
        self.threads = {}
        self.looked = asyncio.Event()

    async def _note(self, call):
        self.threads[call] = await asyncio.to_thread(lambda: threading.current_thread().name)

    async def inventory(self):
        await self._note("inventory")
        return SiteReport((), ())

    async def observe(self, _cursors):
        await self._note("observe")
        self.looked.set()
        return []

    async def start(self, _order):
        await self._note("start")

    async def stop(self, _key, _grace_ms):
        await self._note("stop")

    async def forget(self, _key):
        await self._note("forget")


def run(scene):
    async def inner():
        asyncio.get_running_loop().set_default_executor(SiteThreads())
        async with asyncio.timeout(PATIENCE_S):
            await scene()

    asyncio.run(inner())


def test_others_get_threads_while_a_site_keeps_all_of_its_own():
    stuck = threading.Event()

    async def scene():
        with working_for("bad"):
            calls = [asyncio.ensure_future(asyncio.to_thread(stuck.wait)) for _ in range(MANY)]
        try:
            with working_for("good"):
                assert await asyncio.to_thread(lambda: "good") == "good"
            assert await asyncio.to_thread(lambda: "hub") == "hub"
            names = [thread.name for thread in threading.enumerate()]
            assert sum(name.startswith("fenglin-bad") for name in names) == MOST_THREADS_PER_SITE
        finally:
            stuck.set()
            await asyncio.gather(*calls)

    run(scene)


def test_a_call_given_up_holds_its_thread_and_hinders_nobody():
    stuck = threading.Event()

    async def scene():
        try:
            for _ in range(MANY):
                with pytest.raises(TimeoutError), working_for("bad"):
                    async with asyncio.timeout(0):
                        await asyncio.to_thread(stuck.wait)
            assert await asyncio.to_thread(lambda: "hub") == "hub"
        finally:
            stuck.set()

    run(scene)


def test_the_block_ends_where_it_ends():
    async def scene():
        with working_for("outer"):
            with working_for("inner"):
                pass
            name = await asyncio.to_thread(lambda: threading.current_thread().name)
            assert name.startswith("fenglin-outer")
        name = await asyncio.to_thread(lambda: threading.current_thread().name)
        assert name.startswith("fenglin-hub")

    run(scene)


def test_watchers_and_effects_work_on_the_threads_of_their_site(world, clock, tmp_path):
    async def scene():
        driver = Driver()
        pool = world.pool([world.job()], [world.allocation(1, 1, "0")])
        record = pool.allocations[1]
        watcher = Watcher("site", driver, pool, clock, lambda _news: None)
        watching = asyncio.create_task(watcher.run())
        effects = Effects(pool, {"site": driver}, FolderStaging(tmp_path), lambda _news: None)
        effects.start(record, pool.jobs[1])
        effects.stop(record)
        effects.forget("site", "hub-a1-1", 1)
        await driver.looked.wait()
        while len(driver.threads) < 5:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await effects.close()
        assert {name.rpartition("_")[0] for name in driver.threads.values()} == {"fenglin-site"}

    run(scene)
