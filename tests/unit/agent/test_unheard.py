"""Work whose callers have gone away may fail without a complaint of the event loop."""

from __future__ import annotations

import asyncio
import gc
from types import SimpleNamespace

import pytest

from fenglin.agent.files import Files
from fenglin.drivers.cloud.purchases import to_the_end
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


@pytest.mark.parametrize("begin", [_opening, _fetching, _writing])
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


@pytest.mark.parametrize("begin", [_opening, _fetching, _writing])
def test_a_caller_that_waits_hears_of_the_failure(begin, tmp_path):
    async def wait():
        gone = Gone()
        gone.go_on.set()
        await begin(gone, tmp_path)

    with pytest.raises(DriverError, match="it failed"):
        asyncio.run(wait())
