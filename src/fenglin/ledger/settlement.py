"""Settlement: one month of what a provider's work was charged, divided by the deal in force.

Nothing enters it but the deal and the ledger's entries of the month, so it is the same bytes
whenever it is made again. Division is exact until its last step: whole fen (10,000 micro-units)
go to provider, taxes and hub by the method of the largest remainder, and what is less than a fen
stays on the provider's account, where it is shown. So

    charged + adjusted = provider + taxes + fee,    provider = payable + remainder

to the last micro-unit. Adjustments are divided as the month's charges are; a month whose
adjustments eat up its charges is the provider's alone.
"""

from __future__ import annotations

import hashlib
from fractions import Fraction
from math import ceil, lcm
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from fenglin.errors import DamageError
from fenglin.ledger.accounts import FEE, tax
from fenglin.ledger.entry import Draft, Entry, Kind
from fenglin.ledger.moves import settle
from fenglin.ledger.posting import charges_of, unit_of
from fenglin.ledger.settlement_deal import Deal, DealKind, deal_of
from fenglin.quantities.money import format_money
from fenglin.quantities.split import largest_remainder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fenglin.quantities.period import Period

FORMAT = "fenglin-settlement/1"
FEN_MICRO = 10_000
_DUE = ("provider", "due")
_SEEN_BYTES = 8 + 32


class SettledItem(Struct, frozen=True, kw_only=True):
    """What was charged for one item at one price; `quantity / per` priced units.

    Attributes:
        item: Such as `core_hour`.
        per: How many of `quantity` make one priced unit.
        price_micro: Of one priced unit.
        quantity: Whole units consumed.
        amount_micro: What tenants were charged for them.
        rule: What the provider gets of it, for people.
    """

    item: str
    per: int
    price_micro: int
    quantity: int
    amount_micro: int
    rule: str


class Settlement(Struct, frozen=True, kw_only=True):
    """A provider's month in one commodity.

    Attributes:
        format: `FORMAT`.
        provider: Whose.
        period: `YYYY-MM`.
        offset_min: Minutes by which the books' clock is ahead of UTC.
        commodity: Of all amounts.
        grade: What the figures are: `live`, from entries that were made as things happened.
        deal: By what it was divided.
        entries: How many entries of the month concern the provider.
        input_hash: SHA-256, hex, of the deal, and of number and hash of each of these entries.
        items: What was charged, sorted by item, unit and price.
        charged_micro: Sum of the items.
        adjusted_micro: Corrections made in this month, positive in the provider's favour.
        provider_micro: What stays the provider's; below zero where corrections exceed charges.
        payable_micro: Whole fen of it.
        remainder_micro: The rest of it, less than a fen, which stays on the provider's account.
        taxes: (name, micro-units), in whole fen, by name.
        fee_micro: The hub's, in whole fen.
        short_micro: What the deal promises the provider beyond what the charges could bear; it is
            in none of the other figures.
    """

    format: str = FORMAT
    provider: str
    period: str
    offset_min: int
    commodity: str
    grade: str = "live"
    deal: Deal
    entries: int
    input_hash: str
    items: tuple[SettledItem, ...]
    charged_micro: int
    adjusted_micro: int
    provider_micro: int
    payable_micro: int
    remainder_micro: int
    taxes: tuple[tuple[str, int], ...]
    fee_micro: int
    short_micro: int

    @property
    def taxes_micro(self) -> int:
        """Return the sum of all taxes."""
        return sum(amount for _, amount in self.taxes)


def settle_month(
    entries: Iterable[Entry], period: Period, deals: Mapping[str, Sequence[Deal]]
) -> tuple[Settlement, ...]:
    """Return the settlement of every provider that the month's entries concern.

    Args:
        entries: In any order; those of other months and kinds are passed over.
        period: The month.
        deals: By provider.

    Raises:
        DamageError: a posting's charges cannot be read, or are not what the provider earned.
    """
    found: dict[tuple[str, str], _Takings] = {}
    from_ms, to_ms = period.from_ms, period.to_ms
    for entry in entries:
        if entry.kind not in (Kind.POST, Kind.ADJUST) or not from_ms <= entry.time_ms < to_ms:
            continue
        for place, amount_micro in dues(entry).items():
            found.setdefault(place, _Takings()).add(entry, amount_micro)
    return tuple(
        takings.settle(period, deal_of(deals, provider, str(period), commodity))
        for (provider, commodity), takings in sorted(found.items())
    )


def settle_entry(made: Settlement) -> Draft:
    """Return the ledger entry of a settlement: what is not the provider's leaves its account."""
    return settle(
        made.provider,
        made.period,
        [(FEE, made.fee_micro), *((tax(name), amount) for name, amount in made.taxes)],
        commodity=made.commodity,
        details=(
            ("deal", made.deal.kind.value if made.deal.declared else "none"),
            ("input", made.input_hash),
            ("charged_micro", str(made.charged_micro)),
            ("adjusted_micro", str(made.adjusted_micro)),
            ("remainder_micro", str(made.remainder_micro)),
        ),
    )


