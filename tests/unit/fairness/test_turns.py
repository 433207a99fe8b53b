"""Turns through the tree: long ones end where strict ones of one task each end."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fenglin.fairness.share import dominant_share, tasks_to_level
from fenglin.fairness.tree import tree_of
from fenglin.fairness.turns import Claim, Turns, scarce_in
from fenglin.model.site import Queue


def fits(free, need):
    """Return how many tasks of that need fit."""
    return min((have // want for have, want in zip(free, need, strict=True) if want), default=0)


def strict(queues, total, free, needs, used, past):
    """Serve one task per turn, from plain definitions; share no code with what is tested."""
    free, held = list(free), [list(amounts) for amounts in used]
    names = [queue.name for queue in queues]
    below = {name: [q.name for q in queues if q.parent == name] for name in ("", *names)}
    served, active = Counter(), set(needs)

    def family(name):
        return {names.index(name)}.union(*(family(child) for child in below[name]))

    def share(weight, rows):
        sums = [sum(held[row][d] for row in rows) for d in range(len(total))]
        most = max(have / of for have, of in zip(sums, total, strict=True))
        return (most + sum(past[row] for row in rows)) * 1_000 / weight

    def descend(name):
        """Return (row of the best below, or of the queue itself; None), by shares of families."""
        choices = []
        for child in below[name]:
            row = descend(child)
            if row is not None:
                choices.append((share(queues[names.index(child)].weight, family(child)), row))
        own = names.index(name) if name else None
        if own in active:
            choices.append((share(1_000, [own]), own))
        return min(choices)[1] if choices else None

    while active:
        row = descend("")
        if not fits(free, needs[row]):
            active.discard(row)
            continue
        for d, want in enumerate(needs[row]):
            free[d] -= want
            held[row][d] += want
        served[row] += 1
    return served


def in_turns(queues, total, free, needs, used, past):
    """Serve by `Turns`; also return how many turns it took."""
    free, held = list(free), [list(amounts) for amounts in used]
    turns = Turns(tree_of(queues), held, total, {row: (row, row) for row in needs}, past)
    served, taken = Counter(), 0
    while (row := turns.first()) >= 0:
        taken += 1
        if turns.due:
            rooms = {q: n for q in turns.waiting() if (n := fits(free, needs[q]))}
            turns.reckon(
                {q: Claim(needs[q], n, scarce_in(needs[q], free, n)) for q, n in rooms.items()}
            )
        count = max(1, turns.tasks_to(turns.limits(row), needs[row]))
        got = min(count, fits(free, needs[row]))
        for d, want in enumerate(needs[row]):
            free[d] -= want * got
            held[row][d] += want * got
        served[row] += got
        turns.end_turn(row, (row, row) if got == count else None)
    return served, taken


@st.composite
def trees(draw, most=9):
    """Draw queues of which some stand below earlier ones."""
    queues = []
    for at in range(draw(st.integers(1, most))):
        above = draw(st.sampled_from(["", *(queue.name for queue in queues)]))
        weight = draw(st.sampled_from([1_000, 1_000, 500, 3_000]))
        queues.append(Queue(f"q{at}", weight=weight, parent=above))
    return queues


@st.composite
def contests(draw, *, alike):
    queues = draw(trees())
    rows = range(len(queues))
    total = (draw(st.integers(50, 400)), draw(st.integers(50, 400)))
    need = st.tuples(st.integers(1, 4), st.integers(1, 4))
    one = draw(need)
    lines = draw(st.sets(st.sampled_from(rows), min_size=1))
    needs = {row: one if alike else draw(need) for row in sorted(lines)}
    used = [draw(st.tuples(st.integers(0, 9), st.integers(0, 9))) for _ in rows]
    free = [t - sum(u[d] for u in used) for d, t in enumerate(total)]
    assume(min(free) > 0)
    past = [draw(st.sampled_from([0.0, 0.0, 0.05, 0.2])) for _ in rows]
    return queues, total, free, needs, used, past


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(contests(alike=True))
def test_equal_tasks_end_within_one_task_of_strict_turns(contest):
    wanted, (given_tasks, _) = strict(*contest), in_turns(*contest)
    for row in range(len(contest[0])):
        assert abs(given_tasks[row] - wanted[row]) <= 1, (dict(given_tasks), dict(wanted))


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(contests(alike=False))
def test_unlike_tasks_end_within_the_largest_task_of_strict_turns(contest):
    """A large task more or less of one queue leaves room for several small ones of another."""
    _, total, _, needs, _, _ = contest
    wanted, (given_tasks, _) = strict(*contest), in_turns(*contest)
    part = {row: max(n / t for n, t in zip(needs[row], total, strict=True)) for row in needs}
    for row in needs:
        apart = abs(given_tasks[row] - wanted[row]) * part[row]
        assert apart <= max(part.values()) + 1e-9, (dict(given_tasks), dict(wanted))


def test_many_tasks_take_few_turns():
    """Four queues at the top share equally, and within each the four below it."""
    tops = [Queue(f"t{i}") for i in range(4)]
    queues = [*tops, *(Queue(f"q{i}", parent=f"t{i % 4}") for i in range(16))]
    needs = dict.fromkeys(range(4, 20), (1, 1))
    contest = queues, (100_000, 100_000), [100_000, 100_000], needs, [(0, 0)] * 20, [0.0] * 20
    served, turns = in_turns(*contest)
    assert dict(served) == dict.fromkeys(range(4, 20), 6_250)
    assert turns < 1_500


def test_a_group_counts_as_one_beside_a_single_queue():
    """Three queues below one parent get together what the lone one gets."""
    queues = [Queue("a"), Queue("b"), *(Queue(f"b{i}", parent="b") for i in range(3))]
    needs = dict.fromkeys((0, 2, 3, 4), (1, 1))
    served, _ = in_turns(queues, (60, 60), [60, 60], needs, [(0, 0)] * 5, [0.0] * 5)
    assert served == {0: 30, 2: 10, 3: 10, 4: 10}


def test_jobs_of_a_parent_are_one_child_more():
    queues = [Queue("a", weight=5_000), Queue("a1", parent="a"), Queue("a2", parent="a")]
    needs = dict.fromkeys(range(3), (1, 1))
    served, _ = in_turns(queues, (60, 60), [60, 60], needs, [(0, 0)] * 3, [0.0] * 3)
    assert served == {0: 20, 1: 20, 2: 20}


def test_past_use_waits_its_turn():
    queues = [Queue("a"), Queue("b")]
    needs = {0: (1, 1), 1: (1, 1)}
    served, _ = in_turns(queues, (100, 100), [100, 100], needs, [(0, 0)] * 2, [0.2, 0.0])
    assert served == {0: 40, 1: 60}


def test_ties_go_to_the_head_that_came_first():
    queues = [Queue("a"), Queue("b")]
    turns = Turns(tree_of(queues), [[0], [0]], (10,), {0: (7, 2), 1: (7, 1)})
    assert turns.first() == 1


def test_a_queue_with_nothing_left_leaves_the_turns():
    queues = [Queue("p"), Queue("a", parent="p"), Queue("b", parent="p"), Queue("c")]
    turns = Turns(tree_of(queues), [[0]] * 4, (10,), {1: (1, 1), 2: (1, 2), 3: (1, 3)})
    left = []
    while (row := turns.first()) >= 0:
        left.append(turns.waiting())
        turns.end_turn(row, None)
    assert left == [[1, 2, 3], [2, 3], [3]]
    assert turns.active == 0


@pytest.mark.parametrize("seed", range(50))
def test_turns_and_their_lengths_are_those_of_the_formulas(seed):
    """Written out for speed in `turns.py`: to the last bit what `share.py` says."""
    rng = random.Random(seed)
    total = tuple(rng.choice([0, 7, 960_001, 2**45 + 1]) for _ in range(4))
    weights = [rng.choice([333, 1_000, 7_000]) for _ in range(5)]
    used = [[rng.randrange(of + 1) for of in total] for _ in weights]
    past = [rng.choice([0.0, 0.1, rng.random()]) for _ in weights]
    queues = [Queue(f"q{at}", weight=weight) for at, weight in enumerate(weights)]
    turns = Turns(tree_of(queues), used, total, {at: (0, at) for at in range(5)}, past)
    for _ in range(6):
        shares = [
            dominant_share(*one) for one in zip(used, [total] * 5, weights, past, strict=True)
        ]
        order = sorted(range(5), key=lambda at: (shares[at], at))
        row = turns.first()
        assert row == order[0]
        need = tuple(rng.choice([0, 1, 3, 2**33 + 1]) for _ in total)
        found = turns.tasks_to(turns.limits(row), need)
        assert found == tasks_to_level(
            shares[order[1]], used[row], need, total, weights[row], past[row]
        )
        for d, amount in enumerate(need):
            used[row][d] += amount * min(found, 9)
        turns.end_turn(row, (0, row))
