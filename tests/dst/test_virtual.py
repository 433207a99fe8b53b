"""The seeded loop: order and time from the seed, and processes that die as processes do."""

import asyncio
from random import Random

import pytest

from fenglin.testing.dst.virtual import KilledError, Process, SeededLoop, StuckError, this_process


@pytest.fixture
def loop():
    made = SeededLoop(Random(1))
    yield made
    made.end()


async def walk(name, told, steps=5):
    try:
        for step in range(steps):
            told.append((name, step))
            await asyncio.sleep(0)
    finally:
        told.append((name, "finally"))


def order_of(seed):
    loop = SeededLoop(Random(seed))
    told = []

    async def scene():
        await asyncio.gather(*(walk(name, told) for name in "abcd"))

    loop.run(scene())
    loop.end()
    return told


def test_the_same_seed_gives_the_same_order_and_others_give_others():
    orders = [order_of(seed) for seed in (1, 1, 2, 3)]

    assert orders[0] == orders[1]
    assert len({tuple(order) for order in orders}) == 3


def test_a_day_passes_in_no_time(loop):
    async def scene():
        await asyncio.sleep(86_400)
        return loop.time()

    assert loop.run(scene()) == pytest.approx(86_400, abs=1)


def test_a_deadline_comes_when_nothing_else_does(loop):
    async def scene():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await loop.create_future()
        return loop.time()

    assert loop.run(scene()) == pytest.approx(30, abs=1)


def test_a_loop_that_waits_for_nothing_says_so(loop):
    async def scene():
        await loop.create_future()

    with pytest.raises(StuckError):
        loop.run(scene())


def test_what_is_killed_never_runs_again_not_even_to_clean_up(loop):
    told = []

    async def scene():
        process = Process("p")
        process.run(loop.create_task, walk("p", told, steps=10**6))
        await asyncio.sleep(0.01)
        process.kill()
        many = len(told)
        await asyncio.sleep(10)
        return many

    assert loop.run(scene()) == len(told) > 3
    assert ("p", "finally") not in told


def test_code_that_kills_its_own_process_goes_no_further(loop):
    told = []

    async def life():
        told.append("before")
        this_process().die_here()
        told.append("after")

    async def scene():
        process = Process("p")
        task = process.run(loop.create_task, life())
        await asyncio.sleep(1)
        assert process.dead
        return task

    task = loop.run(scene())
    assert told == ["before"]
    assert isinstance(task.exception(), KilledError)


def test_what_stands_still_goes_on_where_it_was(loop):
    told = []

    async def life():
        told.append(("began", round(loop.time())))
        await asyncio.sleep(5)
        told.append(("went on", round(loop.time())))

    async def scene():
        process = Process("p")
        process.run(loop.create_task, life())
        await asyncio.sleep(1)
        loop.pause(process)
        await asyncio.sleep(100)
        assert len(told) == 1
        loop.go_on(process)
        await asyncio.sleep(1)

    loop.run(scene())
    assert told == [("began", 0), ("went on", 101)]


def test_a_process_dies_at_the_step_that_was_chosen(loop):
    told = []

    async def scene():
        process = Process("p")
        process.dies_at_step = 4
        process.run(loop.create_task, walk("p", told, steps=100))
        await asyncio.sleep(1)

    loop.run(scene())
    assert [step for _, step in told] == [0, 1, 2]


def test_what_a_dead_caller_had_put_on_a_thread_dies_with_it(loop):
    told = []

    async def scene():
        process = Process("p")
        process.run(loop.create_task, asyncio.to_thread(told.append, "ran"))
        process.kill()
        await asyncio.sleep(1)
        await asyncio.to_thread(told.append, "mine")

    loop.run(scene())
    assert told == ["mine"]
