"""Dominant shares and the level of progressive filling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fenglin.fairness.share import dominant_share, tasks_to_level


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
