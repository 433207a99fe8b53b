"""Predictions from ended jobs, and how promises were kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fenglin.engine.foresight import Foresight, Kept
from fenglin.model.job import JobSpec
from fenglin.model.plan import Plan, Reservation
from fenglin.model.states import JobState
from fenglin.ports.store import JobRecord
from fenglin.quantities.taskset import TaskSet

MINUTE_MS = 60_000


def job(number, name="frames-1", actor="ada", runtime_ms=0, state=JobState.SUCCEEDED, **spec):
    """Return a job; with a runtime, one that has ended after it."""
    asked = JobSpec(name=name, command=("true",), **spec)
    record = JobRecord(number, asked, 1, TaskSet.span(0, 1), actor=actor)
    if not runtime_ms:
        return record
    return replace(record, state=state, learned_tasks=2, learned_ms=2 * runtime_ms, ended_ms=9)


def test_nothing_is_predicted_before_something_like_it_has_ended():
    past = [job(i, actor="bob", runtime_ms=MINUTE_MS) for i in range(1, 9)]
    foresight = Foresight(past)
    assert foresight.predict_ms(job(20)) == 0
    assert foresight.predict_ms(job(21, actor="bob")) > 0


def test_a_users_jobs_that_differ_by_a_number_are_alike():
    foresight = Foresight(
        [job(i, f"frames-{i}", runtime_ms=MINUTE_MS, estimate_ms=600_000) for i in range(1, 30)]
    )
    found = foresight.predict_ms(job(40, "frames-0040", estimate_ms=600_000))
    assert found == pytest.approx(MINUTE_MS, rel=0.35)


def test_one_large_array_teaches_more_than_one_job():
    """So that the next of its kind goes out in one piece, not in as many as its first guess."""
    array = replace(job(1, runtime_ms=20), learned_tasks=1_000, learned_ms=20_000)
    assert Foresight([array]).predict_ms(job(2)) < 40
    assert Foresight([job(1, runtime_ms=20)]).predict_ms(job(2)) > 60


def test_what_failed_teaches_nothing():
    foresight = Foresight([job(i, runtime_ms=1_000, state=JobState.FAILED) for i in range(1, 9)])
    assert foresight.predict_ms(job(20)) == 0


def test_a_prediction_never_passes_the_timeout():
    foresight = Foresight([job(i, runtime_ms=MINUTE_MS, timeout_ms=5_000) for i in range(1, 9)])
    assert 0 < foresight.predict_ms(job(20, timeout_ms=5_000)) <= 5_000


def plan(*starts):
    held = tuple(Reservation(number, "a", "f", (), at_ms, at_ms + 1) for number, at_ms in starts)
    return Plan(index=1, policy="p", starts=(), order=(), reasons=(), reservations=held)


def test_the_first_promise_counts_and_only_once():
    foresight = Foresight()
    foresight.promised(plan((1, 10_000)))
    foresight.promised(plan((1, 90_000)))
    assert foresight.started(1, 12_500) == 2_500
    assert foresight.started(1, 12_500) is None
    assert foresight.started(2, 5) is None
    assert foresight.kept() == Kept(1, 2_500, 2_500)


def test_quantiles_of_kept_promises():
    foresight = Foresight()
    assert foresight.kept() == Kept(0, 0, 0)
    for number in range(1, 12):
        foresight.promised(plan((number, 100_000)))
        assert foresight.started(number, 100_000 - number * 100) == -number * 100
    assert foresight.kept() == Kept(11, 600, 1_000)


def test_a_job_that_ends_unstarted_leaves_no_promise():
    foresight = Foresight()
    foresight.promised(plan((3, 10_000)))
    foresight.ended(job(3, runtime_ms=5, state=JobState.CANCELLED))
    assert foresight.started(3, 10_000) is None
