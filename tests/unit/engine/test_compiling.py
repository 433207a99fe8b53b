"""The compiled loop is loaded for long queues only, beside the work, and its lack stops nobody."""

import asyncio
import threading

import pytest

from fenglin.engine import compiling
from fenglin.engine.compiling import COMPILE_JOBS, PlannerLoop
from fenglin.planner import lane


@pytest.fixture
def loaded(monkeypatch):
    """Stand in for the compiler: it waits until it may end."""
    go, calls = threading.Event(), []

    def load():
        calls.append(threading.current_thread())
        go.wait(10)
        return "compiled"

    monkeypatch.setattr(lane, "compiled_loop", load)
    return go, calls


def test_a_short_queue_loads_nothing(loaded):
    async def scene():
        ready = PlannerLoop()
        assert ready.get(COMPILE_JOBS) is None
        await asyncio.sleep(0.01)
        assert loaded[1] == []

    asyncio.run(scene())


def test_a_long_queue_loads_once_in_a_thread_and_nobody_waits(loaded):
    go, calls = loaded

    async def scene():
        ready = PlannerLoop()
        assert ready.get(COMPILE_JOBS + 1) is None
        assert ready.get(COMPILE_JOBS + 1) is None
        go.set()
        async with asyncio.timeout(10):
            while ready.get(1) is None:  # noqa: ASYNC110 - what is waited for is no event
                await asyncio.sleep(0.001)
        assert ready.get(1) == "compiled"
        (thread,) = calls
        assert thread is not threading.main_thread()

    asyncio.run(scene())


def test_a_compiler_that_fails_leaves_the_plain_loop(monkeypatch):
    def fails():
        raise RuntimeError("no compiler for this machine")

    monkeypatch.setattr(lane, "compiled_loop", fails)
    assert compiling._load() is None
