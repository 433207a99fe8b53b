"""How late the event loop is: each step that was missed counts."""

from __future__ import annotations

import asyncio

import pytest

from fenglin.bootstrap.clock import SystemClock
from fenglin.engine.meters import Meters
from fenglin.engine.pulse import LEAST_JUMP_MS, MOST_MISSED, STEP_MS, Pulse
from fenglin.testing.clock import FakeClock


class Heard:
    """What was told, in order."""

    def __init__(self):
        self.lags_s, self.jumps = [], 0

    def lag(self, seconds):
        self.lags_s.append(seconds)

    def date_jumped(self):
        self.jumps += 1


@pytest.mark.parametrize(
    ("late_ms", "told_s"),
    [
        (0, [0.0]),
        (20, [0.02]),
        (STEP_MS * 2 + 20, [0.12, 0.07, 0.02]),
    ],
)
def test_each_missed_step_is_told_with_its_delay(late_ms, told_s):
    clock, heard = FakeClock(), Heard()
    due_ms = clock.monotonic_ms()
    clock.advance(late_ms)
    next_ms = Pulse(clock, heard).look(due_ms)
    assert heard.lags_s == told_s
    assert clock.monotonic_ms() < next_ms <= clock.monotonic_ms() + STEP_MS


def test_a_machine_that_slept_is_told_a_bounded_number_of_times():
    clock, heard = FakeClock(), Heard()
    due_ms = clock.monotonic_ms()
    clock.advance(86_400_000)
    Pulse(clock, heard).look(due_ms)
    assert len(heard.lags_s) == MOST_MISSED + 1


@pytest.mark.parametrize(
    ("by_ms", "jumps"), [(0, 0), (LEAST_JUMP_MS - 1, 0), (LEAST_JUMP_MS, 1), (-3_600_000, 1)]
)
def test_a_jump_of_the_date_is_told_once(by_ms, jumps):
    clock, heard = FakeClock(), Heard()
    pulse = Pulse(clock, heard)
    due_ms = pulse.look(clock.monotonic_ms())
    clock.advance(STEP_MS)
    clock.date_ms += by_ms
    for _ in range(2):
        due_ms = pulse.look(due_ms)
        clock.advance(STEP_MS)
    assert heard.jumps == jumps


def test_a_running_loop_is_looked_at():
    meters = Meters()

    async def scene():
        pulse = asyncio.create_task(Pulse(SystemClock(), meters).run())
        try:
            async with asyncio.timeout(30):
                while b"fenglin_loop_lag_seconds_count 0.0" in meters.expose(0, 1):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        finally:
            pulse.cancel()

    asyncio.run(scene())
