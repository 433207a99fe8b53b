"""Hours that stand in for money: what they pay for, and what an hour costs in hours."""

import pytest

from fenglin.catalog.prices import rate_usage
from fenglin.errors import InputError
from fenglin.ledger.accounts import check_commodity
from fenglin.model.allocation import Usage
from fenglin.model.hours import (
    CORE_HOUR,
    card_hours,
    hours_for,
    hours_named,
    hours_price,
    is_hours,
    of_purse,
    purse,
)
from fenglin.model.job import AcceleratorNeed
from fenglin.model.site import Price
from fenglin.quantities.resources import Resources

A100 = AcceleratorNeed(model="A100-80")
HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("cards_milli", "need", "tariff", "kind"),
    [
        (0, None, "", CORE_HOUR),
        (0, None, "school/shared", CORE_HOUR),
        (0, None, "/exclusive", CORE_HOUR),
        (0, None, "/urgent", ""),
        (0, None, "school/spot", ""),
        (2_000, A100, "", "CARD.A100-80"),
        (2_000, AcceleratorNeed(vendor="Huawei"), "", ""),
        (2_000, None, "", ""),
        (2_000, AcceleratorNeed(model="a model: odd"), "", ""),
    ],
)
def test_what_hours_pay_for(cards_milli, need, tariff, kind):
    assert hours_for(cards_milli, need, tariff) == kind
    assert not kind or is_hours(kind)


@pytest.mark.parametrize("model", ["A100-80", "K100_AI", "Ascend910B4-1", "x", "a" * 18])
def test_card_hours_are_a_commodity_that_the_ledger_takes(model):
    check_commodity(card_hours(model))
    assert is_hours(card_hours(model.lower()))
    assert card_hours(model.lower()) == card_hours(model)


def test_hours_have_the_names_that_operators_give_them():
    assert {hours_named(name) for name in ("core", "Core")} == {CORE_HOUR}
    assert hours_named("a100") == card_hours("A100")


@pytest.mark.parametrize("model", ["", "a" * 19, "A100 80", "-a", "名", "a:b"])
def test_what_cannot_name_card_hours_is_refused(model):
    with pytest.raises(InputError, match="card-hours"):
        card_hours(model)


def test_money_is_no_hours_and_a_purse_is_no_account():
    assert not is_hours("CNY")
    assert of_purse(purse("lab", CORE_HOUR)) == ("lab", CORE_HOUR)
    assert of_purse("lab") == ("lab", "")


def test_an_hour_is_one_hour_whatever_the_money_price_is():
    usual = Price(
        core_hour_micro=80_000, card_hour_micro=5_000_000, memory_gib_hour_micro=9,
        task_minimum_micro=7, task_minimum_ms=60_000, memory_per_core_bytes=4 * 2**30,
    )  # fmt: skip
    need = Resources(cpu_milli=2_000, memory_bytes=16 * 2**30, accelerator_milli=500)
    use = Usage(tasks=3, wall_ms=3 * HOUR_MS, billed_ms=3 * HOUR_MS)
    # 16 GiB fill 4 cores of 4 GiB, so 4 cores for 3 hours; memory and a least price are no hours.
    (cores,) = rate_usage(hours_price(usual, CORE_HOUR), need, use)
    assert (cores.item, cores.amount_micro) == ("core_hour", 12_000_000)
    # Half a card for 3 hours, its cores included.
    (cards,) = rate_usage(hours_price(usual, "CARD.A100-80"), need, use)
    assert (cards.item, cards.amount_micro) == ("card_hour", 1_500_000)
    assert hours_price(usual, CORE_HOUR).task_minimum_ms == 60_000
