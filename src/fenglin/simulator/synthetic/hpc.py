"""Rigid jobs of a parallel machine: the model of Lublin and Feitelson.

U. Lublin, D. G. Feitelson: "The workload on parallel supercomputers: modeling the characteristics
of rigid jobs", J. Parallel Distrib. Comput. 63 (2003) 1105-1122. The constants are those of the
authors' program `lublin99.c` in the Parallel Workloads Archive.

- Size: 1 with a probability of its own; else 2^x with x two-stage uniform over [low, medium] and
  [medium, high], rounded to a power of 2 with another probability.
- Runtime: e^y seconds, y from one of two gamma distributions; the larger the job, the rarer the
  first (short) one. Nothing above e^12 s.
- Arrival: gaps of e^z seconds, z gamma (nothing above e^13 s), on a clock whose 48 half hours weigh
  as the share of a gamma distribution in each; the day begins at its eleventh half hour.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from math import log2
from operator import attrgetter

import numpy as np

from fenglin.errors import InputError
from fenglin.simulator.readers.options import at_least
from fenglin.simulator.readers.shapes import shape, spread
from fenglin.simulator.synthetic.kind import Generator
from fenglin.simulator.synthetic.stream import (
    CHUNK,
    GIB,
    Arrivals,
    BaseOptions,
    DayClock,
    Floats,
    chance,
    milliseconds,
    zipf_users,
)
from fenglin.simulator.workload import WorkJob

# The machine that the constants of size are about.
_PROCS = 128
_BUCKETS = 48
_FIRST_BUCKET = 11
_MOST_LOG_RUN = 12.0
_MOST_LOG_GAP = 13.0
# Points of the density inside each half hour: the trapezium's error is far below 1e-6.
_STEPS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Lublin:
    """Constants of one class of jobs, named as in the authors' program."""

    serial_prob: float
    pow2_prob: float
    ulow: float
    umed: float
    uhi: float
    uprob: float
    a1: float
    b1: float
    a2: float
    b2: float
    pa: float
    pb: float
    aarr: float
    barr: float
    anum: float
    bnum: float
    arar: float


