"""Export in the columns of FOCUS 1.2, in which clouds and their customers exchange bills.

One row for each item of a posting (Usage), each voucher that was given or taken back (Credit) and
each correction (Adjustment). Metered use whose month is closed corrects that month: a row for each
of its items, too; what of it is given back is an adjustment of the same service. Money in and out,
credit on trust, holds and settlements are no charges. A voucher is a row of its own and never
lowers a unit price. The ledger keeps the one price that was frozen at use, so that list,
contracted and effective cost are equal.

Source: FinOps Open Cost and Usage Specification 1.2, https://focus.finops.org.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from fenglin.ledger.entry import Entry, Kind, Leg
from fenglin.ledger.export import decimal_amount, text_cell, utc_time
from fenglin.ledger.metering.metered import (
    RESOURCE,
    UNIT,
    USED_BY,
    USED_FROM,
    USED_TO,
    gives_back,
    is_metered,
)
from fenglin.ledger.posting import charges_of, unit_of, units
from fenglin.ledger.vouchers.entries import PAYS
from fenglin.quantities.period import DEFAULT_OFFSET_MIN, Period, period_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

COLUMNS = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingAccountType",
    "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargeClass",
    "ChargeDescription", "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart",
    "ConsumedQuantity", "ConsumedUnit", "ContractedCost", "ContractedUnitPrice", "EffectiveCost",
    "InvoiceId", "InvoiceIssuerName", "ListCost", "ListUnitPrice", "PricingCategory",
    "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "RegionId", "RegionName",
    "ResourceId", "ResourceName", "ResourceType", "ServiceCategory", "ServiceName",
    "ServiceSubcategory", "SkuId", "SkuMeter", "SkuPriceId", "Tags",
)  # fmt: skip
_NUMBERS = frozenset(
    name for name in COLUMNS if name.endswith(("Cost", "UnitPrice", "PricingQuantity"))
) | {"ConsumedQuantity"}
_COSTS = ("BilledCost", "ContractedCost", "EffectiveCost", "ListCost")
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_SECOND_MS = 1_000
# Category, subcategory and name of the service, and the unit as the specification writes it.
_SERVICES = {
    "storage_tb_month": ("Storage", "Other (Storage)", "Storage", "TB-Months"),
    "egress_gb": ("Networking", "Other (Networking)", "Network", "GB"),
    "frame": ("Media", "Content Creation", "Rendering", "Frames"),
}
_COMPUTE = ("Compute", "Other (Compute)", "Compute", "")
_ENCODER = msgspec.json.Encoder(order="sorted")


def focus(entries: Iterable[Entry], offset_min: int = DEFAULT_OFFSET_MIN) -> Iterator[str]:
    """Yield CSV lines after a header, in memory that grows with open holds and used vouchers.

    Null is an empty cell. A text that a spreadsheet would run as a formula gets an apostrophe.

    Args:
        entries: The whole ledger, in order.
        offset_min: Minutes by which the books' clock is ahead of UTC; months begin by it.

    Raises:
        DamageError: a charge cannot be read.
    """
    yield ",".join(COLUMNS) + "\r\n"
    months = _Months(offset_min)
    held_since: dict[str, int] = {}
    for entry in entries:
        month = months.see(entry)
        since_ms = entry.time_ms
        if entry.kind is Kind.HOLD:
            held_since[entry.attempt] = entry.time_ms
        elif entry.kind in {Kind.POST, Kind.VOID}:
            since_ms = held_since.pop(entry.attempt, entry.time_ms)
        metered = entry.kind in {Kind.POST, Kind.ADJUST} and is_metered(entry)
        if entry.kind is Kind.POST or metered:
            # What is metered is adjusted only where its month was closed.
            rows = _usage(entry, "" if entry.kind is Kind.POST else "Correction")
        elif entry.kind in {Kind.ADJUST, Kind.VOUCHER}:
            late = months.of_earlier(entry, month)
            rows = _others(entry, "Correction" if late else "")
        else:
            continue
        told = metered or gives_back(entry)
        common = _common(entry, month, since_ms) | (_metered(entry) if told else {})
        for row in rows:
            yield _line(common | row)


class _Months:
    """Remembers with which entry each month began, to tell corrections of earlier months."""

    def __init__(self, offset_min: int) -> None:
        self._offset_min = offset_min
        self._first_uses: dict[tuple[str, str], Period] = {}
        self._seqs: list[int] = []
        self._months: list[Period] = []

    def see(self, entry: Entry) -> Period:
        """Return the month of an entry."""
        month = period_of(entry.time_ms, self._offset_min)
        if not self._months or self._months[-1] != month:
            self._seqs.append(entry.seq)
            self._months.append(month)
        return month

    def of_earlier(self, entry: Entry, month: Period) -> bool:
        """Return whether an entry corrects what was billed in an earlier month."""
        if entry.kind is Kind.VOUCHER:
            name = (entry.detail("pool"), entry.detail("voucher"))
            if entry.detail(PAYS):
                self._first_uses.setdefault(name, month)
            return (
                entry.detail("act") in {"clawback", "return"}
                and self._first_uses.get(name, month) < month
            )
        seq = entry.detail("corrects_seq")
        if entry.kind is not Kind.ADJUST or not seq.isdecimal() or int(seq) < self._seqs[0]:
            return False
        return self._months[bisect_right(self._seqs, int(seq)) - 1] < month


def _common(entry: Entry, month: Period, since_ms: int) -> dict[str, str]:
    """Return what all rows of an entry share."""
    provider = next((_name(leg) for leg in entry.legs if leg.account.startswith("provider:")), "")
    site, job = entry.detail("site"), f"j{entry.job}" if entry.job else ""
    # A credit is of what it pays, so that costs by resource are net of it.
    paid = entry.detail(PAYS)
    attempt = entry.attempt or paid.removeprefix("post:")
    named = {name: entry.detail(name) for name in ("pool", "voucher")} | {"job": job, PAYS: paid}
    tags = {"entry": str(entry.seq)} | {name: text for name, text in named.items() if text}
    # The end is exclusive, and whole seconds are what all readers understand.
    end_ms = (entry.time_ms // _SECOND_MS + 1) * _SECOND_MS
    category, subcategory, service, _ = _COMPUTE
    return {
        "BillingPeriodStart": _moment(month.from_ms),
        "BillingPeriodEnd": _moment(month.to_ms),
        "ChargePeriodStart": _moment(since_ms),
        "ChargePeriodEnd": _moment(end_ms),
        "InvoiceIssuerName": entry.ledger_id,
        "ProviderName": provider or entry.ledger_id,
        "PublisherName": provider or entry.ledger_id,
        "RegionId": site,
        "RegionName": site,
        "ResourceId": attempt,
        "ResourceName": job if attempt else "",
        "ResourceType": "Attempt" if attempt else "",
        "ServiceCategory": category,
        "ServiceName": service,
        "ServiceSubcategory": subcategory,
        "Tags": _ENCODER.encode(tags).decode(),
    }


def _metered(entry: Entry) -> dict[str, str]:
    """Return in what the rows of metered use differ: when it was, and of what."""
    category, subcategory, service, _ = _SERVICES.get(entry.detail(UNIT), _COMPUTE)
    resource = entry.detail(RESOURCE) or entry.detail(USED_BY)
    from_ms, to_ms = int(entry.detail(USED_FROM)), int(entry.detail(USED_TO))
    # A moment, too, lasts to the end of its second.
    end_ms = -(-max(to_ms, from_ms + 1) // _SECOND_MS) * _SECOND_MS
    return {
        "ChargePeriodStart": _moment(from_ms),
        "ChargePeriodEnd": _moment(end_ms),
        "ResourceId": resource,
        "ResourceName": resource,
        "ResourceType": service if resource else "",
        "ServiceCategory": category,
        "ServiceName": service,
        "ServiceSubcategory": subcategory,
    }


def _usage(entry: Entry, charge_class: str) -> Iterator[dict[str, str]]:
    """Yield a row for each item of a posting."""
    tenant = next(leg for leg in entry.legs if leg.account.startswith("tenant:"))
    flavor, version = entry.detail("flavor"), entry.detail("price_version")
    for charge in charges_of(entry):
        quantity = units(charge.quantity, charge.per)
        price = decimal_amount(charge.price_micro)
        sku = "/".join(filter(None, (flavor, charge.item)))
        unit = _SERVICES.get(unit_of(charge.item), _COMPUTE)[-1] or unit_of(charge.item)
        yield _cost(tenant, charge.amount_micro) | {
            "ChargeCategory": "Usage",
            "ChargeClass": charge_class,
            "ChargeDescription": f"{charge.item} of {entry.attempt or entry.key}",
            "ChargeFrequency": "Usage-Based",
            "ConsumedQuantity": quantity,
            "ConsumedUnit": unit,
            "ContractedUnitPrice": price,
            "ListUnitPrice": price,
            "PricingCategory": "Standard",
            "PricingQuantity": quantity,
            "PricingUnit": unit,
            "SkuId": sku,
            "SkuMeter": unit_of(charge.item),
            "SkuPriceId": "/".join(filter(None, (version, sku, price))),
        }


def _others(entry: Entry, charge_class: str) -> Iterator[dict[str, str]]:
    """Yield a row for each tenant whom a voucher or a correction concerns."""
    for leg in entry.legs:
        if not (leg.account.startswith("tenant:") and leg.amount_micro):
            continue
        yield _cost(leg, -leg.amount_micro) | {
            "ChargeCategory": "Credit" if entry.kind is Kind.VOUCHER else "Adjustment",
            "ChargeClass": charge_class,
            "ChargeDescription": entry.memo or entry.key,
            "ChargeFrequency": "One-Time",
        }


def _cost(leg: Leg, amount_micro: int) -> dict[str, str]:
    """Return whom a row charges, and how much."""
    amount = decimal_amount(amount_micro)
    name = _name(leg)
    return dict.fromkeys(_COSTS, amount) | {
        "BillingAccountId": name,
        "BillingAccountName": name,
        "BillingAccountType": "Tenant",
        "BillingCurrency": leg.commodity,
    }


def _line(row: dict[str, str]) -> str:
    """Return a row as text; empty for what is counted in no currency, such as card-hours."""
    if _CURRENCY.fullmatch(row["BillingCurrency"]) is None:
        return ""
    cells = ((name, row.get(name, "")) for name in COLUMNS)
    return ",".join(c if name in _NUMBERS else text_cell(c) for name, c in cells) + "\r\n"


def _name(leg: Leg) -> str:
    return leg.account.split(":")[1]


def _moment(time_ms: int) -> str:
    """Return a time in UTC, whole seconds, as ISO 8601 with `Z`."""
    moment = utc_time(0) + timedelta(seconds=time_ms // _SECOND_MS)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
