import pytest

from fenglin.ledger.standing import Limits, Standing, standing


@pytest.mark.parametrize(
    ("available", "limits", "expected"),
    [
        (11, Limits(0, 10), Standing.OK),
        (10, Limits(0, 10), Standing.LOW),
        (1, Limits(), Standing.OK),
        (0, Limits(), Standing.FROZEN),
        (-1, Limits(), Standing.FROZEN),
        (0, Limits(5, 0), Standing.LOW),
        (-1, Limits(5, 0), Standing.OVERDUE),
        (-4, Limits(5, 0), Standing.OVERDUE),
        (-5, Limits(5, 0), Standing.FROZEN),
    ],
)
def test_where_one_state_ends_and_the_next_begins(available, limits, expected):
    assert standing(available, limits) is expected
