"""A bill: one tenant's period as a document that is the same whenever it is computed again.

It is made from entries that a checkpoint covers, so it can carry the proof of each of them. Of a
period that is over nothing in it depends on when it is asked for.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from fenglin.errors import DamageError
from fenglin.ledger.entry import Entry, Kind
from fenglin.ledger.metering.energy_note import energy_of
from fenglin.ledger.posting import CURRENCY, Charge, charges_of, units
from fenglin.ledger.proof import ProofFile
from fenglin.ledger.statement import (
    Funds,
    ItemTotal,
    Line,
    SiteTotal,
    Statement,
    StatementBuilder,
    statement,
)
from fenglin.ledger.vouchers.entries import PAYS
from fenglin.model.energy import Energy
from fenglin.quantities.period import Period

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

FORMAT = "fenglin-bill/1"
_CATEGORIES = {
    Kind.POST: "usage",
    Kind.VOUCHER: "credit",
    Kind.GRANT: "grant",
    Kind.DEPOSIT: "payment",
    Kind.PAY: "payment",
    Kind.ADJUST: "adjustment",
}


class BillEntry(Struct, frozen=True, kw_only=True):
    """One entry of the ledger as the tenant sees it.

    Attributes:
        seq: Of the entry.
        hash: Of the entry, hex.
        time_ms: Unix time of entry.
        kind: What it did.
        key: Of the entry.
        job: The job's number, 0 for none.
        attempt: Attempt key.
        site: Where the work ran.
        flavor: On which kind of machine.
        price_version: Of the price book, frozen at use.
        memo: For people.
        voucher: Which one, `<pool>/<id>`; empty for other entries.
        pays: Key of the entry that a voucher paid; empty for others.
        charges: What was used, with the prices in force.
        energy: What it took, as it was known when it was posted; None where it was not.
        available_micro: Change of what is available.
        held_micro: Change of what is held.
        after: What the account has afterwards.
    """

    seq: int
    hash: str
    time_ms: int
    kind: Kind
    key: str
    job: int
    attempt: str
    site: str
    flavor: str
    price_version: str
    memo: str
    voucher: str
    pays: str
    charges: tuple[Charge, ...]
    energy: Energy | None
    available_micro: int
    held_micro: int
    after: Funds


class KindTotal(Struct, frozen=True):
    """What the entries of one kind changed; all of them lead from the opening to the closing."""

    kind: Kind
    entries: int
    amount_micro: int


class HoursTotal(Struct, frozen=True):
    """A tenant's month in one kind of hours, in millionths of an hour.

    opening + granted - charged + adjusted = closing; never added to money or to other hours.

    Attributes:
        kind: `CORE-HOUR`, or `CARD.<MODEL>`.
        opening: Before the period.
        granted_micro: What came.
        charged_micro: What was used.
        adjusted_micro: Corrections, positive in the tenant's favour.
        items: Use per item, sorted.
        sites: Use per site, sorted.
        closing: After the period.
    """

    kind: str
    opening: Funds
    granted_micro: int
    charged_micro: int
    adjusted_micro: int
    items: tuple[ItemTotal, ...]
    sites: tuple[SiteTotal, ...]
    closing: Funds


class Bill(Struct, frozen=True, kw_only=True):
    """A tenant's month.

    opening + the sum of `kinds` = closing; charged - credits - adjusted = due.

    Attributes:
        format: `FORMAT`.
        account: The tenant's account.
        period: `YYYY-MM`.
        offset_min: Minutes by which the books' clock is ahead of UTC.
        from_ms: First millisecond of the period.
        to_ms: First millisecond after it.
        final: Whether the period is over; a bill of a running one still grows.
        grade: What the figures are: `live`, from entries that were made as things happened.
        commodity: Of all amounts.
        opening: Before the period.
        closing: After it.
        charged_micro: Sum of the charges.
        credits_micro: What vouchers paid, less what was clawed back; never a lower price.
        adjusted_micro: Corrections, positive in the tenant's favour.
        due_micro: What the month costs the tenant in money.
        kinds: Sorted by kind.
        items: Charges per item, sorted.
        sites: Charges per site, sorted.
        entries: In the order of entry.
        proof: That they lie in the ledger; null where there is none to prove.
        hours: What was paid in hours instead of money, by kind.
    """

    format: str = FORMAT
    account: str
    period: str
    offset_min: int
    from_ms: int
    to_ms: int
    final: bool
    grade: str = "live"
    commodity: str = CURRENCY
    opening: Funds
    closing: Funds
    charged_micro: int
    credits_micro: int
    adjusted_micro: int
    due_micro: int
    kinds: tuple[KindTotal, ...]
    items: tuple[ItemTotal, ...]
    sites: tuple[SiteTotal, ...]
    entries: tuple[BillEntry, ...]
    proof: ProofFile | None = None
    hours: tuple[HoursTotal, ...] = ()


class BillRow(Struct, frozen=True):
    """One row of a printed bill; opening + the sum of all amounts = closing.

    Attributes:
        time_ms: Unix time of entry.
        category: usage, credit (of vouchers), payment, grant (credit on trust), adjustment.
        kind: Of the entry.
        job: Such as `j7`, empty for none.
        site: Where the work ran.
        flavor: On which kind of machine.
        item: What was used; for other rows the entry's memo or key.
        quantity: Priced units, six decimals; empty where nothing was used.
        price_micro: Of one unit; None where nothing was used.
        amount_micro: Positive in the tenant's favour.
        seq: Of the entry.
        energy: Of the entry, on the first of its rows alone, so that rows can be added up.
    """

    time_ms: int
    category: str
    kind: Kind
    job: str
    site: str
    flavor: str
    item: str
    quantity: str
    price_micro: int | None
    amount_micro: int
    seq: int
    energy: Energy | None = None


def make_bill(
    account: str,
    period: Period,
    opening: Funds,
    entries: Sequence[Entry],
    proof: ProofFile | None,
    *,
    final: bool,
    hours: Mapping[str, Funds] = MappingProxyType({}),
) -> Bill:
    """Return the bill of a tenant's entries.

    Args:
        account: The tenant's account.
        period: The month.
        opening: What the account had before it.
        entries: All of the account's in the period, in order.
        proof: Of these entries.
        final: Whether the period is over.
        hours: What the account had before it of each kind of hours that it ever had.

    Raises:
        DamageError: an entry's charges cannot be read, or the sums contradict each other.
    """
    builder = StatementBuilder(account, period.from_ms, period.to_ms, opening)
    shown: list[BillEntry] = []
    kinds: dict[Kind, tuple[int, int]] = {}
    for entry in entries:
        line = builder.add(entry)
        if line is None:
            continue
        shown.append(_shown(entry, line))
        count, amount = kinds.get(entry.kind, (0, 0))
        kinds[entry.kind] = (count + 1, amount + line.available_micro + line.held_micro)
    made = builder.finish()
    moved = sum(amount for _, amount in kinds.values())
    if opening.total_micro + moved != made.closing.total_micro:
        raise DamageError(f"the bill of {account!r} for {period} does not foot", where="ledger")
    return Bill(
        account=account,
        period=str(period),
        offset_min=period.offset_min,
        from_ms=period.from_ms,
        to_ms=period.to_ms,
        final=final,
        opening=opening,
        closing=made.closing,
        charged_micro=made.charged_micro,
        credits_micro=made.vouchers_micro,
        adjusted_micro=made.adjusted_micro,
        due_micro=made.charged_micro - made.vouchers_micro - made.adjusted_micro,
        kinds=tuple(KindTotal(kind, *total) for kind, total in sorted(kinds.items())),
        items=made.items,
        sites=made.sites,
        entries=tuple(shown),
        proof=proof,
        hours=tuple(
            _hours(statement(entries, account, period.from_ms, period.to_ms, had, kind))
            for kind, had in sorted(hours.items())
        ),
    )


def _hours(made: Statement) -> HoursTotal:
    """Return what a statement in hours comes to."""
    return HoursTotal(
        made.commodity,
        made.opening,
        made.granted_micro,
        made.charged_micro,
        made.adjusted_micro,
        made.items,
        made.sites,
        made.closing,
    )


def _shown(entry: Entry, line: Line) -> BillEntry:
    """Return an entry as the tenant sees it: without the legs of others."""
    return BillEntry(
        seq=entry.seq,
        hash=entry.hash.hex(),
        time_ms=entry.time_ms,
        kind=entry.kind,
        key=entry.key,
        job=entry.job,
        attempt=entry.attempt,
        site=line.site,
        flavor=entry.detail("flavor"),
        price_version=entry.detail("price_version"),
        memo=entry.memo,
        voucher="/".join(filter(None, (entry.detail("pool"), entry.detail("voucher")))),
        pays=entry.detail(PAYS),
        charges=charges_of(entry) if entry.kind is Kind.POST else (),
        energy=energy_of(entry) if entry.kind is Kind.POST else None,
        available_micro=line.available_micro,
        held_micro=line.held_micro,
        after=line.after,
    )


def rows(bill: Bill) -> Iterator[BillRow]:
    """Yield what changed the account's worth; holds and their release do not."""
    for entry in bill.entries:
        left = entry.available_micro + entry.held_micro
        energy = entry.energy
        for charge in entry.charges:
            left += charge.amount_micro
            row = _row(
                entry,
                charge.item,
                units(charge.quantity, charge.per),
                charge.price_micro,
                -charge.amount_micro,
            )
            yield replace(row, energy=energy)
            energy = None
        if left:
            yield _row(entry, entry.memo or entry.key, "", None, left)


def _row(
    entry: BillEntry, item: str, quantity: str, price_micro: int | None, amount_micro: int
) -> BillRow:
    return BillRow(
        entry.time_ms,
        _CATEGORIES.get(entry.kind, entry.kind.value),
        entry.kind,
        f"j{entry.job}" if entry.job else "",
        entry.site,
        entry.flavor,
        item,
        quantity,
        price_micro,
        amount_micro,
        entry.seq,
    )
