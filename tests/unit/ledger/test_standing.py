import pytest

from fenglin.ledger.budgets import Budget, BudgetUse, Span
from fenglin.ledger.standing import Limits, Standing, room_micro, standing


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


@pytest.mark.parametrize(
    ("available", "credit", "hard", "expected"),
    [
        (7, 3, (), 10),
        (-2, 3, (None,), 1),
        (-4, 3, (), 0),
        # Four of each budget are used.
        (7, 3, (9, 12), 5),
        (7, 3, (3,), 0),
    ],
)
def test_the_least_of_balance_and_budgets_is_what_starts_have(available, credit, hard, expected):
    uses = [BudgetUse(Budget(Span.MONTH, one), 0, 9, 1, 3) for one in hard]
    assert room_micro(available, Limits(credit), uses) == expected
