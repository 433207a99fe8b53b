"""Budgets of `fenglin.toml`, and what is refused there."""

import pytest

from fenglin.errors import InputError
from fenglin.intake.hubfile import read_hub_file
from fenglin.ledger.budgets import Budget, Span

HUB = """
[site.east]
driver = "local"
provider = "lab"
flavor.f = {}

[account.lab]
credit = 5
"""


def test_budgets_are_read_by_span():
    config = read_hub_file(
        HUB
        + '[account.lab.budget.month]\nhard = "100 CNY"\nsoft = 80\n'
        + "[account.lab.budget.year]\nsoft = 0.5\n",
        "fenglin.toml",
    )
    assert config.budgets["lab"] == (
        Budget(Span.MONTH, 100_000_000, 80_000_000),
        Budget(Span.YEAR, None, 500_000),
    )


@pytest.mark.parametrize(
    ("block", "where", "what"),
    [
        ("[account.lab.budget.week]\nhard = 1", "account.lab.budget.week", "no span"),
        ("[account.lab.budget.month]", "account.lab.budget.month", "no limit"),
        ("[account.lab.budget.month]\nhard = 1\nsoft = 2", "account.lab.budget.month", "above"),
        ("[account.lab.budget.month]\nhard = -1", "account.lab.budget.month.hard", "negative"),
        ('[account.lab.budget.month]\nsoft = "5 USD"', "account.lab.budget.month.soft", "USD"),
        ("[account.lab.budget.month]\nhart = 1", "account.lab.budget", "hart"),
    ],
)
def test_what_is_no_budget_is_refused_where_it_stands(block, where, what):
    with pytest.raises(InputError, match=what) as caught:
        read_hub_file(HUB + block, "fenglin.toml")
    assert where in caught.value.where
