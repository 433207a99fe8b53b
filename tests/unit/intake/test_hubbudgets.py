"""Budgets and limits of hours in `fenglin.toml`, and what is refused there."""

import pytest

from fenglin.errors import InputError
from fenglin.intake.hubfile import read_hub_file
from fenglin.ledger.budgets import Budget, Span
from fenglin.ledger.standing import Limits
from fenglin.model.hours import CORE_HOUR

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


def test_hours_have_limits_and_budgets_of_their_own():
    config = read_hub_file(
        HUB
        + "[account.lab.budget.month]\nhard = 9\n"
        + "[account.lab.hours.core]\ncredit_limit = 100\nlow = 0.5\n"
        + "[account.lab.hours.core.budget.year]\nhard = 50\nsoft = 40\n"
        + '[account.lab.hours.A100-80]\ncredit_limit = "12"\n',
        "fenglin.toml",
    )
    assert config.limits == {"lab": Limits()}
    assert config.hours_limits == {
        "lab:CORE-HOUR": Limits(100_000_000, 500_000),
        "lab:CARD.A100-80": Limits(12_000_000),
    }
    assert config.budgets["lab"] == (
        Budget(Span.MONTH, 9_000_000),
        Budget(Span.YEAR, 50_000_000, 40_000_000, CORE_HOUR),
    )


@pytest.mark.parametrize(
    ("block", "where", "what"),
    [
        ("[account.lab.hours.core]\nlimit = 1", "account.lab.hours", "limit"),
        ("[account.lab.hours.'a model']", "account.lab.hours.a model", "card-hours"),
        (
            "[account.lab.hours.a1]\n[account.lab.hours.A1]",
            "account.lab.hours.a1",
            "CARD.A1 is set",
        ),
        (
            "[account.lab.hours.core]\ncredit_limit = '5 CNY'",
            "account.lab.hours.core.credit_limit",
            "no number of CORE-HOUR",
        ),
        ("[account.lab.hours.core]\nlow = -1", "account.lab.hours.core.low", "-1 CORE-HOUR is"),
        (
            "[account.lab.hours.A1.budget.month]\nhard = 'much'",
            "account.lab.hours.A1.budget.month.hard",
            "no number of CARD.A1",
        ),
        (
            "[account.lab.hours.core.budget.month]\nhard = 1\nsoft = 2",
            "account.lab.hours.core.budget.month",
            "above",
        ),
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
