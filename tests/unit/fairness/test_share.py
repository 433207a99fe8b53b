"""Dominant shares and the level of progressive filling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fenglin.fairness.share import (
    ROUND_PART,
    Claim,
    dominant_share,
    filling_level,
    tasks_to_level,
)


def test_dominant_share_is_the_largest_part_by_weight():
    assert dominant_share((3, 4), (9, 18), 1_000) == pytest.approx(1 / 3)
    assert dominant_share((3, 4), (9, 18), 2_000) == pytest.approx(1 / 6)


def test_dimension_the_pool_lacks_does_not_count():
    assert dominant_share((3, 7), (9, 0), 1_000) == pytest.approx(1 / 3)
    assert dominant_share((0,), (0,), 1_000) == 0.0


vectors = st.tuples(*[st.integers(0, 50)] * 3)


@given(st.floats(0, 3), vectors, vectors, st.tuples(*[st.integers(0, 99)] * 3))
def test_tasks_to_level_is_the_largest_that_stays_below(level, used, need, total):
    count = tasks_to_level(level, used, need, total, 1_000)
    rises = any(want and of for want, of in zip(need, total, strict=True))
    if not rises:
        assert count == 10**9
        return

    def share(tasks):
        parts = [
            (have + tasks * want) / of
            for have, want, of in zip(used, need, total, strict=True)
            if of and want
        ]
        return max(parts)

    assert count == 0 or share(count) <= level + 1e-9
    assert share(count + 1) > level - 1e-9


claims = st.lists(
    st.builds(Claim, st.floats(0, 1), st.floats(1e-6, 0.5), st.integers(1, 10_000)),
    min_size=1,
    max_size=9,
)


@given(claims)
def test_all_claims_can_reach_the_level(rising):
    """Either the round spends its part of the room, or it is one task for the lowest."""
    level = filling_level(rising)
    spent = sum(max(0.0, level - c.share) / c.slope / c.room for c in rising)
    one_task = min(c.share + c.slope for c in rising)
    assert level == one_task or spent == pytest.approx(ROUND_PART)
    assert level >= one_task


def test_no_claim_no_level():
    assert filling_level([]) == 0.0


def test_equal_claims_rise_equally():
    level = filling_level([Claim(0.0, 0.01, 100), Claim(0.0, 0.01, 100)])
    assert level == pytest.approx(0.25)  # 25 tasks each: half of the 100 that fit


def test_claim_high_above_does_not_hold_the_low_one_back():
    assert filling_level([Claim(0.9, 0.01, 100), Claim(0.0, 0.01, 100)]) == pytest.approx(0.5)
