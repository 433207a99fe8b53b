"""All generators by name."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from math import inf, isfinite, log, sqrt

from fenglin.errors import InputError
from fenglin.simulator.readers.options import make_options
from fenglin.simulator.synthetic import ai, hpc, mixed, pulsar, render, vr
from fenglin.simulator.synthetic.kind import Generator
from fenglin.simulator.trace import Findings
from fenglin.simulator.workload import WorkJob, Workload

GENERATORS = {one.GENERATOR.name: one.GENERATOR for one in (hpc, render, pulsar, vr, ai, mixed)}

# Each step is a whole run through the jobs; most need two.
_MOST_STEPS = 20
_CLOSE_ENOUGH = 0.005


def generate(
    kind: str, *, jobs: int, seed: int, load: float | None = None, **options: object
) -> Workload:
    """Return a generated workload; the same arguments give the same jobs.

    Args:
        kind: Name of a generator.
        jobs: How many.
        seed: 0 or more.
        load: Share of the capacity that these jobs ask for on average, from the first submission
            to the last: gaps are stretched or shrunk, runtimes and the hours of the day are not.
            None: as the model says.
        options: Of the generator, by name; texts are understood.

    Raises:
        InputError: an argument makes no sense.
    """
    chosen = GENERATORS.get(kind)
    if chosen is None:
        raise InputError(f"no generator {kind!r}", hint=f"known are {', '.join(GENERATORS)}")
    if jobs < 1 or seed < 0:
        raise InputError(f"{jobs} jobs with seed {seed}", hint="at least 1 job, and a seed from 0")
    if load is not None and not (isfinite(load) and load > 0):
        raise InputError(f"a load of {load}", hint="a share of the capacity, such as 0.8")
    if load is not None and not chosen.unit:
        raise InputError(f"{kind} has no one capacity to load", hint="see its other options")
    source = _Source(chosen, make_options(chosen.options, kind, options), jobs, seed, load)
    name = f"synthetic:{kind}"
    return Workload(name, source.stream, Findings(name))


class _Source:
    """A generator with all that decides what it makes."""

    def __init__(
        self, kind: Generator, options: object, jobs: int, seed: int, load: float | None
    ) -> None:
        self._kind = kind
        self._options = options
        self._jobs = jobs
        self._seed = seed
        self._load = load
        self._pace = 1.0 if load is None else 0.0

    def stream(self) -> Iterator[WorkJob]:
        """Return the jobs, numbered from 1."""
        if not self._pace:
            self._pace = self._find_pace()
        return self._numbered()

    def _numbered(self) -> Iterator[WorkJob]:
        for number, job in enumerate(self._made(self._pace), start=1):
            yield job._replace(number=number)

    def _made(self, pace: float) -> Iterator[WorkJob]:
        return islice(self._kind.stream(self._options, self._seed, pace), self._jobs)

    def _find_pace(self) -> float:
        """Return the pace at which the jobs ask for the wanted load.

        The load grows with the pace: in proportion over whole days, faster or slower where the
        jobs begin and end at some hour of a day. So the proportional step is taken where it stays
        between the paces that are known to be too slow and too fast, else the middle of these.
        """
        assert self._load is not None  # noqa: S101 - see __init__
        pace, slow, fast = 1.0, 0.0, inf
        for _ in range(_MOST_STEPS):
            ratio = self._load_at(pace) / self._load
            if abs(log(ratio)) < _CLOSE_ENOUGH:
                break
            slow, fast = (pace, fast) if ratio < 1 else (slow, pace)
            pace /= ratio
            if not slow < pace < fast:
                pace = sqrt(slow * fast)
        return pace

    def _load_at(self, pace: float) -> float:
        """Return the share of the capacity that the jobs ask for at a pace."""
        asked = 0.0
        first_ms = last_ms = -1
        for job in self._made(pace):
            first_ms = job.submitted_ms if first_ms < 0 else first_ms
            last_ms = job.submitted_ms
            asked += work(job, self._kind.unit)
        capacity: int = getattr(self._options, "capacity") * 1_000  # noqa: B009 - by contract
        return asked / (max(last_ms - first_ms, 1) * capacity)


def work(job: WorkJob, unit: str) -> float:
    """Return what a job uses of a unit: thousandths × milliseconds, over all tasks and nodes."""
    each: int = getattr(job.shape.resources, unit)
    if len(job.runtimes_ms) == 1:
        return float(each * job.shape.nodes * job.tasks * job.runtimes_ms[0])
    return float(each * job.shape.nodes * sum(job.runtimes_ms))
