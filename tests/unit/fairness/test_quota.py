"""Quotas and borrowing."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fenglin.errors import InputError
from fenglin.fairness.quota import Quotas, borrowed, cohort_of, reclaimable, room, tasks_in
from fenglin.fairness.tree import NO_LIMIT, check_queues
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


def test_tasks_in_counts_only_what_is_needed():
    assert tasks_in((5, 0, 0, 0), (2, 0, 0, 0)) == 2
    assert tasks_in((5, 0, 0, 0), (2, 1, 0, 0)) == 0
    assert tasks_in((0, 0, 0, 0), (0, 0, 0, 0)) == 10**9


def named(name, quota=None, **limits):
    """Return a queue with amounts of the one dimension that these tests look at."""
    only = {
        key: Resources(amount, NO_LIMIT, NO_LIMIT, NO_LIMIT)
        for key, amount in {"quota": quota, "borrow": limits.pop("borrow", None),
                            "lend": limits.pop("lend", None)}.items()
        if amount is not None
    }  # fmt: skip
    return Queue(name, **only, **limits)


def cpu(queues, used, row):
    """Return the room in that dimension."""
    left = room(queues, [(have, 0, 0, 0) for have in used], row)
    return None if left is None else left[0]


def test_a_quota_above_holds_for_queues_without_one():
    queues = [named("top", 10), named("a", parent="top"), named("b", parent="top")]
    assert [cpu(queues, (0, 4, 3), row) for row in range(3)] == [3, 3, 3]


def test_a_quota_is_divided_not_added_to():
    """Children may hold their parent's quota, whatever theirs sum up to."""
    queues = [named("top", 10), named("a", 8, parent="top"), named("b", 8, parent="top")]
    assert cpu(queues, (0, 0, 0), 1) == 10  # all of it borrowed from the sibling and the rest
    assert cpu(queues, (0, 8, 0), 2) == 2


def test_what_is_not_lent_is_kept():
    queues = [named("top", 10), named("a", 6, parent="top", lend=2), named("b", 4, parent="top")]
    assert cpu(queues, (0, 0, 0), 2) == 6  # its own 4 and the 2 that a lends
    assert cpu(queues, (0, 0, 6), 1) == 4  # what it keeps is there, what it lent is not
    assert cpu(queues, (0, 0, 6), 2) == 0


def test_borrowing_has_a_limit():
    queues = [named("top", 10), named("a", 4, parent="top", borrow=3), named("b", 6, parent="top")]
    assert cpu(queues, (0, 0, 0), 1) == 7
    assert cpu(queues, (0, 5, 0), 1) == 2
    none = [queues[0], named("a", 4, parent="top", borrow=0), queues[2]]
    assert cpu(none, (0, 1, 0), 1) == 3


def test_limits_of_a_cohort():
    queues = [named("a", 5, cohort="x", borrow=1), named("b", 5, cohort="x", lend=2)]
    assert (cpu(queues, (0, 0), 0), cpu(queues, (0, 0), 1)) == (6, 10)
    assert cpu(queues, (5, 4), 0) == 1
    assert cpu(queues, (6, 0), 1) == 4


def test_borrowing_through_two_levels():
    """Group g borrows from group h for its own child, up to its limit."""
    queues = [
        named("all", 20),
        named("g", 10, parent="all", borrow=5),
        named("h", 10, parent="all", lend=8),
        named("g1", 4, parent="g"),
        named("h1", parent="h"),
    ]
    assert cpu(queues, (0, 0, 0, 0, 0), 3) == 15
    assert cpu(queues, (0, 0, 0, 0, 7), 3) == 13
    assert cpu(queues, (0, 0, 0, 15, 0), 4) == 5
    assert cpu(queues, (0, 0, 0, 15, 0), 3) == 0


def test_a_dimension_that_no_quota_names_is_free():
    queues = [named("a", 5, cohort="x"), Queue("b", quota=Resources(NO_LIMIT, 9, 0, 0), cohort="x")]
    assert room(queues, [(5, 7, 0, 0), (99, 0, 0, 0)], 0) == (0, NO_LIMIT, NO_LIMIT, NO_LIMIT)
    assert room(queues, [(5, 7, 0, 0), (99, 4, 0, 0)], 1) == (NO_LIMIT, 5, 0, 0)


def test_rooms_follow_what_changes():
    """The table is read anew each time, whoever has changed it."""
    queues = [named("top", 10), named("a", parent="top"), named("b", parent="top"), named("c", 3)]
    used = [[0] * 4 for _ in queues]
    quotas = Quotas(queues, used)
    assert quotas.room(1)[0] == 10
    used[2][0] += 6
    used[3][0] += 1
    assert (quotas.room(1)[0], quotas.room(3)[0]) == (4, 2)
    used[2][0] -= 5
    assert quotas.room(1)[0] == 9


