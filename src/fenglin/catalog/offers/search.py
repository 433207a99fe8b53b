"""The cheapest offer that meets a need.

Offers of one kind (one number of one card) lie sorted by price, so the answer is the first that
every bound admits: a few comparisons of short columns, and none at all without bounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct

from fenglin.catalog.offers.columns import (
    ACCELERATOR,
    COUNT,
    CPUS,
    EMPTY,
    INSTANCE,
    MEMORY,
    MICRO,
    PRICE,
    SPOT,
    ZONE,
    Ints,
    Mask,
)
from fenglin.catalog.offers.hosts import GIB_PER_CPU

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fenglin.catalog.offers.catalogue import Catalogue, Kind
    from fenglin.catalog.offers.need import Bound, OfferNeed

# Counts this near are the same, since lists write thirds with two or three digits.
COUNT_SLACK = MICRO // 100


class Offer(Struct, frozen=True, kw_only=True):
    """One machine that can be had in one zone.

    Attributes:
        provider: Who sells it.
        region: Where.
        zone: Where exactly; empty when the list does not say.
        instance: Name of the machine.
        card: Its accelerator; empty when it has none.
        count_micro: Cards in millionths.
        cpus_micro: vCPUs in millionths; None when unknown.
        memory_micro: GiB in millionths; None when unknown.
        spot: Whether the price is for a machine that may be taken away.
        price_micro: Micro-USD per hour.
    """

    provider: str
    region: str
    zone: str
    instance: str
    card: str
    count_micro: int
    cpus_micro: int | None
    memory_micro: int | None
    spot: bool
    price_micro: int


def cheapest(catalogue: Catalogue, need: OfferNeed) -> Offer | None:
    """Return the cheapest offer; ties go to the first provider, region, machine, zone by name."""
    return cheapest_of(catalogue, (need,))[1]


def cheapest_of(catalogue: Catalogue, needs: Sequence[OfferNeed]) -> tuple[int, Offer | None]:
    """Return which alternative has the cheapest offer, and that offer; (-1, None) for none.

    Ties go to the first provider, region, machine, zone by name, then to the alternative that is
    named first.
    """
    found = [(key, i) for i, need in enumerate(needs) if (key := _cheapest_key(catalogue, need))]
    if not found:
        return -1, None
    key, i = min(found)
    return i, offer_at(catalogue, key[-1], spot=needs[i].spot)


def cheapest_by_place(catalogue: Catalogue, needs: Iterable[OfferNeed]) -> tuple[Ints, Ints, Ints]:
    """Return the cheapest offer of each (provider, region) that has any, over all alternatives.

    Returns:
        Codes of the places, rising; the rows of their offers; the prices in micro-USD per hour.
    """
    parts = [_by_place(catalogue, need) for need in needs]
    places, rows, prices = (np.concatenate(part) for part in zip(*parts, strict=True))
    # Stable: where all else is equal, the alternative named first wins.
    codes = catalogue.codes
    order = np.lexsort((codes[ZONE, rows], codes[INSTANCE, rows], prices, places))
    places, rows, prices = places[order], rows[order], prices[order]
    _, first = np.unique(places, return_index=True)
    return places[first], rows[first], prices[first]


def offer_at(catalogue: Catalogue, row: int, *, spot: bool) -> Offer:
    """Return one row as an offer."""
    names = [
        known[code] for known, code in zip(catalogue.names, catalogue.codes[:, row], strict=True)
    ]
    amounts = catalogue.amounts[:, row].tolist()
    provider, region = catalogue.places[int(catalogue.place[row])]
    return Offer(
        provider=provider,
        region=region,
        zone=names[ZONE],
        instance=names[INSTANCE],
        card=names[ACCELERATOR],
        count_micro=max(0, amounts[COUNT]),
        cpus_micro=None if amounts[CPUS] == EMPTY else amounts[CPUS],
        memory_micro=None if amounts[MEMORY] == EMPTY else amounts[MEMORY],
        spot=spot,
        price_micro=amounts[SPOT if spot else PRICE],
    )


def price_kind(need: OfferNeed) -> int:
    """Return which amount is the price for a need."""
    return SPOT if need.spot else PRICE


def kinds_for(catalogue: Catalogue, need: OfferNeed) -> list[Kind]:
    """Return the kinds with the right number of the right card."""
    card = need.card.lower()
    exact = catalogue.kinds.get((card, need.count_micro))
    if not card:
        return [] if exact is None else [exact]
    return [
        kind
        for kind in catalogue.kinds.values()
        if kind.card == card
        and (
            abs(kind.count - need.count_micro) <= COUNT_SLACK
            or (need.more_cards and kind.count > need.count_micro)
        )
    ]


def places_allowed(catalogue: Catalogue, need: OfferNeed) -> Mask:
    """Return place → whether the need allows its provider and its region."""
    providers = {name.lower() for name in need.providers}
    regions = {name.lower() for name in need.regions}
    return np.array(
        [
            (not providers or provider in providers)
            and (
                not regions
                or region.lower() in regions
                or f"{provider}:{region.lower()}" in regions
            )
            for provider, region in catalogue.places
        ],
        dtype=np.bool_,
    )


def cpus_suffice(catalogue: Catalogue, need: OfferNeed, rows: Ints) -> Mask | None:
    """Return which rows have the vCPUs; None when all do."""
    return None if need.cpus is None else _within(catalogue.amounts[CPUS, rows], need.cpus)


def memory_suffices(catalogue: Catalogue, need: OfferNeed, rows: Ints) -> Mask | None:
    """Return which rows have the memory; None when all do."""
    if need.memory is None:
        return None
    have = catalogue.amounts[MEMORY, rows]
    if not need.memory.per_cpu:
        return _within(have, need.memory)
    cpus = catalogue.amounts[CPUS, rows]
    whole, rest = np.divmod(cpus, MICRO)
    least = whole * need.memory.micro - (-rest * need.memory.micro) // MICRO
    enough: Mask = (have >= least) & (have != EMPTY) & (cpus != EMPTY)
    return enough


def host_suffices(catalogue: Catalogue, need: OfferNeed, rows: Ints) -> Mask | None:
    """Return which rows are no host too small for its cards; None when all are right.

    Where a cloud lets any of many machines carry a card, one of the usual size is meant when
    neither vCPUs nor memory is asked for, and 4 GiB a vCPU when memory is not.
    """
    if need.memory is not None or not need.card:
        return None
    attached = catalogue.attached[rows]
    if need.cpus is None:
        return catalogue.roomy[rows] | ~attached
    least = need.cpus.micro // MICRO * GIB_PER_CPU * MICRO
    enough: Mask = catalogue.amounts[MEMORY, rows] >= least
    return enough | ~attached


def price_allowed(catalogue: Catalogue, need: OfferNeed, rows: Ints) -> Mask | None:
    """Return which rows cost no more than allowed; None when all do."""
    if need.most_micro is None:
        return None
    allowed: Mask = catalogue.amounts[price_kind(need), rows] <= need.most_micro
    return allowed


def _within(have: Ints, bound: Bound) -> Mask:
    """Return which amounts meet a bound; an unknown one never does."""
    met: Mask = have >= bound.micro if bound.at_least else have == bound.micro
    return met


def _feasible(catalogue: Catalogue, need: OfferNeed, rows: Ints) -> Mask | None:
    """Return which rows, all of the right kind and with a price, meet the rest; None for all."""
    masks = [
        places_allowed(catalogue, need)[catalogue.place[rows]]
        if need.providers or need.regions
        else None,
        cpus_suffice(catalogue, need, rows),
        memory_suffices(catalogue, need, rows),
        host_suffices(catalogue, need, rows),
        price_allowed(catalogue, need, rows),
    ]
    found: Mask | None = None
    for mask in masks:
        if mask is not None:
            found = mask if found is None else found & mask
    return found


def _cheapest_key(catalogue: Catalogue, need: OfferNeed) -> tuple[int, ...]:
    """Return (price, place, machine, zone, row) of the cheapest offer; empty for none."""
    found = []
    for kind in kinds_for(catalogue, need):
        rows = kind.by_spot if need.spot else kind.by_price
        mask = _feasible(catalogue, need, rows)
        if len(rows) == 0:
            continue
        first = 0 if mask is None else int(mask.argmax())
        if mask is None or mask[first]:
            found.append(_key(catalogue, int(rows[first]), price_kind(need)))
    return min(found, default=())


def _key(catalogue: Catalogue, row: int, price: int) -> tuple[int, ...]:
    """Return what offers are ordered by, and the row itself."""
    codes = catalogue.codes
    return (
        int(catalogue.amounts[price, row]),
        int(catalogue.place[row]),
        int(codes[INSTANCE, row]),
        int(codes[ZONE, row]),
        row,
    )


def _by_place(catalogue: Catalogue, need: OfferNeed) -> tuple[Ints, Ints, Ints]:
    """Return the cheapest row of each place: (places, rows, prices)."""
    found: list[Ints] = [np.zeros(0, dtype=np.int64)]
    for kind in kinds_for(catalogue, need):
        rows = kind.by_spot if need.spot else kind.by_price
        mask = _feasible(catalogue, need, rows)
        rows = rows if mask is None else rows[mask]
        _, first = np.unique(catalogue.place[rows], return_index=True)
        found.append(rows[first])
    rows = np.concatenate(found)
    return catalogue.place[rows], rows, catalogue.amounts[price_kind(need), rows]
