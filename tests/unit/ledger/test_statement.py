from __future__ import annotations

import pytest

from fenglin.ledger.accounts import available, voucher_budget
from fenglin.ledger.entry import Kind
from fenglin.ledger.moves import deposit, move_voucher, refund
from fenglin.ledger.posting import grant
from fenglin.ledger.statement import Funds, ItemTotal, SiteTotal, statement

ALWAYS = (0, 10**15)


def test_a_statement_tells_the_story(story):
    made = statement(story, "lab", *ALWAYS)
    assert [line.seq for line in made.lines] == list(range(2, 10))
    assert made.granted_micro == 10_000_000
    assert made.charged_micro == 1_360_000 + 160_000
    assert made.adjusted_micro == 1_000
    assert made.closing == Funds(10_000_000 - 1_520_000 + 1_000, 0)
    assert made.items == (
        ItemTotal("card-hour", 3_600_000, 1_800_000, 1_200_000),
        ItemTotal("core-hour", 3_600_000, 14_400_000, 320_000),
    )
    assert made.sites == (SiteTotal("site-a", 2, 1_520_000),)
    assert sum(item.amount_micro for item in made.items) == made.charged_micro


@pytest.mark.parametrize("cut_ms", range(1_000, 1_110, 10))
def test_two_periods_join_without_loss(story, cut_ms):
    one = statement(story, "lab", 0, cut_ms)
    two = statement(story, "lab", cut_ms, 10**15, one.closing)
    whole = statement(story, "lab", *ALWAYS)
    assert (*one.lines, *two.lines) == whole.lines
    assert two.closing == whole.closing
    assert one.charged_micro + two.charged_micro == whole.charged_micro
    for part in (one, two):
        assert (
            part.opening.total_micro + part.granted_micro - part.charged_micro + part.adjusted_micro
            == part.closing.total_micro
        )


def test_held_money_is_still_the_tenants(story):
    made = statement(story[:5], "lab", *ALWAYS)
    assert made.closing == Funds(10_000_000 - 5_001_300, 5_001_300)
    assert made.lines[-1].kind is Kind.HOLD
    assert made.lines[-1].after == made.closing


def test_a_statement_shows_no_other_account(story, sealed):
    entries = [*story, *sealed([grant("lab-2", 5, "x")], story[-1])[1:]]
    made = statement(entries, "lab-2", *ALWAYS)
    assert [line.key for line in made.lines] == ["grant:x"]
    assert statement(entries, "lab", *ALWAYS).lines[-1].seq == 9


def test_commodities_have_statements_of_their_own(sealed):
    entries = sealed([grant("lab", 5, "a"), grant("lab", 7, "b", commodity="CARD-HOUR")])
    assert statement(entries, "lab", *ALWAYS).closing.total_micro == 5
    hours = statement(entries, "lab", *ALWAYS, commodity="CARD-HOUR")
    assert hours.closing.total_micro == 7


def test_money_in_and_out_is_told_apart(sealed):
    entries = sealed([
        deposit("lab", 500, "d"),
        refund("lab", 20, "r"),
        move_voucher(voucher_budget("spring"), available("lab"), 7, "v"),
        deposit("ann", 99, "other"),
    ])  # fmt: skip
    made = statement(entries, "lab", *ALWAYS, Funds(3, 0))
    assert (made.deposited_micro, made.refunded_micro, made.vouchers_micro) == (500, 20, 7)
    assert made.granted_micro == 0
    assert made.closing == Funds(490, 0)
