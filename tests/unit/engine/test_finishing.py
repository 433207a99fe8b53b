"""Work that outlives its caller: done to its end, and what it comes to is heard by somebody."""

import asyncio
import gc

import pytest

from fenglin.engine import finishing
from fenglin.engine.finishing import to_its_end
from fenglin.errors import UnavailableError


@pytest.fixture
def log(monkeypatch):
    """Return what the log is told, as (level, event)."""

    class Lines(list):
        def warning(self, event, **_more):
            self.append(("warning", event))

        def error(self, event, **_more):
            self.append(("error", event))

    lines = Lines()
    monkeypatch.setattr(finishing, "_log", lines)
    return lines


def left_alone(error):
    """Return what work came to without its caller, and what asyncio cried."""
    cried = []

    async def scene():
        asyncio.get_running_loop().set_exception_handler(lambda _loop, told: cried.append(told))
        gate, running, done = asyncio.Event(), set(), []

        async def work():
            await gate.wait()
            done.append("done")
            if error is not None:
                raise error

        caller = asyncio.create_task(to_its_end(work(), running))
        await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        gate.set()
        # The gate, the work, and what is told when it is done: a step for each, and some more.
        for _ in range(9):
            await asyncio.sleep(0)
        assert running == set()
        return done

    done = asyncio.run(scene())
    gc.collect()
    return done, cried


def test_a_caller_hears_what_work_comes_to():
    async def scene():
        running = set()

        async def good():
            assert len(running) == 1
            return 7

        async def bad():
            raise UnavailableError("the disk is full")

        assert await to_its_end(good(), running) == 7
        with pytest.raises(UnavailableError):
            await to_its_end(bad(), running)
        await asyncio.sleep(0)
        return running

    assert asyncio.run(scene()) == set()


def test_work_goes_on_without_its_caller(log):
    assert left_alone(None) == (["done"], [])
    assert log == []


def test_a_refusal_that_nobody_waits_for_is_a_line_of_the_log(log):
    assert left_alone(UnavailableError("the disk is full")) == (["done"], [])
    assert log == [("warning", "failed_unheard")]


def test_a_fault_that_nobody_waits_for_is_an_error_in_the_log(log):
    assert left_alone(ValueError("no")) == (["done"], [])
    assert log == [("error", "fault_unheard")]
