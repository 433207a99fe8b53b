"""Use that whoever sells it meters, and that is charged by the price book: line by line.

A line is known for ever by its site, its series and its own name, and makes one charge. It is a
posting that resolves a hold of nothing, so that statements, settlements, exports and verification
carry it as they carry the charge of an attempt. Where the month that it belongs to is closed it is
an adjustment in the open one, which names the entry that closed that month.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from fenglin.ledger.accounts import available, due
from fenglin.ledger.entry import Draft, Entry, Kind, Leg
from fenglin.ledger.posting import (
    CURRENCY,
    Charge,
    Hold,
    Terms,
    adjust,
    charges_of,
    hold,
    post,
    units,
)
from fenglin.quantities.period import Period, period_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Names of the details of a charge.
UNIT = "unit"
USED_FROM = "used_from_ms"
USED_TO = "used_to_ms"
RESOURCE = "resource"
USED_BY = "used_by"
GIVEN_BACK = "given_back"
_PREFIX = "metered:"
_BACK = "back:"
_ESCAPES = str.maketrans({"%": "%25", "/": "%2F"})


class MeteredUse(Struct, frozen=True, gc=False):
    """One line of use that is charged.

    Attributes:
        line: Its name, unique in its series for ever.
        account: Who pays.
        unit: Such as `storage_tb_month`; see `catalog.pricebook.quote.METERED`.
        quantity: Byte-milliseconds of storage, bytes of egress, frames.
        started_ms: Unix time.
        ended_ms: First millisecond after it.
        resource: What was used, such as a bucket; empty for unsaid.
        job: Number of the job that it was used for; 0 for none.
        attempt: Attempt key; empty for none.
        row: Where it stands in its file; no part of what it says.
    """

    line: str
    account: str
    unit: str
    quantity: int
    started_ms: int
    ended_ms: int
    resource: str
    job: int
    attempt: str
    row: int = 0

    @property
    def columns(self) -> dict[str, str | int]:
        """Return what it says, by the column that says it."""
        return {
            "account": self.account,
            "unit": self.unit,
            "quantity": self.quantity,
            "start": self.started_ms,
            "end": self.ended_ms,
            "resource": self.resource,
            "job": self.job,
            "attempt": self.attempt,
        }


class MeteredFile(Struct, frozen=True):
    """The lines of a file that are charged.

    Attributes:
        places: Its columns, from 0.
        uses: In its order.
    """

    places: Mapping[str, int]
    uses: Sequence[MeteredUse]


class MeteredSeries(Struct, frozen=True):
    """Where lines come from.

    Attributes:
        site: Where the use was.
        source: Name of the series.
        provider: Who sold it.
    """

    site: str
    source: str
    provider: str

    def name_of(self, line: str) -> str:
        """Return what names a line in the ledger, in the place of an attempt."""
        site, source = (text.translate(_ESCAPES) for text in (self.site, self.source))
        return f"{_PREFIX}{site}/{source}/{line}"


def is_metered(entry: Entry) -> bool:
    """Return whether a posting or an adjustment charges a line of metered use."""
    return entry.key.partition(":")[2].startswith(_PREFIX)


def gives_back(entry: Entry) -> bool:
    """Return whether an entry gives back what a line of metered use was charged."""
    return entry.kind is Kind.ADJUST and entry.key.partition(":")[2].startswith(_BACK)


def place_of(key: str) -> tuple[str, str, str] | None:
    """Return site, series and name of the line that the entry of a key charges; None of others."""
    name = key.partition(":")[2]
    if not name.startswith(_PREFIX):
        return None
    site, source, line = name.removeprefix(_PREFIX).split("/", 2)
    return _unescaped(site), _unescaped(source), line


def _unescaped(text: str) -> str:
    return text.replace("%2F", "/").replace("%25", "%")


def month_of(use: MeteredUse, offset_min: int) -> Period:
    """Return the month that a use belongs to: in which it ended."""
    return period_of(max(use.started_ms, use.ended_ms - 1), offset_min)


def charge_drafts(
    series: MeteredSeries,
    use: MeteredUse,
    lines: Sequence[Charge],
    versions: Sequence[str],
    offset_min: int,
    closing: Entry | None,
) -> tuple[Draft, ...]:
    """Return what is entered for a use; the last draft charges it.

    Args:
        series: Where it comes from.
        use: What it says.
        lines: What it costs, by tier.
        versions: Of the prices that it is from.
        offset_min: Minutes by which the books' clock is ahead of UTC.
        closing: The entry that closed its month; None while that is open.

    Raises:
        InputError: the charge is out of range, or the line's name is too long.
    """
    month = month_of(use, offset_min)
    name = series.name_of(use.line)
    details = tuple(
        (key, value)
        for key, value in (
            (UNIT, use.unit),
            ("month", str(month)),
            (USED_FROM, str(use.started_ms)),
            (USED_TO, str(use.ended_ms)),
            (RESOURCE, use.resource),
            (USED_BY, use.attempt),
        )
        if value
    )
    terms = Terms(series.site, "", "+".join(versions))
    of = Hold(name, use.account, CURRENCY, 0, use.job)
    posting = post(of, series.provider, lines, terms, memo=f"use of {month}", details=details)
    if closing is None:
        return (hold(use.account, 0, name, job=use.job), posting)
    micro = sum(line.amount_micro for line in lines)
    quantity = units(use.quantity, lines[0].per)
    legs = (
        Leg(available(use.account), CURRENCY, -micro),
        Leg(due(series.provider), CURRENCY, micro),
    )
    memo = f"late use of {month}: {quantity} {use.unit}"
    draft = adjust(closing, legs, name, memo=memo)
    return (replace(draft, job=use.job, details=(*draft.details, *posting.details)),)


def back_key(key: str) -> str:
    """Return the ledger's key of what is given back by a client's own key."""
    return f"{Kind.ADJUST}:{_BACK}{key}"


def back_draft(
    charged: Entry, use: MeteredUse, quantity: int, amount_micro: int, *, key: str, why: str
) -> Draft:
    """Give back some of a line's charge, or all: as if it had told of so much less.

    Args:
        charged: The entry that charges the line; it stays as it is.
        use: What the line says.
        quantity: How much of it was not used.
        amount_micro: What that is worth; the provider's due shrinks by it.
        key: Client's own key.
        why: For people.
    """
    owed = next(leg for leg in charged.legs if leg.account.startswith("provider:"))
    legs = (
        Leg(available(use.account), owed.commodity, amount_micro),
        Leg(owed.account, owed.commodity, -amount_micro),
    )
    month = charged.detail("month")
    told = units(quantity, charges_of(charged)[0].per)
    memo = f"given back of {month}: {told} {use.unit}, line {use.line}: {why}"
    draft = adjust(charged, legs, f"{_BACK}{key}", memo=memo)
    names = ("site", "price_version", UNIT, "month", USED_FROM, USED_TO, RESOURCE, USED_BY)
    said = ((name, charged.detail(name)) for name in names)
    details = (*draft.details, *((name, text) for name, text in said if text))
    return replace(draft, details=(*details, (GIVEN_BACK, str(quantity))))
