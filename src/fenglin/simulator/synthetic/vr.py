"""Interactive sessions of virtual reality: short, urgent, on parts of a GPU.

Sessions arrive as a non-homogeneous Poisson stream that peaks in the evening, last log-normally,
and must be on within a second or so: the deadline is the session's end as the user expects it,
which leaves no more than the latency for a start.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fenglin.errors import InputError
from fenglin.simulator.readers.options import at_least
from fenglin.simulator.readers.shapes import shape
from fenglin.simulator.synthetic.kind import Generator
from fenglin.simulator.synthetic.stream import (
    CHUNK,
    GIB,
    HOUR_S,
    Arrivals,
    BaseOptions,
    DayClock,
    chance,
    milliseconds,
    waves,
    zipf_users,
)
from fenglin.simulator.workload import WorkJob

_GPU_MILLI = (250, 500, 1_000)
_GPU_SHARES = (0.4, 0.4, 0.2)
_CORES_PER_GPU = 8
_MEMORY_PER_GPU = 32 * GIB
_LONGEST_S = 4 * HOUR_S


@dataclass(frozen=True, slots=True, kw_only=True)
class VrOptions(BaseOptions):
    """A service and its guests.

    Attributes:
        capacity: GPUs of the service.
        sessions_per_hour: Mean rate.
        amplitude: How much busier the peak hour is than the mean, 0 to below 1.
        peak_hour: Of the day.
        session_s: Median length; none is longer than four hours.
        session_sigma: Spread of its logarithm.
        latency_s: Longest wait for a start.
        priority: Of all sessions.
        users: Guests.
    """

    capacity: int = 64
    sessions_per_hour: float = 120.0
    amplitude: float = 0.8
    peak_hour: float = 20.0
    session_s: float = 900.0
    session_sigma: float = 0.8
    latency_s: float = 2.0
    priority: int = 500
    users: int = 500

    def __post_init__(self) -> None:
        """Refuse what makes no service."""
        BaseOptions.__post_init__(self)
        at_least(self, "capacity", 1)
        for name in ("sessions_per_hour", "session_s", "latency_s"):
            at_least(self, name, 1e-6)
        at_least(self, "session_sigma", 0)
        if not 0 <= self.amplitude < 1:
            raise InputError(f"amplitude is {self.amplitude}", hint="0 to below 1")


def stream(options: VrOptions, seed: int, pace: float) -> Iterator[WorkJob]:
    """Yield sessions for ever."""
    dice = {one: chance(seed, "vr", one) for one in ("gap", "length", "gpu", "user")}
    arrivals = Arrivals(DayClock(waves(options.amplitude, options.peak_hour)), pace)
    gap_s = HOUR_S / options.sessions_per_hour
    latency_ms = round(options.latency_s * 1_000)
    while True:
        submitted_ms = arrivals.after(dice["gap"].exponential(gap_s, CHUNK))
        spread = np.exp(dice["length"].normal(0, options.session_sigma, CHUNK))
        lengths_ms = milliseconds(np.minimum(options.session_s * spread, _LONGEST_S))
        cards = dice["gpu"].choice(_GPU_MILLI, size=CHUNK, p=_GPU_SHARES).tolist()
        users = zipf_users(dice["user"], options.users)
        for i, milli in enumerate(cards):
            yield WorkJob(
                number=0,
                submitted_ms=submitted_ms[i],
                shape=shape(
                    cpu_milli=milli * _CORES_PER_GPU,
                    memory_bytes=milli * _MEMORY_PER_GPU // 1_000,
                    accelerator_milli=milli,
                ),
                runtimes_ms=(lengths_ms[i],),
                user=users[i],
                name=f"vr{milli}",
                queue=options.queue,
                account=options.account,
                priority=options.priority,
                deadline_ms=submitted_ms[i] + latency_ms + lengths_ms[i],
            )


def rate(options: VrOptions) -> float:
    """Return the mean number of jobs a second."""
    return options.sessions_per_hour / HOUR_S


GENERATOR = Generator(
    name="vr",
    what="interactive sessions on parts of a GPU, busy in the evening, due at once",
    stream=stream,
    rate=rate,
    options=VrOptions,
    unit="accelerator_milli",
)
