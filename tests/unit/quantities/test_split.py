"""Parts that sum to the whole."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fenglin.errors import InputError
from fenglin.quantities.split import largest_remainder


@pytest.mark.parametrize(
    ("total", "weights", "parts"),
    [
        (100, (1, 1, 1), (34, 33, 33)),
        (10, (7, 2, 1), (7, 2, 1)),
        (1, (1, 1), (1, 0)),
        (0, (1, 2), (0, 0)),
        (-100, (1, 1, 1), (-34, -33, -33)),
        (5, (0, 3), (0, 5)),
        # Hamilton's own case: quotas 2.5, 1.75 and 0.75 of 5.
        (5, (10, 7, 3), (2, 2, 1)),
    ],
)
def test_known_divisions(total, weights, parts):
    assert largest_remainder(total, weights) == parts


@given(
    st.integers(-(10**18), 10**18),
    st.lists(st.integers(0, 10**12), min_size=1, max_size=20).filter(any),
)
def test_parts_sum_to_the_whole_and_none_is_off_by_a_unit(total, weights):
    parts = largest_remainder(total, weights)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - Fraction(total * weight, sum(weights))) < 1
        assert weight or not part


@pytest.mark.parametrize("weights", [(), (0, 0), (1, -1), (3, -1)])
def test_weights_that_divide_nothing(weights):
    with pytest.raises(InputError):
        largest_remainder(10, weights)