@st.composite
def limited_trees(draw):
    """Draw trees that `check_queues` lets pass, in one dimension."""
    queues = []
    for at in range(draw(st.integers(1, 7))):
        above = draw(st.sampled_from(["", *(queue.name for queue in queues)]))
        quota = draw(st.sampled_from([None, 3, 6, 9]))
        limits = {}
        if quota is not None and above:
            limits = {"borrow": draw(st.sampled_from([None, 0, 2])),
                      "lend": draw(st.sampled_from([None, 0, 2, quota]))}  # fmt: skip
        queues.append(named(f"q{at}", quota, parent=above, **limits))
    try:
        check_queues(queues)
    except InputError:
        assume(False)
    return queues


def held_below(queues, used, name):
    """Return what a queue and all below it hold."""
    own = sum(have for queue, have in zip(queues, used, strict=True) if queue.name == name)
    below = [queue.name for queue in queues if queue.parent == name]
    return own + sum(held_below(queues, used, child) for child in below)


def value(resources, otherwise):
    return otherwise if resources is None else resources.values()[0]


@given(limited_trees(), st.lists(st.integers(0, 6), max_size=40))
def test_no_order_of_taking_breaks_a_limit(queues, takers):
    """One unit at a time, while there is room: quotas, borrowing and lending all hold."""
    used = [[0] * 4 for _ in queues]
    quotas = Quotas(queues, used)
    for taker in takers:
        row = taker % len(queues)
        left = quotas.room(row)
        assert left == room(queues, used, row)
        if left is None or left[0]:
            used[row][0] += 1
    amounts = [have for have, *_ in used]
    for row, queue in enumerate(queues):
        if queue.quota is None:
            continue
        held = held_below(queues, amounts, queue.name)
        own = value(queue.quota, 0)
        most = own + value(queue.borrow, NO_LIMIT) if queue.parent else own
        assert held <= most
        # What it does not lend is there for it, whatever the others took.
        promised = own - value(queue.lend, own) if queue.parent else 0
        below = [q for q in queues if q.parent == queue.name]
        if not below:
            left = quotas.room(row)[0]
            assert left >= promised - held


def test_borrowed_is_what_a_queue_owes():
    queues = [
        named("top", 10),
        named("a", 4, parent="top"),
        named("b", parent="top"),
        Queue("free"),
    ]
    used = [(0,) * 4, (6, 9, 0, 0), (3, 0, 0, 0), (9,) * 4]
    assert borrowed(queues, used, 1) == (2, 0, 0, 0)
    assert borrowed(queues, used, 2) == (3, 0, 0, 0)
    assert borrowed(queues, used, 0) == (0, 0, 0, 0)
    assert borrowed(queues, used, 3) == (0, 0, 0, 0)


def test_a_lender_takes_back_no_more_than_it_lacks_and_the_other_owes():
    queues = [
        named("all", 20),
        named("g", 10, parent="all"),
        named("h", 10, parent="all"),
        named("g1", 10, parent="g"),
        named("h1", 6, parent="h"),
        named("h2", 4, parent="h"),
        named("x", 9),
    ]

    def back(used, lender, holder):
        return reclaimable(queues, [(have, 0, 0, 0) for have in used], lender, holder)[0]

    used = (0, 0, 0, 7, 9, 4, 0)  # h holds 13 of its 10, of which h1 owes 3
    assert back(used, 3, 4) == 3
    assert back(used, 3, 5) == 0  # h2 is within its own quota
    assert back((0, 0, 0, 9, 9, 2, 0), 3, 4) == 1  # g1 lacks but 1; h owes 1
    assert back((0, 0, 0, 9, 9, 2, 0), 5, 4) == 2  # between siblings
    assert back(used, 6, 4) == 0  # another tree
    cohort = [named("a", 5, cohort="y"), named("b", 5, cohort="y")]
    assert reclaimable(cohort, [(1, 0, 0, 0), (9, 0, 0, 0)], 0, 1)[0] == 4


@pytest.mark.parametrize(
    ("queues", "where", "what"),
    [
        ([Queue("a", parent="b")], "queue.a.parent", "no queue 'b'"),
        ([Queue("a", parent="a")], "queue.a.parent", "a → a"),
        (
            [Queue("a", parent="b"), Queue("b", parent="c"), Queue("c", parent="b"), Queue("d")],
            "queue.b.parent",
            "b → c → b",
        ),
        ([Queue("b"), Queue("a", parent="b", cohort="x")], "queue.a.cohort", "not both"),
        ([named("a", 1, borrow=1)], "queue.a.borrow", "nobody to borrow from"),
        ([named("a", 1, lend=1)], "queue.a.lend", "nobody to lend to"),
        ([named("a", cohort="x", lend=1)], "queue.a.lend", "quota of its own"),
        ([named("a", 1, cohort="x", lend=2)], "queue.a.lend", "more cpu than"),
        (
            [Queue("a", quota=Resources(NO_LIMIT, 1, 1, 1), cohort="x", borrow=Resources(1))],
            "queue.a.borrow",
            "limits cpu",
        ),
        (
            [named("p", 10), *(named(n, 8, parent="p", lend=2) for n in "ab")],
            "queue.p.quota",
            "keep more cpu",
        ),
    ],
)
def test_trees_that_cannot_be_meant(queues, where, what):
    with pytest.raises(InputError) as caught:
        check_queues(queues)
    assert caught.value.where == where
    assert what in caught.value.what
    assert caught.value.hint
