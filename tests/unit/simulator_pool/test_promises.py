"""Promised starts over whole runs: work ends early, jobs move up, and nobody is ever late."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec import structs

from fenglin.model.plan import Plan
from fenglin.planner import plan
from fenglin.planner.policy import built_in
from fenglin.planner.record import plan_bytes
from fenglin.quantities.resources import Resources
from fenglin.simulator.pool.check import Checks
from fenglin.simulator.workload import WorkJob
from fenglin.snapshot.codec import from_bytes, to_bytes
from fenglin.snapshot.snapshot import Shape


def jobs(seed, size=50):
    """Yield jobs that take between a third and all of what their users asked for; some gangs.

    Each is of another user: a prediction is no limit, and a promise that rests on one may fail.
    """
    chance = np.random.default_rng(seed)
    at_ms = 0
    for number in range(1, size + 1):
        at_ms += int(chance.exponential(4_000))
        run_ms = int(chance.lognormal(9.5, 1.2)) + 500
        yield WorkJob(
            number,
            at_ms,
            Shape(
                Resources(int(chance.integers(1, 5)) * 1_000),
                nodes=int(chance.choice([1, 1, 1, 2, 3])),
            ),
            (run_ms,),
            estimate_ms=int(run_ms * chance.uniform(1, 3)),
            user=f"u{number}",
        )


def late(kept):
    """Return which jobs started after their first promise, of those that had one."""
    promised = [job for job in kept.jobs if job.promised_ms >= 0]
    return [job.job for job in promised if job.started_ms > job.promised_ms], len(promised)


@pytest.mark.slow
@pytest.mark.parametrize(("policy", "least"), [("conservative", 20), ("easy", 5)])
@pytest.mark.parametrize("seed", [3, 4])
def test_no_promise_is_late(simulate, make_site, policy, least, seed):
    pool = [make_site("a", nodes=3), make_site("b", nodes=2)]
    checks = Checks(built_in(policy))
    kept, tally = simulate(list(jobs(seed)), pool, policy, checks.watch)
    assert all(job.state == "succeeded" for job in kept.jobs)
    missed, promised = late(kept)
    assert promised >= least
    assert missed == []
    assert tally.starts == len(kept.jobs)


@pytest.mark.slow
def test_who_forgets_what_was_promised_is_late(simulate, make_site, monkeypatch):
    """What the test above sees: each cycle planned as if there had been none before."""
    monkeypatch.setattr("fenglin.engine.pool.Pool.promised", lambda *_: None)
    pool = [make_site("a", nodes=3), make_site("b", nodes=2)]
    assert late(simulate(list(jobs(3)), pool, "conservative")[0])[0]


def test_a_kept_cycle_is_planned_again_byte_for_byte(simulate, make_site):
    """The promises of the cycle before are part of the picture."""
    kept: list[tuple[bytes, Plan]] = []
    few = structs.replace(built_in("conservative"), reservations=5)
    pool = [make_site("a", nodes=3)]
    simulate(list(jobs(3, 20)), pool, few, lambda s, made: kept.append((to_bytes(s), made)))
    again = [from_bytes(data) for data, _ in kept]
    assert max(len(set(snapshot.held_job.tolist())) for snapshot in again) == 5
    for snapshot, (_, made) in zip(again, kept, strict=True):
        assert plan_bytes(plan(snapshot, few)) == plan_bytes(made)


def test_only_conservative_backfilling_carries_promises(simulate, make_site):
    seen = []
    simulate(list(jobs(3, 20)), [make_site("a", nodes=3)], "easy", lambda s, _: seen.append(s))
    assert not any(len(snapshot.held_job) for snapshot in seen)
