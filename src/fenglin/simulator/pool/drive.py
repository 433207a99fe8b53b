"""One simulated run from the words of a command line: pool, workload, policy, seed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fenglin.errors import InputError
from fenglin.intake.policies import read_policy
from fenglin.simulator.pool.check import Checks
from fenglin.simulator.pool.outcome import Several
from fenglin.simulator.pool.poolfile import read_pool
from fenglin.simulator.pool.summary import Summary
from fenglin.simulator.pool.world import Setting, World
from fenglin.simulator.readers.registry import read
from fenglin.simulator.shake import shake
from fenglin.simulator.synthetic.registry import generate

if TYPE_CHECKING:
    from fenglin.planner.policy import Policy
    from fenglin.simulator.pool.outcome import Sink
    from fenglin.simulator.pool.poolfile import PoolFile
    from fenglin.simulator.workload import Workload

SYNTHETIC = "synthetic:"
DEFAULT_JOBS = 1_000


@dataclass(frozen=True, slots=True)
class Request:
    """A run as it was asked for; plain values, so that it can go to another process.

    Attributes:
        pool: Path of a pool file.
        workload: Path of a trace, or `synthetic:KIND`.
        policy: Name or file of the policy; empty for the pool file's own.
        kind: Format of the trace; `auto` to recognise it.
        jobs: Most jobs; 0 for all of a trace, or the default number of a generator.
        seed: Of a generator, or of the shaking of a trace.
        shake_ms: How far a trace's arrivals are moved; see `simulator.shake`.
        load: Share of the capacity that a generator asks for; None for its own.
        options: Of the format or the generator, by name.
        cycle_ms: See `Setting`.
        until_ms: See `Setting`.
        strict: Whether anything wrong in the trace is an error.
        check: Whether every plan is checked.
    """

    pool: str
    workload: str
    policy: str = ""
    kind: str = "auto"
    jobs: int = 0
    seed: int = 0
    shake_ms: int = 0
    load: float | None = None
    options: dict[str, str] = field(default_factory=dict)
    cycle_ms: int = 0
    until_ms: int = 0
    strict: bool = False
    check: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What a run says.

    Attributes:
        figures: By name.
        summary: With the distributions behind them.
        findings: What was wrong in the trace, in sentences.
    """

    figures: dict[str, Any]
    summary: Summary
    findings: list[str]


def simulate_pool(request: Request, *sinks: Sink) -> Answer:
    """Run it.

    Raises:
        FenglinError: the pool, the workload or the policy cannot be used; says what is wrong.
    """
    pool = read_pool(Path(request.pool))
    policy = _policy(request, pool)
    workload = open_workload(request)
    summary = Summary()
    checks = Checks(policy)
    world = World(
        _setting(request, pool, policy),
        workload,
        Several(summary, *sinks),
        watch=checks.watch if request.check else None,
    )
    begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
    tally = world.run()
    seconds = time.perf_counter() - begun_s
    cpu_s = time.process_time() - begun_cpu_s
    figures = summary.figures() | {
        "policy": policy.name,
        "workload": workload.name,
        "seed": request.seed,
        "cycles": tally.cycles,
        "checked_cycles": checks.cycles,
        "allocations": tally.starts,
        "most_jobs_at_once": tally.most_live,
        "seconds": seconds,
        "cpu_s": cpu_s,
        "jobs_per_s": figures_jobs(summary) / max(seconds, 1e-9),
        "skipped": workload.findings.skipped,
    }
    return Answer(figures, summary, workload.findings.sentences())


def figures_jobs(summary: Summary) -> int:
    """Return how many jobs a run has seen."""
    return sum(summary.states.values())


def open_workload(request: Request) -> Workload:
    """Return the workload that a request names.

    Raises:
        InputError: there is none of that kind, or options that it does not know.
    """
    if request.workload.startswith(SYNTHETIC):
        kind = request.workload.removeprefix(SYNTHETIC)
        jobs = request.jobs or DEFAULT_JOBS
        return generate(kind, jobs=jobs, seed=request.seed, load=request.load, **request.options)
    if request.load is not None:
        raise InputError("a trace's load is what it is", where="--load", hint="leave it out")
    trace = read(
        Path(request.workload),
        request.kind,
        strict=request.strict,
        jobs=request.jobs,
        **request.options,
    )
    return shake(trace, request.shake_ms, request.seed)


def _policy(request: Request, pool: PoolFile) -> Policy:
    """Return the policy that was asked for, else the pool's own, beside whose file its own lies."""
    if request.policy:
        return read_policy(request.policy)
    return read_policy(pool.policy, Path(request.pool).parent)


def _setting(request: Request, pool: PoolFile, policy: Policy) -> Setting:
    return Setting(
        sites=pool.sites,
        policy=policy,
        queues=pool.queues,
        balances_micro=pool.balances_micro,
        cycle_ms=request.cycle_ms,
        until_ms=request.until_ms,
    )
