"""Providers are paid what their posted settlements say, once, on both databases."""

import asyncio

import pytest

from fenglin.errors import ConflictError
from fenglin.ledger.moves import pay, refund
from fenglin.ledger.posting import Hold, Terms, charge, grant, hold, post
from fenglin.ledger.settlement_deal import Deal, Rate
from fenglin.quantities.period import parse_period
from fenglin.storage.accounts import SqliteAccounts
from fenglin.storage.settlements import SqliteSettlings

# What is earned at this time lies in 2023-11.
NOW_MS = 1_700_000_000_000
NOVEMBER = parse_period("2023-11")
CNY = 1_000_000
DEALS = {"gz": (Deal(provider="gz", share=Rate(1, 2)),)}


def earning(key, amount_micro):
    of = Hold(key, "lab", "CNY", amount_micro, 0)
    line = charge("core_hour", 1, 1, amount_micro)
    return hold("lab", amount_micro, key), post(of, "gz", [line], Terms("west"))


def test_no_more_is_paid_than_was_settled_however_many_pay_at_once(desk):
    async def scene(here):
        settlings = SqliteSettlings(here.store)
        drafts = [grant("lab", 100 * CNY, "g"), *earning("a", 10 * CNY + 3)]
        await here.store.post(here.epoch, drafts, NOW_MS)
        told = [await settlings.dues()]
        with pytest.raises(ConflictError, match="CNY is payable, not"):
            await settlings.pay(here.epoch, pay("gz", 1, "early"), NOW_MS)
        after_ms = NOVEMBER.to_ms + 5
        await SqliteAccounts(here.store).close(here.epoch, NOVEMBER, after_ms)
        month, _ = await settlings.month(NOVEMBER, DEALS)
        await settlings.post(here.epoch, [one.settlement for one in month], "ada", after_ms)
        # What is earned since is not settled.
        await here.store.post(here.epoch, [*earning("b", 40 * CNY)], after_ms)
        told.append(await settlings.dues())

        pays = [pay("gz", 2 * CNY, f"bank-{n}") for n in range(4)]
        made = await asyncio.gather(
            *(settlings.pay(here.epoch, one, after_ms) for one in pays), return_exceptions=True
        )
        told.append(await settlings.dues())
        again = await settlings.pay(here.epoch, pays[0], after_ms)
        with pytest.raises(ConflictError):
            await settlings.pay(here.epoch, pay("gz", CNY, "bank-0"), after_ms)
        # A tenant's refund is no pay-out.
        await here.store.post(here.epoch, [refund("lab", CNY, "back")], after_ms)
        told.append(await settlings.dues())
        return told, made, again, await here.store.ledger_verify()

    told, made, again, check = desk(scene)
    assert check.ok, check.problem
    earned, settled, paid, last = (one[0] for one in told)
    assert (earned.due_micro, earned.payable_micro) == (10 * CNY + 3, 0)
    assert (settled.settled_micro, settled.paid_micro, settled.payable_micro) == (
        5 * CNY, 0, 5 * CNY,
    )  # fmt: skip
    # Half of what was settled is the hub's; the rest below a fen stays due.
    assert settled.due_micro == 45 * CNY + 3
    refused = [one for one in made if isinstance(one, ConflictError)]
    assert len(refused) == 2
    assert "1.00 CNY is payable, not 2.00 CNY" in str(refused[0])
    assert (paid.paid_micro, paid.payable_micro) == (4 * CNY, CNY)
    assert paid.due_micro == 41 * CNY + 3
    assert again.seq == made[0].seq
    assert last == paid
