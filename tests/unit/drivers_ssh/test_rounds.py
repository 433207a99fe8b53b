"""A host that hangs holds up nobody, is not asked twice at once, and is asked again after."""

import asyncio

import pytest

from fenglin.drivers.ssh.rounds import Rounds


@pytest.mark.parametrize("keep_late", [False, True])
def test_rounds(keep_late):
    asked = []

    async def play():
        gate = asyncio.Event()
        rounds = Rounds(0.05, keep_late=keep_late)

        async def answer(number):
            asked.append(number)
            if number == 1:
                await gate.wait()
            return number

        def calls(number):
            return {"slow": lambda: answer(number), "quick": lambda: answer(-number)}

        assert await rounds.ask(calls(1)) == {"quick": -1}
        assert await rounds.ask(calls(2)) == {"quick": -2}
        gate.set()
        await asyncio.sleep(0.01)
        late = await rounds.ask(calls(3))
        assert late == {"quick": -3, "slow": 1 if keep_late else 3}
        assert await rounds.ask(calls(4)) == {"quick": -4, "slow": 4}
        await rounds.close()

    asyncio.run(play())
    slow = [number for number in asked if number > 0]
    assert slow == ([1, 4] if keep_late else [1, 3, 4])


def test_what_is_open_is_given_up_at_the_end():
    async def play():
        rounds = Rounds(0.01, keep_late=True)
        ended = []

        async def wait():
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(True)

        assert await rounds.ask({"a": wait}) == {}
        await rounds.close()
        assert ended

    asyncio.run(play())
