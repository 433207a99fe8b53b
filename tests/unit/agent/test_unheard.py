"""Work whose callers have gone away may fail without a complaint of the event loop."""

from __future__ import annotations

import asyncio
import gc
from types import SimpleNamespace

import pytest

from fenglin.agent.files import Files
from fenglin.drivers.cloud.purchases import to_the_end
from fenglin.drivers.kubernetes.mirror import Mirror
from fenglin.drivers.kubernetes.views import Job
from fenglin.errors import DriverError
from fenglin.remote.line import Opener


class Gone:
    """Work that fails once it is let go on."""

    def __init__(self):
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()

    async def work(self, *_):
        self.begun.set()
        await self.go_on.wait()
        raise DriverError("it failed")


def _opening(gone, _folder):
    return Opener(gone.work).open()


def _fetching(gone, folder):
    files = Files(folder, SimpleNamespace(fetch=gone.work), lambda: None)
    return files._fetch("k", "d")


def _writing(gone, _folder):
    return to_the_end(gone.work())


def _listing(gone, _folder):
    api = SimpleNamespace(pages=gone.work)
    return Mirror(api, "/jobs", Job, "s", lambda _: None).relist()


def _listing_again(gone, _folder):
    """One more listing, begun when the one that was under way has ended."""
    before = asyncio.Event()

    async def pages(*_):
        if not before.is_set():
            before.set()
            await asyncio.sleep(0)
            return [], "1"
        return await gone.work()

    mirror = Mirror(SimpleNamespace(pages=pages), "/jobs", Job, "s", lambda _: None)

    async def both():
        first = asyncio.ensure_future(mirror.relist())
        await before.wait()
        await asyncio.gather(first, mirror.relist())

    return both()


BEGINNINGS = [_opening, _fetching, _writing, _listing, _listing_again]


@pytest.mark.slow
@pytest.mark.parametrize("begin", BEGINNINGS)
def test_a_failure_after_the_caller_has_gone_is_no_complaint(begin, tmp_path):
    complaints = []

    async def abandon():
        asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
        gone = Gone()
        caller = asyncio.ensure_future(begin(gone, tmp_path))
        await gone.begun.wait()
        caller.cancel()
        await asyncio.wait({caller}, timeout=0)
        gone.go_on.set()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait(others, timeout=30)
        assert caller.cancelled()
        del others, gone, caller

    asyncio.run(abandon())
    gc.collect()
    assert not complaints, complaints


@pytest.mark.parametrize("begin", BEGINNINGS)
def test_a_caller_that_waits_hears_of_the_failure(begin, tmp_path):
    async def wait():
        gone = Gone()
        gone.go_on.set()
        await begin(gone, tmp_path)

    with pytest.raises(DriverError, match="it failed"):
        asyncio.run(wait())