def dues(entry: Entry) -> dict[tuple[str, str], int]:
    """Return by how much an entry changes what providers are owed, by (provider, commodity)."""
    found: dict[tuple[str, str], int] = {}
    for leg in entry.legs:
        root, _, rest = leg.account.partition(":")
        provider, _, last = rest.partition(":")
        if (root, last) == _DUE:
            place = (provider, leg.commodity)
            found[place] = found.get(place, 0) + leg.amount_micro
    return found


class _Takings:
    """What entries brought one provider in one commodity."""

    def __init__(self) -> None:
        self._items: dict[tuple[str, int, int], tuple[int, int]] = {}
        self._adjusted_micro = 0
        self._seen = bytearray()

    def add(self, entry: Entry, amount_micro: int) -> None:
        """Take an entry that changes what the provider is owed by so much."""
        self._seen += entry.seq.to_bytes(8, "big") + entry.hash
        if entry.kind is Kind.ADJUST:
            self._adjusted_micro += amount_micro
            return
        charges = charges_of(entry)
        if sum(line.amount_micro for line in charges) != amount_micro:
            raise DamageError(
                "its charges are not what the provider earned",
                where=f"entry {entry.seq}",
                hint="run `fenglin settle --check` and `fenglin ledger verify`",
            )
        for line in charges:
            place = (unit_of(line.item), line.per, line.price_micro)
            quantity, amount = self._items.get(place, (0, 0))
            self._items[place] = (quantity + line.quantity, amount + line.amount_micro)

    def settle(self, period: Period, deal: Deal) -> Settlement:
        """Divide it."""
        items = []
        wanted = Fraction(0)
        for (item, per, price_micro), (quantity, amount) in sorted(self._items.items()):
            part, rule = _part(deal, item, Fraction(quantity, per), price_micro, amount)
            wanted += part
            items.append(
                SettledItem(
                    item=item,
                    per=per,
                    price_micro=price_micro,
                    quantity=quantity,
                    amount_micro=amount,
                    rule=rule,
                )
            )
        charged = sum(one.amount_micro for one in items)
        room = charged * (1 - deal.tax_share)
        weights = _weights(deal, min(wanted, room), charged)
        gross = charged + self._adjusted_micro
        fen, remainder = divmod(gross, FEN_MICRO) if gross > 0 else (0, 0)
        if gross <= 0:
            remainder = -(-gross % FEN_MICRO)
        own, *others = largest_remainder(fen, weights)
        provider = gross - sum(others) * FEN_MICRO
        names = [name for name, _ in deal.taxes]
        return Settlement(
            provider=deal.provider,
            period=str(period),
            offset_min=period.offset_min,
            commodity=deal.commodity,
            deal=deal,
            entries=len(self._seen) // _SEEN_BYTES,
            input_hash=self._hash(period, deal),
            items=tuple(items),
            charged_micro=charged,
            adjusted_micro=self._adjusted_micro,
            provider_micro=provider,
            payable_micro=own * FEN_MICRO if gross > 0 else gross - remainder,
            remainder_micro=remainder,
            taxes=tuple(
                (name, part * FEN_MICRO) for name, part in zip(names, others[:-1], strict=True)
            ),
            fee_micro=others[-1] * FEN_MICRO,
            short_micro=max(0, ceil(wanted - room)),
        )

    def _hash(self, period: Period, deal: Deal) -> str:
        """Return what the settlement was made from, in the order of the ledger."""
        seen = self._seen
        parts = sorted(
            bytes(seen[at : at + _SEEN_BYTES]) for at in range(0, len(seen), _SEEN_BYTES)
        )
        head = msgspec.json.encode((FORMAT, str(period), period.offset_min, deal))
        return hashlib.sha256(head + b"\0" + b"".join(parts)).hexdigest()


def _part(
    deal: Deal, item: str, units: Fraction, price_micro: int, amount_micro: int
) -> tuple[Fraction, str]:
    """Return the provider's exact part of a charge in micro-units, and by which rule."""
    unit_micro = dict(deal.units).get(item)
    if deal.kind is DealKind.UNIT and unit_micro is not None:
        return units * unit_micro, f"{format_money(unit_micro, deal.commodity)} each"
    share = deal.tier_share(item, price_micro)
    if deal.kind is DealKind.TIERED and share is not None:
        listed = format_money(dict(deal.lists)[item], deal.commodity)
        return amount_micro * share.exact, f"{share} for a list price of {listed}"
    return amount_micro * deal.share.exact, str(deal.share)


def _weights(deal: Deal, own: Fraction, charged_micro: int) -> list[int]:
    """Return in what proportion provider, taxes and hub share, as whole numbers."""
    whole = Fraction(charged_micro)
    if not charged_micro:
        whole, own = Fraction(1), deal.share.exact
    taxes = [whole * rate.exact for _, rate in deal.taxes]
    exact = [own, *taxes, whole - own - sum(taxes)]
    scale = lcm(*(part.denominator for part in exact))
    return [int(part * scale) for part in exact]
