"""Entries that no attempt causes: what they may touch, in code and when a ledger is verified."""

import pytest

from fenglin.errors import InputError
from fenglin.ledger.accounts import (
    BANK,
    FEE,
    GRANTS,
    available,
    due,
    held,
    tax,
    voucher_budget,
    voucher_reserved,
)
from fenglin.ledger.entry import Draft, Kind, Leg, check_draft, genesis, seal
from fenglin.ledger.moves import (
    close,
    deposit,
    move_fault,
    move_voucher,
    pay,
    refund,
    settle,
)
from fenglin.ledger.verify import balances, verify

DRAFTS = (
    deposit("ann", 900, "bank-1", memo="transfer 1"),
    move_voucher(GRANTS, voucher_budget("gz"), 500, "budget-2026"),
    move_voucher(voucher_budget("gz"), voucher_reserved("gz"), 300, "ann-1"),
    move_voucher(voucher_reserved("gz"), available("ann"), 200, "ann-1-use"),
    move_voucher(available("ann"), voucher_reserved("gz"), 50, "ann-1-clawback"),
    settle("east", "2026-10", [(FEE, 7), (tax("vat"), 3)], details=(("deal", "share"),)),
    pay("east", 40, "bank-2"),
    refund("ann", 100, "bank-3"),
    close("2026-10"),
)


def chain(drafts):
    entries = [genesis("l", 1)]
    for draft in drafts:
        entries.append(seal(entries[-1].head, draft, entries[-1].time_ms + 1))
    return entries


def test_each_is_a_good_entry():
    for draft in DRAFTS:
        check_draft(draft)
        assert move_fault(draft.kind, draft.legs) == ""


def test_a_ledger_of_them_verifies_and_adds_up():
    entries = chain(DRAFTS)
    report = verify(entries)
    assert report.ok
    assert report.entries == len(entries)
    assert balances(entries) == {
        (available("ann"), "CNY"): 900 + 200 - 50 - 100,
        (voucher_budget("gz"), "CNY"): 200,
        (voucher_reserved("gz"), "CNY"): 150,
        (GRANTS, "CNY"): -500,
        (BANK, "CNY"): -900 + 40 + 100,
        (due("east"), "CNY"): -50,
        (FEE, "CNY"): 7,
        (tax("vat"), "CNY"): 3,
    }


@pytest.mark.parametrize(
    ("kind", "source", "target"),
    [
        (Kind.DEPOSIT, GRANTS, available("ann")),
        (Kind.DEPOSIT, available("ann"), BANK),
        (Kind.PAY, BANK, due("east")),
        (Kind.PAY, voucher_budget("gz"), BANK),
        (Kind.SETTLE, available("ann"), FEE),
        (Kind.SETTLE, due("east"), available("ann")),
        (Kind.SETTLE, due("east"), "tax:vat:more"),
        (Kind.VOUCHER, due("east"), available("ann")),
        (Kind.VOUCHER, available("ann"), BANK),
        (Kind.CLOSE, FEE, BANK),
        (Kind.CLOSE, due("east"), FEE),
    ],
)
def test_what_a_kind_may_not_move(kind, source, target):
    draft = Draft(kind, f"{kind}:x", (Leg(source, "CNY", -5), Leg(target, "CNY", 5)))
    assert move_fault(draft.kind, draft.legs)
    entries = chain([draft])
    report = verify(entries)
    assert report.bad_seq == 2
    assert report.why == move_fault(draft.kind, draft.legs)


@pytest.mark.parametrize("kind", [Kind.DEPOSIT, Kind.PAY, Kind.SETTLE, Kind.VOUCHER, Kind.CLOSE])
def test_none_of_them_touches_held_money(kind):
    draft = Draft(kind, f"{kind}:x", (Leg(held("ann"), "CNY", -5), Leg(FEE, "CNY", 5)))
    assert verify(chain([draft])).bad_seq == 2


@pytest.mark.parametrize("amount_micro", [0, -1, 10**30])
def test_amounts_out_of_range(amount_micro):
    for make in (deposit, pay, refund):
        with pytest.raises(InputError, match="out of range"):
            make("ann", amount_micro, "k")


def test_a_share_is_not_negative():
    with pytest.raises(InputError, match="out of range"):
        settle("east", "2026-10", [(FEE, -1)])
