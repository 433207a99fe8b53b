"""Several kinds of work in one stream, each in a queue and an account of its own.

Each kind keeps its own model; only its pace is set, so that its jobs come at its share of the
common rate. A beam of a pulsar search counts as one job, as an array of frames does.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, replace
from operator import attrgetter

from fenglin.errors import InputError
from fenglin.simulator.readers.options import at_least
from fenglin.simulator.synthetic import ai, hpc, pulsar, render, vr
from fenglin.simulator.synthetic.kind import Generator
from fenglin.simulator.synthetic.stream import HOUR_S, BaseOptions
from fenglin.simulator.workload import WorkJob

PARTS = {one.GENERATOR.name: one.GENERATOR for one in (hpc, render, pulsar, vr, ai)}


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedOptions(BaseOptions):
    """Weights of the kinds by number of jobs; 0 leaves one out.

    Attributes:
        hpc, render, pulsar, vr, ai: Weights, of any scale.
        jobs_per_hour: Mean rate of all together.
        apart: Whether each kind has its name as queue and account; without it, those given.
    """

    hpc: float = 0.3
    render: float = 0.05
    pulsar: float = 0.15
    vr: float = 0.3
    ai: float = 0.2
    jobs_per_hour: float = 100.0
    apart: bool = True

    def __post_init__(self) -> None:
        """Refuse a mixture of nothing."""
        BaseOptions.__post_init__(self)
        for name in PARTS:
            at_least(self, name, 0)
        at_least(self, "jobs_per_hour", 1e-6)
        if not sum(getattr(self, name) for name in PARTS):
            raise InputError("all weights are 0", hint=f"one of {', '.join(PARTS)}")


def stream(options: MixedOptions, seed: int, pace: float) -> Iterator[WorkJob]:
    """Yield jobs of all kinds for ever."""
    total = sum(getattr(options, name) for name in PARTS)
    parts: list[Iterator[WorkJob]] = []
    for name, part in PARTS.items():
        weight = getattr(options, name) / total
        if not weight:
            continue
        queue, account = (name, name) if options.apart else (options.queue, options.account)
        chosen = replace(part.options(), queue=queue, account=account)
        faster = weight * rate(options) / part.rate(chosen)
        parts.append(part.stream(chosen, seed, pace * faster))
    return heapq.merge(*parts, key=attrgetter("submitted_ms"))


def rate(options: MixedOptions) -> float:
    """Return the mean number of jobs a second."""
    return options.jobs_per_hour / HOUR_S


GENERATOR = Generator(
    name="mixed",
    what="all of them, by weights, each in a queue and an account of its own",
    stream=stream,
    rate=rate,
    options=MixedOptions,
)
