"""Past use forgotten by halves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fenglin.fairness.decay import LN2, accrued, decayed, past_share

HOUR_MS = 3_600_000


def test_a_use_one_half_life_old_counts_half():
    assert decayed(1_000, HOUR_MS, HOUR_MS) == pytest.approx(500)
    assert decayed(1_000, 3 * HOUR_MS, HOUR_MS) == pytest.approx(125)
    assert decayed(1_000, -5, HOUR_MS) == 1_000  # a clock that jumps back


def test_a_short_use_is_its_length():
    assert accrued(0.5, 2_000, 1_000 * HOUR_MS) == pytest.approx(1_000, rel=1e-5)


def test_who_always_held_a_share_has_that_past_share():
    spent = accrued(0.3, 100 * HOUR_MS, HOUR_MS)
    assert past_share(spent, HOUR_MS) == pytest.approx(0.3)
    assert past_share(spent, 0) == 0.0


@given(st.floats(0, 1), st.integers(0, 10**8), st.integers(0, 10**8), st.integers(1, 10**8))
def test_a_span_may_be_cut_anywhere(share, first_ms, second_ms, half_life_ms):
    whole = accrued(share, first_ms + second_ms, half_life_ms)
    parts = decayed(accrued(share, first_ms, half_life_ms), second_ms, half_life_ms)
    assert parts + accrued(share, second_ms, half_life_ms) == pytest.approx(whole, abs=1e-6)


def test_it_is_the_integral_of_what_slurm_sums_up_in_periods():
    """A second at a time, each decayed to the end."""
    steps = sum(0.4 * 1_000 * 0.5 ** ((3_600 - second) / 600) for second in range(3_600))
    assert accrued(0.4, HOUR_MS, 600_000) == pytest.approx(steps, rel=1e-3)
    assert pytest.approx(0.6931, abs=1e-4) == LN2
