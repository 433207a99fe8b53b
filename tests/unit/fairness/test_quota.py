"""Quotas and borrowing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fenglin.fairness.quota import cohort_of, lendable, overdrawn, room, tasks_in
from fenglin.model.site import Queue
from fenglin.quantities.resources import Resources


def queue(name, cpu=None, cohort=""):
    return Queue(name, quota=None if cpu is None else Resources(cpu, cpu, cpu, cpu), cohort=cohort)


def test_no_quota_no_limit():
    assert room([queue("a")], [(9, 9, 9, 9)], 0) is None
    assert tasks_in(None, (1, 1, 1, 1)) == 10**9


def test_alone_it_has_what_is_left_of_its_own():
    assert room([queue("a", 5)], [(3, 0, 5, 7)], 0) == (2, 5, 0, 0)


def test_cohort_lends_unused_and_only_within_itself():
    queues = [queue("a", 5, "x"), queue("b", 5, "x"), queue("c", 5, "y"), queue("d", 5)]
    used = [(5,) * 4, (2,) * 4, (0,) * 4, (0,) * 4]
    assert cohort_of(queues, 0) == (0, 1)
    assert room(queues, used, 0) == (3,) * 4
    assert room(queues, used, 3) == (5,) * 4


def test_what_one_borrowed_another_cannot_borrow_again():
    queues = [queue("a", 5, "x"), queue("b", 5, "x"), queue("c", 5, "x")]
    used = [(5,) * 4, (9,) * 4, (0,) * 4]  # b borrowed 4 of c's 5
    assert room(queues, used, 0) == (1,) * 4
    assert room(queues, used, 2) == (1,) * 4


def test_member_without_quota_lends_nothing():
    queues = [queue("a", 5, "x"), queue("b", None, "x")]
    assert room(queues, [(5,) * 4, (0,) * 4], 0) == (0,) * 4


amounts = st.integers(0, 99)


@given(st.lists(st.tuples(amounts, amounts), min_size=1, max_size=5))
def test_room_never_lets_the_cohort_exceed_its_sum(members):
    queues = [queue(f"q{i}", own, "x") for i, (own, _) in enumerate(members)]
    used = [(have,) * 4 for _, have in members]
    left = room(queues, used, 0)
    total = sum(own for own, _ in members) - sum(have for _, have in members)
    assert left == (max(0, total),) * 4


@given(amounts, amounts)
def test_a_queue_lends_or_borrows_never_both(own, have):
    assert lendable((own,), (have,))[0] - overdrawn((own,), (have,))[0] == own - have
    assert 0 in (lendable((own,), (have,))[0], overdrawn((own,), (have,))[0])


def test_tasks_in_counts_only_what_is_needed():
    assert tasks_in((5, 0, 0, 0), (2, 0, 0, 0)) == 2
    assert tasks_in((5, 0, 0, 0), (2, 1, 0, 0)) == 0
    assert tasks_in((0, 0, 0, 0), (0, 0, 0, 0)) == 10**9
