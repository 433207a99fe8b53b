"""What `fenglin.toml` says of deals with providers: `[deal.PROVIDER]`, or `[[deal.PROVIDER]]`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, TypeVar

import msgspec
from msgspec import Struct, field

from fenglin.catalog.pricebook.items import Unit
from fenglin.catalog.prices import PriceItem
from fenglin.errors import InputError
from fenglin.intake.read_toml import read_toml
from fenglin.ledger.accounts import due, tax
from fenglin.ledger.settlement_deal import (
    Deal,
    DealKind,
    Rate,
    Tier,
    check_deal,
    parse_rate,
)
from fenglin.quantities.money import parse_money_micro
from fenglin.quantities.period import parse_period
from fenglin.quantities.shown import shown

if TYPE_CHECKING:
    from collections.abc import Callable

# An entry of the ledger has at most 64 legs.
MOST_TAXES = 16
MOST_TIERS = 100
MOST_RATIO = 1_000
Amount = str | float | int
T = TypeVar("T")
_PART = re.compile(r"[^.\[\]]+")
_ITEMS = tuple(dict.fromkeys(item.value for item in (*PriceItem, *Unit)))


class TierBlock(Struct, frozen=True, forbid_unknown_fields=True):
    """One of `tiers`.

    Attributes:
        least: Deal price by list price from which it holds.
        share: The provider's.
    """

    share: Amount
    least: Amount = field(name="from", default=0)


class DealBlock(Struct, frozen=True, forbid_unknown_fields=True):
    """`[deal.PROVIDER]`.

    Attributes:
        since: First month in which it holds.
        share: The provider's part of each charge.
        hub_fee: The hub's part instead; the provider gets what it and the taxes leave.
        unit: Item → what the provider gets for one unit.
        list_price: Item → its list price, for `tiers`.
        tiers: Shares by deal price over list price.
        tax: Name → part of each charge.
    """

    since: str = ""
    share: Amount | None = None
    hub_fee: Amount | None = None
    unit: dict[str, Amount] = {}
    list_price: dict[str, Amount] = field(name="list", default_factory=dict)
    tiers: tuple[TierBlock, ...] = ()
    tax: dict[str, Amount] = {}


def deals_of(blocks: Mapping[str, object]) -> dict[str, tuple[Deal, ...]]:
    """Check the blocks; return each provider's deals by their first month.

    Raises:
        InputError: says which key is wrong.
    """
    found: dict[str, tuple[Deal, ...]] = {}
    for provider, raw in sorted(blocks.items()):
        where = f"deal.{provider[:80]}"
        _at(where, due, provider)
        each = [(where, raw)]
        if isinstance(raw, list):
            each = [(f"{where}[{n}]", block) for n, block in enumerate(raw)]
        deals: dict[str, Deal] = {}
        for place, block in each:
            deal = _deal(provider, _read(block, place), place)
            if deal.since in deals:
                raise InputError(
                    f"two deals hold from {deal.since or 'the beginning'} on",
                    where=f"{place}.since",
                    hint='give the later one its first month, such as since = "2027-01"',
                )
            deals[deal.since] = deal
        found[provider] = tuple(deal for _, deal in sorted(deals.items()))
    return found


def deal_line(text: str, where: str) -> int:
    """Return the line of a configuration in which a deal's key stands; 0 where none is found.

    Args:
        text: TOML.
        where: As an error of `deals_of` names the key.
    """
    if not where.startswith("deal."):
        return 0
    marks = read_toml(text).marks
    path = tuple(int(part) if part.isdecimal() else part for part in _PART.findall(where))
    known = (marks[path[:end]] for end in range(len(path), 1, -1) if path[:end] in marks)
    return next((mark.key.line for mark in known), 0)


def _read(raw: object, where: str) -> DealBlock:
    try:
        return msgspec.convert(raw, DealBlock)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        keys = ", ".join(found.encode_name for found in msgspec.structs.fields(DealBlock))
        raise InputError(
            what,
            where=where + path.rstrip("`").replace("[...]", ""),
            hint=f"known here: {keys}; see docs/reference/configuration.md",
        ) from error


def _deal(provider: str, block: DealBlock, where: str) -> Deal:
    kind = DealKind.UNIT if block.unit else DealKind.TIERED if block.tiers else DealKind.SHARE
    _check_keys(block, kind, where)
    taxes = []
    for name, rate in sorted(block.tax.items()):
        _at(f"{where}.tax.{name[:80]}", tax, name)
        taxes.append((name, _at(f"{where}.tax.{name}", parse_rate, rate)))
    if len(taxes) > MOST_TAXES:
        raise InputError(f"{len(taxes)} taxes", where=f"{where}.tax", hint=f"at most {MOST_TAXES}")
    deal = Deal(
        provider=provider,
        since=str(_at(f"{where}.since", parse_period, block.since)) if block.since else "",
        kind=kind,
        units=_amounts(block.unit, f"{where}.unit"),
        lists=_amounts(block.list_price, f"{where}.list"),
        tiers=tuple(
            Tier(
                _at(f"{where}.tiers[{n}].from", _ratio, tier.least),
                _at(f"{where}.tiers[{n}].share", parse_rate, tier.share),
            )
            for n, tier in enumerate(block.tiers)
        ),
        taxes=tuple(taxes),
    )
    left = max(1 - deal.tax_share, Fraction(0))
    if block.hub_fee is not None:
        left -= _at(f"{where}.hub_fee", parse_rate, block.hub_fee).exact
        if left < 0:
            raise InputError("fee and taxes are more than the whole", where=f"{where}.hub_fee")
    share = Rate(left.numerator, left.denominator)
    if block.share is not None:
        share = _at(f"{where}.share", parse_rate, block.share)
    deal = msgspec.structs.replace(deal, share=share)
    try:
        check_deal(deal)
    except InputError as error:
        raise InputError(error.what, where=f"{where}.{error.where}", hint=error.hint) from error
    return deal


def _check_keys(block: DealBlock, kind: DealKind, where: str) -> None:
    """Refuse keys that contradict each other, or say nothing together."""
    if block.unit and block.tiers:
        raise InputError("it has both unit prices and tiers", where=where, hint="keep one")
    if block.share is not None and block.hub_fee is not None:
        raise InputError(
            "it has both a share and a hub_fee", where=f"{where}.hub_fee",
            hint="one of them says the other",
        )  # fmt: skip
    if bool(block.tiers) != bool(block.list_price):
        raise InputError(
            "tiers and list prices need each other", where=f"{where}.list",
            hint='such as list = { core_hour = "0.12 CNY" }',
        )  # fmt: skip
    if kind is DealKind.SHARE and block.share is None and block.hub_fee is None and not block.tax:
        raise InputError(
            "it says nothing", where=where, hint="give share, hub_fee, unit, tiers or tax"
        )
    if len(block.tiers) > MOST_TIERS:
        raise InputError("too many", where=f"{where}.tiers", hint=f"at most {MOST_TIERS}")


def _amounts(written: Mapping[str, Amount], where: str) -> tuple[tuple[str, int], ...]:
    """Return positive amounts of one unit of each item, by item."""
    found = []
    for item, amount in sorted(written.items()):
        if item not in _ITEMS:
            raise InputError(
                f"unknown item {shown(item)}", where=where, hint=f"one of {', '.join(_ITEMS)}"
            )
        amount_micro = _at(f"{where}.{item}", parse_money_micro, amount)
        if amount_micro <= 0:
            raise InputError("it must be above 0", where=f"{where}.{item}")
        found.append((item, amount_micro))
    return tuple(found)


def _ratio(value: Amount) -> Rate:
    """Return a ratio of prices, which may lie above the list's."""
    return parse_rate(value, MOST_RATIO)


def _at(where: str, parser: Callable[[str], T] | Callable[[Amount], T], value: Amount) -> T:
    """Parse a value; an error says where it stands."""
    try:
        return parser(value)  # type: ignore[arg-type]
    except InputError as error:
        raise InputError(error.what, where=where, hint=error.hint) from error
