"""Training and tuning on GPUs: gangs of powers of two, durations that fall as a power.

Not fitted to one published log; the forms are those that Philly (ATC'19), Helios (SC'21) and PAI
(NSDI'22) report: most jobs take one card or less, most card-hours go to the few large gangs, and
durations span five orders of magnitude.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fenglin.errors import InputError
from fenglin.simulator.readers.options import at_least
from fenglin.simulator.readers.shapes import model_key, shape, spread
from fenglin.simulator.synthetic.kind import Generator
from fenglin.simulator.synthetic.stream import (
    CHUNK,
    GIB,
    HOUR_S,
    Arrivals,
    BaseOptions,
    DayClock,
    bounded_pareto,
    chance,
    milliseconds,
    waves,
    zipf_users,
)
from fenglin.simulator.trace import Findings
from fenglin.simulator.workload import WorkJob

_CARDS_MILLI = (500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000)
_CARDS_SHARES = (0.12, 0.5, 0.1, 0.1, 0.12, 0.03, 0.02, 0.01)
_CORES_PER_CARD = 8
_MEMORY_PER_CARD = 64 * GIB
# From here on a job is worth saving, and saves itself.
_SAVES_FROM_MILLI = 4_000
_APPLICATIONS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class AiOptions(BaseOptions):
    """A GPU cluster and its teams.

    Attributes:
        capacity: Cards of the cluster.
        jobs_per_hour: Mean rate.
        amplitude: How much busier the peak hour is than the mean, 0 to below 1.
        peak_hour: Of the day.
        least_s, most_s: Bounds of a duration.
        duration_tail: Power by which the share of longer jobs falls.
        size_power: Durations grow with the cards to this power.
        cards_per_node: A larger gang is spread over several nodes.
        model: Registry name of the cards that all jobs ask for; empty for any.
        checkpoint_s: How often large gangs save; 0 for never.
        preemptible_share: Share of jobs that may be interrupted.
    """

    capacity: int = 256
    jobs_per_hour: float = 20.0
    amplitude: float = 0.4
    peak_hour: float = 15.0
    least_s: float = 60.0
    most_s: float = 1_209_600.0
    duration_tail: float = 0.55
    size_power: float = 0.2
    cards_per_node: int = 8
    model: str = ""
    checkpoint_s: float = 1_800.0
    preemptible_share: float = 0.3

    def __post_init__(self) -> None:
        """Refuse what makes no cluster."""
        BaseOptions.__post_init__(self)
        for name in ("capacity", "cards_per_node"):
            at_least(self, name, 1)
        for name in ("jobs_per_hour", "least_s", "duration_tail"):
            at_least(self, name, 1e-6)
        for name in ("size_power", "checkpoint_s", "preemptible_share"):
            at_least(self, name, 0)
        at_least(self, "most_s", self.least_s)
        if not 0 <= self.amplitude < 1:
            raise InputError(f"amplitude is {self.amplitude}", hint="0 to below 1")
        if self.model and not model_key(self.model, 0, Findings("")):
            raise InputError(f"no device {self.model!r} in the registry")


def stream(options: AiOptions, seed: int, pace: float) -> Iterator[WorkJob]:
    """Yield jobs for ever."""
    dice = {one: chance(seed, "ai", one) for one in ("gap", "size", "length", "user", "kind")}
    arrivals = Arrivals(DayClock(waves(options.amplitude, options.peak_hour)), pace)
    gap_s = HOUR_S / options.jobs_per_hour
    model = model_key(options.model, 0, Findings(""))
    checkpoint_ms = round(options.checkpoint_s * 1_000)
    while True:
        submitted_ms = arrivals.after(dice["gap"].exponential(gap_s, CHUNK))
        sizes = dice["size"].choice(_CARDS_MILLI, size=CHUNK, p=_CARDS_SHARES)
        uniform = dice["length"].random(CHUNK)
        base_s = bounded_pareto(uniform, options.least_s, options.most_s, options.duration_tail)
        grown_s = base_s * np.maximum(sizes / 1_000, 1) ** options.size_power
        lengths_ms = milliseconds(np.minimum(grown_s, options.most_s))
        users = zipf_users(dice["user"], options.users)
        kinds = dice["kind"].random((CHUNK, 2)).tolist()
        for i, cards_milli in enumerate(sizes.tolist()):
            nodes, each = spread(cards_milli, options.cards_per_node * 1_000)
            interruptible, kind = kinds[i]
            yield WorkJob(
                number=0,
                submitted_ms=submitted_ms[i],
                shape=shape(
                    cpu_milli=each * _CORES_PER_CARD,
                    memory_bytes=each * _MEMORY_PER_CARD // 1_000,
                    accelerator_milli=each,
                    model=model,
                    nodes=nodes,
                ),
                runtimes_ms=(lengths_ms[i],),
                user=users[i],
                name=f"net{int(kind * _APPLICATIONS)}",
                queue=options.queue,
                account=options.account,
                checkpoint_ms=checkpoint_ms if cards_milli >= _SAVES_FROM_MILLI else 0,
                preemptible=interruptible < options.preemptible_share,
            )


def rate(options: AiOptions) -> float:
    """Return the mean number of jobs a second."""
    return options.jobs_per_hour / HOUR_S


GENERATOR = Generator(
    name="ai",
    what="GPU jobs: gangs of powers of two, durations that fall as a power",
    stream=stream,
    rate=rate,
    options=AiOptions,
    unit="accelerator_milli",
)
