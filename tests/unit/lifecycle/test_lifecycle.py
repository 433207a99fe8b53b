"""The tables and what an ending means."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fenglin.errors import DamageError
from fenglin.lifecycle.moves import (
    ATTEMPT_MOVES,
    JOB_MOVES,
    check_attempt_move,
    check_job_move,
)
from fenglin.lifecycle.verdict import (
    BACKOFF_MOST_MS,
    SITE_FAULT_TRIES,
    Verdict,
    backoff_ms,
    job_state,
    judge,
)
from fenglin.model.allocation import TaskEnd
from fenglin.model.job import Retries
from fenglin.model.reason import SITE_FAULTS, Reason
from fenglin.model.states import AttemptState, JobState
from fenglin.quantities.taskset import TaskSet


def test_the_tables_are_whole_and_ends_are_ends():
    assert set(JOB_MOVES) == set(JobState)
    assert set(ATTEMPT_MOVES) == set(AttemptState)
    assert all(bool(JOB_MOVES[state]) != state.terminal for state in JobState)
    assert not ATTEMPT_MOVES[AttemptState.ENDED]


@pytest.mark.parametrize(
    ("check", "moves"), [(check_job_move, JOB_MOVES), (check_attempt_move, ATTEMPT_MOVES)]
)
def test_only_listed_moves_pass(check, moves):
    for old in moves:
        for new in moves:
            if new in moves[old] or new is old:
                check(old, new)
            else:
                with pytest.raises(DamageError):
                    check(old, new)


def end(reason=None, exit_code=0):
    return TaskEnd(0, 1, 1, exit_code, reason)


@pytest.mark.parametrize(
    ("what", "retries", "tries", "cancelling", "verdict"),
    [
        (end(), Retries(), 0, False, Verdict.SUCCEEDED),
        (end(), Retries(), 0, True, Verdict.SUCCEEDED),
        (end(Reason.EXIT_CODE, 1), Retries(), 0, False, Verdict.FAILED),
        (end(Reason.EXIT_CODE, 1), Retries(3), 2, False, Verdict.AGAIN),
        (end(Reason.EXIT_CODE, 1), Retries(3), 3, False, Verdict.FAILED),
        (end(Reason.EXIT_CODE, 1), Retries(3), 0, True, Verdict.CANCELLED),
        (end(Reason.EXIT_CODE, 7), Retries(3, exit_codes=(7,)), 0, False, Verdict.AGAIN),
        (end(Reason.EXIT_CODE, 8), Retries(3, exit_codes=(7,)), 0, False, Verdict.FAILED),
        # Codes judge exits; a signal is no exit.
        (end(Reason.SIGNAL, 137), Retries(3, exit_codes=(7,)), 0, False, Verdict.AGAIN),
        (end(Reason.SIGNAL, 137), Retries(3, reasons=(Reason.TIMEOUT,)), 0, False, Verdict.FAILED),
        (end(Reason.COMMAND_NOT_FOUND, 127), Retries(3), 0, False, Verdict.FAILED),
        (end(Reason.CANCELLED), Retries(3), 0, False, Verdict.CANCELLED),
        (end(Reason.NODE_REBOOTED), Retries(), SITE_FAULT_TRIES - 1, False, Verdict.AGAIN),
        (end(Reason.NODE_REBOOTED), Retries(), SITE_FAULT_TRIES, False, Verdict.FAILED),
        (end(Reason.NODE_REBOOTED), Retries(9), 8, False, Verdict.AGAIN),
    ],
)
def test_verdicts(what, retries, tries, cancelling, verdict):
    assert judge(what, retries, tries, cancelling=cancelling) is verdict


@given(st.sampled_from(Reason), st.integers(0, 50), st.integers(0, 9), st.integers(0, 9))
def test_nothing_is_tried_for_ever(reason, tries, limit, code):
    again = judge(end(reason, code), Retries(limit), tries, cancelling=False) is Verdict.AGAIN
    assert not again or tries < max(limit, SITE_FAULT_TRIES)


def test_the_wait_doubles_up_to_a_minute():
    assert backoff_ms(end(Reason.EXIT_CODE, 1), 1) == 0
    waits = [backoff_ms(end(Reason.RUNNER_LOST), tries) for tries in range(1, 10**3)]
    assert waits[0] > 0
    assert all(b == min(2 * a, BACKOFF_MOST_MS) for a, b in pairwise(waits))
    assert waits[-1] == BACKOFF_MOST_MS
    assert all(backoff_ms(end(reason), 1) > 0 for reason in SITE_FAULTS)


TASKS = st.sampled_from(["pending", "succeeded", "failed", "cancelled", "running"])


@given(st.lists(TASKS, min_size=1, max_size=6), st.booleans(), st.integers(0, 2))
def test_a_job_reaches_only_what_is_listed(tasks, cancelling, spare):
    if cancelling:
        tasks = ["cancelled" if task == "pending" else task for task in tasks]
    sets = {
        name: TaskSet.of([i for i, task in enumerate(tasks) if task == name])
        for name in ("pending", "succeeded", "failed", "cancelled")
    }
    live = tasks.count("running") and 1 + spare
    state = job_state(**sets, live=live, cancelling=cancelling)
    assert state.terminal == (not live and not sets["pending"])
    # A job that has begun can get anywhere that its tasks may bring it, in one cycle.
    check_job_move(JobState.RUNNING, state)
    if state is JobState.SUCCEEDED:
        assert not sets["failed"]
        assert not sets["cancelled"]
    if cancelling:
        assert state in (JobState.CANCELLING, JobState.CANCELLED)
        check_job_move(JobState.CANCELLING, state)
