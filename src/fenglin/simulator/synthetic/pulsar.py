"""Pulsar search: a radio telescope's pointings, each a burst of beams × chunks.

When a pointing ends, every beam of the receiver becomes an array with one task for each chunk of
trial dispersions, and all of them should be through before the next pointing ends. The higher the
dispersion, the more memory: chunks of a beam have equal needs, and beams differ in them. Pointings
follow one another day and night, with a slew of random length between them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from fenglin.simulator.readers.options import at_least
from fenglin.simulator.readers.shapes import shape
from fenglin.simulator.synthetic.kind import Generator
from fenglin.simulator.synthetic.stream import CHUNK, GIB, BaseOptions, chance, milliseconds
from fenglin.simulator.workload import WorkJob

_POINTING_SHARES = (0.5, 0.3, 0.2)
_POINTING_SCALES = (0.5, 1.0, 2.25)
_MEMORY_SCALES = (1, 2, 4)
_MEMORY_SHARES = (0.6, 0.3, 0.1)
# Beams reach the hub one after another, as their files are closed.
_BEAM_GAP_MS = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class PulsarOptions(BaseOptions):
    """A telescope and its search.

    Attributes:
        capacity: Cores of the site.
        beams: Of the receiver; FAST's has 19.
        chunks: Tasks of each beam.
        pointing_s: Mean length of a pointing.
        slew_s: Mean time between pointings.
        task_s: Median time of a task for a pointing of mean length; it grows with the pointing.
        task_sigma: Spread of its logarithm.
        cores: Of one task.
        memory_gib: Of a task of low dispersion; twice and four times as much for higher ones.
        priority: Of all jobs.
    """

    capacity: int = 1_024
    beams: int = 19
    chunks: int = 16
    pointing_s: float = 600.0
    slew_s: float = 90.0
    task_s: float = 240.0
    task_sigma: float = 0.25
    cores: int = 2
    memory_gib: float = 6.0
    priority: int = 100

    def __post_init__(self) -> None:
        """Refuse what makes no search."""
        BaseOptions.__post_init__(self)
        for name in ("capacity", "beams", "chunks", "cores"):
            at_least(self, name, 1)
        for name in ("pointing_s", "task_s"):
            at_least(self, name, 1e-3)
        for name in ("slew_s", "task_sigma", "memory_gib"):
            at_least(self, name, 0)


def stream(options: PulsarOptions, seed: int, pace: float) -> Iterator[WorkJob]:
    """Yield the beams of pointing after pointing for ever."""
    dice = {one: chance(seed, "pulsar", one) for one in ("task", "beam")}
    told = pairwise(_pointings(options, seed, pace))
    for number, ((end_ms, task_s), (next_ms, _)) in enumerate(told):
        yield from _burst(options, dice, number, (end_ms, next_ms, task_s))


def _pointings(options: PulsarOptions, seed: int, pace: float) -> Iterator[tuple[int, float]]:
    """Yield the end of each pointing and the median time of its tasks, for ever."""
    lengths, slews = chance(seed, "pulsar", "point"), chance(seed, "pulsar", "slew")
    mean_scale = float(np.dot(_POINTING_SCALES, _POINTING_SHARES))
    begun_s = 0.0
    while True:
        scales = lengths.choice(_POINTING_SCALES, size=CHUNK, p=_POINTING_SHARES) / mean_scale
        gaps_s = scales * options.pointing_s + slews.exponential(options.slew_s, CHUNK)
        ends_s = begun_s + np.cumsum(gaps_s) / pace
        begun_s = float(ends_s[-1])
        yield from zip(milliseconds(ends_s), (options.task_s * scales).tolist(), strict=True)


def _burst(
    options: PulsarOptions,
    dice: dict[str, np.random.Generator],
    pointing: int,
    told: tuple[int, int, float],
) -> Iterator[WorkJob]:
    """Yield the beams of one pointing: its end, the next one's end, and a task's median time."""
    end_ms, next_ms, task_s = told
    spread = dice["task"].normal(0, options.task_sigma, (options.beams, options.chunks))
    scales = dice["beam"].choice(_MEMORY_SCALES, size=options.beams, p=_MEMORY_SHARES).tolist()
    for beam, scale in enumerate(scales):
        submitted_ms = min(end_ms + beam * _BEAM_GAP_MS, max(end_ms, next_ms - 1))
        yield WorkJob(
            number=0,
            submitted_ms=submitted_ms,
            shape=shape(
                cpu_milli=options.cores * 1_000,
                memory_bytes=round(options.memory_gib * scale * GIB),
            ),
            runtimes_ms=tuple(milliseconds(task_s * np.exp(spread[beam]))),
            tasks=options.chunks,
            user=f"u{pointing % options.users}",
            name=f"search{scale}",
            queue=options.queue,
            account=options.account,
            priority=options.priority,
            deadline_ms=max(next_ms, submitted_ms + 1),
        )


def rate(options: PulsarOptions) -> float:
    """Return the mean number of jobs a second."""
    return options.beams / (options.pointing_s + options.slew_s)


GENERATOR = Generator(
    name="pulsar",
    what="pulsar search: bursts of beams × chunks, due before the next pointing ends",
    stream=stream,
    rate=rate,
    options=PulsarOptions,
    unit="cpu_milli",
)
