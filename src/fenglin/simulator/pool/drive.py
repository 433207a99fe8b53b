"""One simulated run from the words of a command line: pool, workload, policy, seed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fenglin.intake.policies import read_policy
from fenglin.simulator.pool.check import Checks
from fenglin.simulator.pool.outcome import Several
from fenglin.simulator.pool.poolfile import read_pool
from fenglin.simulator.pool.summary import Summary
from fenglin.simulator.pool.world import Setting, World
from fenglin.simulator.sources import Source, open_source

if TYPE_CHECKING:
    from fenglin.planner.policy import Policy
    from fenglin.simulator.pool.outcome import Sink
    from fenglin.simulator.pool.poolfile import PoolFile

DEFAULT_JOBS = 1_000


@dataclass(frozen=True, slots=True)
class Request:
    """A run as it was asked for; plain values, so that it can go to another process.

    Attributes:
        pool: Path of a pool file.
        source: The workload.
        policy: Name or file of the policy; empty for the pool file's own.
        cycle_ms: See `Setting`.
        until_ms: See `Setting`.
        check: Whether every plan is checked.
    """

    pool: str
    source: Source
    policy: str = ""
    cycle_ms: int = 0
    until_ms: int = 0
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
    policy = read_policy(request.policy) if request.policy else pool.policy
    workload = open_source(request.source, DEFAULT_JOBS)
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
        "seed": request.source.seed,
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


def _setting(request: Request, pool: PoolFile, policy: Policy) -> Setting:
    return Setting(
        sites=pool.sites,
        policy=policy,
        queues=pool.queues,
        balances_micro=pool.balances_micro,
        cycle_ms=request.cycle_ms,
        until_ms=request.until_ms,
    )
