"""Statements: what happened to one tenant's account in a period, and what it was for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from fenglin.ledger.accounts import available, held
from fenglin.ledger.entry import Entry, Kind
from fenglin.ledger.metering.metered import is_metered
from fenglin.ledger.posting import CURRENCY, charges_of

if TYPE_CHECKING:
    from collections.abc import Iterable


# What changes how much an account is worth; a hold only moves it within.
_MOVING = (Kind.GRANT, Kind.DEPOSIT, Kind.PAY, Kind.VOUCHER, Kind.POST, Kind.ADJUST)


class Funds(Struct, frozen=True):
    """What a tenant's account has.

    Attributes:
        available_micro: Free to be held; below zero when more was used than was held.
        held_micro: Set aside for attempts that are not settled.
    """

    available_micro: int = 0
    held_micro: int = 0

    @property
    def total_micro(self) -> int:
        """Return what the account is worth."""
        return self.available_micro + self.held_micro


class Line(Struct, frozen=True):
    """One entry as the tenant sees it.

    Attributes:
        seq: Of the entry; with `hash` it says where the proof is.
        time_ms: Unix time.
        kind: What it did.
        key: Of the entry.
        job: The job's number, 0 for none.
        attempt: Attempt key.
        site: Where the work ran, where known.
        memo: For people.
        available_micro: Change of what is available.
        held_micro: Change of what is held.
        after: What the account has afterwards.
        hash: Of the entry.
    """

    seq: int
    time_ms: int
    kind: Kind
    key: str
    job: int
    attempt: str
    site: str
    memo: str
    available_micro: int
    held_micro: int
    after: Funds
    hash: bytes


class ItemTotal(Struct, frozen=True):
    """What one item came to: `quantity / per` priced units cost `amount_micro`."""

    item: str
    per: int
    quantity: int
    amount_micro: int


class SiteTotal(Struct, frozen=True):
    """What the work on one site cost, and how many attempts were settled there."""

    site: str
    attempts: int
    amount_micro: int


class Statement(Struct, frozen=True):
    """A period of one account in one commodity.

    opening + granted + deposited - refunded + vouchers - charged + adjusted = closing

    Attributes:
        account: The tenant's account.
        commodity: Of all amounts.
        from_ms: First millisecond of the period.
        to_ms: First millisecond after it.
        opening: Before the period.
        lines: In the order of entry.
        granted_micro: Credit on trust.
        deposited_micro: Money that came in.
        refunded_micro: Money that went back.
        vouchers_micro: From voucher pools, less what they took back.
        charged_micro: Gone to providers.
        adjusted_micro: Corrections, positive in the tenant's favour.
        items: Charges per item, sorted.
        sites: Charges per site, sorted.
        closing: After the period.
    """

    account: str
    commodity: str
    from_ms: int
    to_ms: int
    opening: Funds
    lines: tuple[Line, ...]
    granted_micro: int
    deposited_micro: int
    refunded_micro: int
    vouchers_micro: int
    charged_micro: int
    adjusted_micro: int
    items: tuple[ItemTotal, ...]
    sites: tuple[SiteTotal, ...]
    closing: Funds


class StatementBuilder:
    """Takes the entries of a period one by one and makes the statement."""

    def __init__(
        self, account: str, from_ms: int, to_ms: int, opening: Funds, commodity: str = CURRENCY
    ) -> None:
        """Take whose statement, the period, and what the account had before it."""
        self._account, self._commodity = account, commodity
        self._period = (from_ms, to_ms)
        self._available, self._held = available(account), held(account)
        self._opening = self._funds = opening
        self._lines: list[Line] = []
        self._moved = dict.fromkeys(_MOVING, 0)
        self._items: dict[tuple[str, int], tuple[int, int]] = {}
        self._sites: dict[str, tuple[int, int]] = {}

    def add(self, entry: Entry) -> Line | None:
        """Take an entry; return its line, None when it is not of this account and period."""
        if not self._period[0] <= entry.time_ms < self._period[1]:
            return None
        free = self._change(entry, self._available)
        kept = self._change(entry, self._held)
        if free is None and kept is None:
            return None
        change = Funds(free or 0, kept or 0)
        self._funds = Funds(
            self._funds.available_micro + change.available_micro,
            self._funds.held_micro + change.held_micro,
        )
        if entry.kind in self._moved:
            self._moved[entry.kind] += change.total_micro
        if entry.kind is Kind.POST:
            self._charge(entry, -change.total_micro)
        line = Line(
            entry.seq,
            entry.time_ms,
            entry.kind,
            entry.key,
            entry.job,
            entry.attempt,
            entry.detail("site"),
            entry.memo,
            change.available_micro,
            change.held_micro,
            self._funds,
            entry.hash,
        )
        self._lines.append(line)
        return line

    def _change(self, entry: Entry, account: str) -> int | None:
        """Return what the entry does to a ledger account; None when it has no leg there."""
        amounts = [
            leg.amount_micro
            for leg in entry.legs
            if leg.account == account and leg.commodity == self._commodity
        ]
        return sum(amounts) if amounts else None

    def _charge(self, entry: Entry, amount_micro: int) -> None:
        """Add a posting to the totals per item and site."""
        for line in charges_of(entry):
            quantity, amount = self._items.get((line.item, line.per), (0, 0))
            total = (quantity + line.quantity, amount + line.amount_micro)
            self._items[line.item, line.per] = total
        site = entry.detail("site")
        attempts, amount = self._sites.get(site, (0, 0))
        self._sites[site] = (attempts + (not is_metered(entry)), amount + amount_micro)

    def finish(self) -> Statement:
        """Return the statement of what was added."""
        return Statement(
            self._account,
            self._commodity,
            *self._period,
            self._opening,
            tuple(self._lines),
            self._moved[Kind.GRANT],
            self._moved[Kind.DEPOSIT],
            -self._moved[Kind.PAY],
            self._moved[Kind.VOUCHER],
            -self._moved[Kind.POST],
            self._moved[Kind.ADJUST],
            tuple(ItemTotal(*item, *total) for item, total in sorted(self._items.items())),
            tuple(SiteTotal(site, *total) for site, total in sorted(self._sites.items())),
            self._funds,
        )


def statement(
    entries: Iterable[Entry],
    account: str,
    from_ms: int,
    to_ms: int,
    opening: Funds | None = None,
    commodity: str = CURRENCY,
) -> Statement:
    """Return the statement of an account for `from_ms <= time < to_ms`.

    Args:
        entries: Those of the period; others are passed over.
        account: The tenant's account.
        from_ms: First millisecond of the period.
        to_ms: First millisecond after it.
        opening: What the account had before; nothing when not given.
        commodity: Of all amounts.
    """
    builder = StatementBuilder(account, from_ms, to_ms, opening or Funds(), commodity)
    for entry in entries:
        builder.add(entry)
    return builder.finish()
