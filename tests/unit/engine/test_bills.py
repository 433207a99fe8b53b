"""Who may see which bill, and when it is sealed."""

import asyncio

import pytest

from fenglin.engine.books.bills import BillDesk
from fenglin.errors import InputError, NotFoundError, UnavailableError
from fenglin.ports.hub import Principal
from fenglin.quantities.period import Period

ADMIN = Principal("ada", frozenset({"read", "admin"}))
TENANT = Principal("rhea", frozenset({"read"}), account="lab")
NOW_MS = Period(2026, 11).from_ms + 5


class Bills:
    """Has a bill once the ledger is sealed."""

    def __init__(self, *, ever=True):
        self.asked, self.sealed, self._ever = [], 0, ever

    async def bill(self, account, period, *, final):
        self.asked.append((account, str(period), final))
        return "the bill" if self.sealed and self._ever else None

    async def seal(self):
        self.sealed += 1
        return "note"


class Clock:
    def now_ms(self):
        return NOW_MS


def ask(bills, account, period, principal):
    desk = BillDesk(bills, bills.seal, Clock())
    return asyncio.run(desk.bill(account, period, principal))


def test_what_no_checkpoint_covers_is_sealed_once():
    bills = Bills()
    assert ask(bills, "lab", "2026-10", TENANT) == "the bill"
    assert bills.sealed == 1
    assert bills.asked == [("lab", "2026-10", True)] * 2


def test_a_month_that_runs_is_not_final():
    bills = Bills()
    ask(bills, "lab", "2026-11", ADMIN)
    assert bills.asked[0] == ("lab", "2026-11", False)


@pytest.mark.parametrize(
    ("account", "period", "principal", "error"),
    [
        ("other", "2026-10", TENANT, NotFoundError),
        ("lab", "2026-12", TENANT, NotFoundError),
        ("lab", "2026-13", TENANT, InputError),
        ("lab", "", TENANT, InputError),
    ],
)
def test_what_is_refused_asks_nobody(account, period, principal, error):
    bills = Bills()
    with pytest.raises(error):
        ask(bills, account, period, principal)
    assert bills.asked == []


def test_a_ledger_that_outruns_its_seal_is_told():
    with pytest.raises(UnavailableError):
        ask(Bills(ever=False), "lab", "2026-10", ADMIN)
