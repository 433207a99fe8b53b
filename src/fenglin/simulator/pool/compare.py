"""Policies beside each other, over the same seeds, with confidence intervals.

Every policy runs on the same workloads (common random numbers), so that a difference between
two policies is judged by the spread of the differences, which is far smaller than that of the
figures themselves.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fenglin.errors import InputError
from fenglin.simulator.pool.drive import Request, simulate_pool

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fenglin.simulator.runners import Runner

METRICS = (
    "mean_wait_s",
    "p99_wait_s",
    "mean_bounded_slowdown",
    "mean_turnaround_s",
    "makespan_s",
    "used_cpu",
    "cost_micro",
    "carbon_kg",
    "evictions",
)
# Two-sided 95 % points of Student's t by degrees of freedom; beyond the table within 0.3 %.
_T_95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
_Z_95 = 1.95996


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        mean: Of the runs.
        half: Half the width of its 95 % confidence interval; NaN for a single run.
    """

    mean: float
    half: float


@dataclass(frozen=True, slots=True)
class Standing:
    """How one policy did.

    Attributes:
        policy: Its name or file, as it was asked for.
        figures: Estimate by metric.
        against: Estimate of the difference to the first policy by metric; empty for the first.
        runs: The figures of each run, by seed, with the `findings` of its trace.
    """

    policy: str
    figures: dict[str, Estimate]
    against: dict[str, Estimate]
    runs: list[dict[str, Any]]


def compare(
    request: Request, policies: Sequence[str], seeds: Sequence[int], runner: Runner
) -> list[Standing]:
    """Run every policy with every seed.

    Args:
        request: What all runs share.
        policies: Names or files; the first is what the others are measured against.
        seeds: Of generators, or of the shaking of a trace.
        runner: Where the runs take place.

    Raises:
        InputError: a policy or a seed occurs twice, or there are none.
        FenglinError: as `simulate_pool`.
    """
    for what, given in (("policy", policies), ("seed", seeds)):
        if not given or len(set(given)) < len(given):
            raise InputError(f"each {what} once, and at least one", where=f"--{what}")
    requests = [
        replace(request, policy=policy, source=replace(request.source, seed=seed))
        for policy in policies
        for seed in seeds
    ]
    answers = list(runner.run(_figures, requests))
    by_policy = {
        policy: answers[at * len(seeds) : (at + 1) * len(seeds)]
        for at, policy in enumerate(policies)
    }
    first = by_policy[policies[0]]
    return [
        Standing(
            policy,
            {name: estimate([run[name] for run in runs]) for name in METRICS},
            {} if runs is first else dict(_differences(runs, first)),
            runs,
        )
        for policy, runs in by_policy.items()
    ]


def estimate(values: Sequence[float]) -> Estimate:
    """Return the mean with its 95 % confidence interval by Student's t."""
    mean = statistics.fmean(values)
    if len(values) == 1:
        return Estimate(mean, math.nan)
    freedom = len(values) - 1
    t = _T_95[freedom - 1] if freedom <= len(_T_95) else _Z_95 * (1 + 1 / (2 * freedom))
    return Estimate(mean, t * statistics.stdev(values) / math.sqrt(len(values)))


def _differences(
    runs: Sequence[dict[str, Any]], first: Sequence[dict[str, Any]]
) -> Iterator[tuple[str, Estimate]]:
    """Yield the paired differences to the first policy."""
    for name in METRICS:
        pairs = zip(runs, first, strict=True)
        yield name, estimate([run[name] - base[name] for run, base in pairs])


def _figures(request: Request) -> dict[str, Any]:
    """Make one run; at the top of a module, so that another process finds it."""
    answer = simulate_pool(request)
    used_cpu = answer.figures["used"]["cpu_milli"]
    return answer.figures | {"used_cpu": used_cpu, "findings": answer.findings}