ANY = Lublin(
    serial_prob=0.244, pow2_prob=0.576, ulow=0.8, umed=4.5, uhi=7, uprob=0.86,
    a1=4.2, b1=0.94, a2=312, b2=0.03, pa=-0.0054, pb=0.78,
    aarr=10.2303, barr=0.4871, anum=8.1737, bnum=3.9631, arar=1.0225,
)  # fmt: skip
BATCH = Lublin(
    serial_prob=0.2927, pow2_prob=0.6686, ulow=1.2, umed=5, uhi=7, uprob=0.875,
    a1=6.57, b1=0.823, a2=639.1, b2=0.0156, pa=-0.003, pb=0.6986,
    aarr=6.0415, barr=0.8531, anum=6.1271, bnum=5.2740, arar=1.0519,
)  # fmt: skip
INTERACTIVE = Lublin(
    serial_prob=0.1541, pow2_prob=0.625, ulow=1, umed=3, uhi=5.5, uprob=0.705,
    a1=3.8351, b1=0.6605, a2=7.073, b2=0.6856, pa=-0.0118, pb=0.9156,
    aarr=6.5510, barr=0.6621, anum=8.9186, bnum=3.6680, arar=0.9797,
)  # fmt: skip
CLASSES = {
    "any": {"any": ANY},
    "batch": {"batch": BATCH},
    "interactive": {"interactive": INTERACTIVE},
    "both": {"batch": BATCH, "interactive": INTERACTIVE},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HpcOptions(BaseOptions):
    """A parallel machine.

    Attributes:
        classes: `any` (the model without classes), `batch`, `interactive`, or `both`.
        capacity: Processors of the machine; sizes are stretched from the model's 128.
        procs_per_node: As for `swf`; 0: the machine is one node.
        memory_gib: Memory of each processor's share; 0 for none.
        overestimate: Users say up to so many times the runtime, evenly from once on; 0: nothing.
    """

    classes: str = "any"
    capacity: int = _PROCS
    procs_per_node: int = 0
    memory_gib: float = 0.0
    overestimate: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what makes no machine."""
        BaseOptions.__post_init__(self)
        at_least(self, "capacity", 2)
        at_least(self, "procs_per_node", 0)
        at_least(self, "memory_gib", 0)
        if self.classes not in CLASSES:
            raise InputError(f"no classes {self.classes!r}", hint=f"known: {', '.join(CLASSES)}")
        if self.overestimate and self.overestimate < 1:
            raise InputError(f"overestimate is {self.overestimate}", hint="0, or at least 1")


def stream(options: HpcOptions, seed: int, pace: float) -> Iterator[WorkJob]:
    """Yield jobs for ever."""
    classes = CLASSES[options.classes].items()
    parts = [_one_class(name, model, options, seed, pace) for name, model in classes]
    return heapq.merge(*parts, key=attrgetter("submitted_ms"))


def _one_class(
    name: str, model: Lublin, options: HpcOptions, seed: int, pace: float
) -> Iterator[WorkJob]:
    """Yield the jobs of one class for ever."""
    dice = {one: chance(seed, "hpc", name, one) for one in ("gap", "size", "run", "user", "say")}
    arrivals = Arrivals(DayClock(day_weights(model)), pace)
    memory_bytes = round(options.memory_gib * GIB)
    while True:
        gaps_s = np.exp(_capped_gamma(dice["gap"], _MOST_LOG_GAP, gap_shape(model), model.barr))
        submitted_ms = arrivals.after(gaps_s)
        sizes = _sizes(model, options.capacity, dice["size"])
        run_s = _runtimes_s(model, sizes, dice["run"])
        runtimes_ms = milliseconds(run_s)
        said_ms = milliseconds(run_s * dice["say"].uniform(1, max(options.overestimate, 1), CHUNK))
        users = zipf_users(dice["user"], options.users)
        for i, procs in enumerate(sizes.astype(int).tolist()):
            nodes, each = spread(procs, options.procs_per_node)
            yield WorkJob(
                number=0,
                submitted_ms=submitted_ms[i],
                shape=shape(cpu_milli=each * 1_000, memory_bytes=memory_bytes * each, nodes=nodes),
                runtimes_ms=(runtimes_ms[i],),
                estimate_ms=said_ms[i] if options.overestimate else 0,
                user=users[i],
                queue=options.queue,
                account=options.account,
            )


def gap_shape(model: Lublin) -> float:
    """Return the shape of the gaps' gamma: that of the rush hours, corrected for the whole day."""
    return model.aarr * model.arar


def day_weights(model: Lublin) -> Floats:
    """Return the weight of each half hour: what a gamma distribution has around it."""
    steps = np.linspace(-0.5, 0.5, _STEPS + 1)
    x = np.arange(_FIRST_BUCKET, _FIRST_BUCKET + _BUCKETS)[:, None] + steps[None, :]
    # The constant factor of the density does not matter: weights are relative.
    density = np.exp((model.anum - 1) * np.log(x) - x / model.bnum)
    share = np.trapezoid(density, dx=1 / _STEPS, axis=1)
    # The first of them is the bucket before the one by which it is counted.
    return np.asarray(np.roll(share, _FIRST_BUCKET - 1), dtype=np.float64)


def _capped_gamma(
    dice: np.random.Generator, most: float, shape_: float | Floats, scale: float | Floats
) -> Floats:
    """Return gamma variates; those above a bound are drawn again."""
    values = np.asarray(dice.gamma(shape_, scale, CHUNK), dtype=np.float64)
    while (over := values > most).any():
        values = np.where(over, dice.gamma(shape_, scale, CHUNK), values)
    return values


def _sizes(model: Lublin, procs: int, dice: np.random.Generator) -> Floats:
    """Return the processors of each job."""
    wider = log2(procs) - log2(_PROCS)
    medium, high = max(model.umed + wider, model.ulow), max(model.uhi + wider, model.ulow)
    kind, stage, place = dice.random((3, CHUNK))
    log_size = np.where(
        stage <= model.uprob,
        model.ulow + place * (medium - model.ulow),
        medium + place * (high - medium),
    )
    even = kind <= model.serial_prob + model.pow2_prob
    log_size = np.where(even, np.floor(log_size + 0.5), log_size)
    size = np.where(kind <= model.serial_prob, 1.0, np.floor(2.0**log_size + 0.5))
    return np.asarray(np.minimum(size, procs), dtype=np.float64)


def _runtimes_s(model: Lublin, sizes: Floats, dice: np.random.Generator) -> Floats:
    """Return runtimes that grow with the sizes, by which gamma they come from."""
    short = np.clip(model.pa * sizes + model.pb, 0, 1)
    first = dice.random(CHUNK) <= short
    shapes = np.where(first, model.a1, model.a2)
    scales = np.where(first, model.b1, model.b2)
    return np.asarray(np.exp(_capped_gamma(dice, _MOST_LOG_RUN, shapes, scales)))


def rate(options: HpcOptions) -> float:
    """Return the mean number of jobs a second: of each class, one over its mean gap."""
    log_gap = np.linspace(1e-9, _MOST_LOG_GAP, 20_001)
    total = 0.0
    for model in CLASSES[options.classes].values():
        # The density of the gamma distribution, cut at the longest gap, but for its constant.
        density = np.exp((gap_shape(model) - 1) * np.log(log_gap) - log_gap / model.barr)
        total += float(density.sum() / (density * np.exp(log_gap)).sum())
    return total


GENERATOR = Generator(
    name="hpc",
    what="rigid parallel jobs: Lublin and Feitelson 2003",
    stream=stream,
    rate=rate,
    options=HpcOptions,
    unit="cpu_milli",
)
