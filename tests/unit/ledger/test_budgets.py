"""When a budget's span begins, what is left of it, and when people are told."""

from datetime import UTC, datetime

import pytest

from fenglin.ledger.budgets import Budget, BudgetState, BudgetUse, Span, span_bounds


def ms(*when):
    return int(datetime(*when, tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("span", "first", "after"),
    [
        (Span.MONTH, ms(2026, 11, 1), ms(2026, 12, 1)),
        (Span.QUARTER, ms(2026, 10, 1), ms(2027, 1, 1)),
        (Span.YEAR, ms(2026, 1, 1), ms(2027, 1, 1)),
    ],
)
def test_a_span_begins_with_its_first_month(span, first, after):
    assert span_bounds(span, ms(2026, 11, 23, 2), 0) == (first, after)
    assert span_bounds(span, first, 0) == (first, after)
    assert span_bounds(span, after - 1, 0) == (first, after)


def test_spans_are_of_the_books_own_zone():
    # Eight in the evening in London is the next month in Beijing.
    assert span_bounds(Span.MONTH, ms(2026, 11, 30, 20), 480)[0] == ms(2026, 11, 30, 16)


def use(charged, held, hard=100, soft=80):
    return BudgetUse(Budget(Span.MONTH, hard, soft), 0, 1, charged, held)


@pytest.mark.parametrize(
    ("charged", "held", "left", "state"),
    [
        (0, 0, 100, BudgetState.OK),
        (50, 30, 20, BudgetState.OK),
        (50, 31, 19, BudgetState.SOFT),
        (60, 40, 0, BudgetState.HARD),
        (120, 0, -20, BudgetState.HARD),
    ],
)
def test_what_is_held_counts_with_what_was_charged(charged, held, left, state):
    assert use(charged, held).left_micro == left
    assert use(charged, held).state is state


def test_a_soft_limit_is_passed_once():
    assert not use(50, 30).passes_soft(30)
    assert use(50, 31).passes_soft(1)
    assert not use(50, 32).passes_soft(1)
    assert not use(50, 99, soft=None).passes_soft(99)


def test_without_a_hard_limit_nothing_is_refused():
    assert use(10**9, 0, hard=None).left_micro is None
    assert use(10**9, 0, hard=None).state is BudgetState.SOFT
