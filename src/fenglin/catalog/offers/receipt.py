"""Why offers were refused, and what would have to change."""

from __future__ import annotations

from difflib import get_close_matches
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from fenglin.catalog.offers.columns import (
    ACCELERATOR,
    COUNT,
    CPUS,
    EMPTY,
    INSTANCE,
    MEMORY,
    MICRO,
    PRICE,
    PROVIDER,
    SPOT,
    Ints,
    Mask,
)
from fenglin.catalog.offers.search import (
    COUNT_SLACK,
    Offer,
    cheapest,
    cpus_suffice,
    host_suffices,
    kinds_for,
    memory_suffices,
    offer_at,
    places_allowed,
    price_kind,
)
from fenglin.quantities.money import format_money

if TYPE_CHECKING:
    from fenglin.catalog.offers.catalogue import Catalogue
    from fenglin.catalog.offers.need import Bound, OfferNeed

MAX_SIMILAR = 5


class OfferReason(StrEnum):
    """Why no offer of a class will do."""

    NO_SUCH_ACCELERATOR = "no_such_accelerator"
    NO_HOST = "no_host"
    COUNT_TOO_SMALL = "count_too_small"
    COUNT_DIFFERS = "count_differs"
    PROVIDER_NOT_ALLOWED = "provider_not_allowed"
    REGION_NOT_ALLOWED = "region_not_allowed"
    CPUS = "cpus"
    MEMORY = "memory"
    HOST_TOO_SMALL = "host_too_small"
    SPOT_NOT_OFFERED = "spot_not_offered"
    NO_PRICE = "no_price"
    OVER_CEILING = "over_price_ceiling"


class Refusal(Struct, frozen=True, kw_only=True):
    """One class of offers, none of which will do.

    Attributes:
        provider: Whose they are.
        instance: Which machine; empty for all machines of the provider.
        reason: What is wrong with the offer that comes furthest.
        offers: How many offers the class has.
        detail: The figures.
    """

    provider: str
    instance: str
    reason: OfferReason
    offers: int
    detail: str


class NearMiss(Struct, frozen=True, kw_only=True):
    """The cheapest offer that would do if the need changed so.

    Attributes:
        reasons: What stands against it.
        change: The same in words that say what to change.
        offer: The offer; at its other price when it lacks the wanted one.
    """

    reasons: tuple[OfferReason, ...]
    change: str
    offer: Offer


class Receipt(Struct, frozen=True, kw_only=True):
    """What a search found and why not the rest.

    Attributes:
        offer: The cheapest offer; None when there is none.
        refused: Classes of offers without any that will do, by provider and machine.
        near: What other offers would need; cheaper ones only when there is an offer.
        similar: Accelerators of like names, when the catalogue has none of this name.
    """

    offer: Offer | None
    refused: tuple[Refusal, ...]
    near: tuple[NearMiss, ...]
    similar: tuple[str, ...]


def explain(catalogue: Catalogue, need: OfferNeed) -> Receipt:
    """Return the cheapest offer with the reasons against all others."""
    best = cheapest(catalogue, need)
    rows = _rows_of_card(catalogue, need.card)
    tests = _tests(catalogue, need, rows)
    similar = () if len(rows) or not need.card else _similar(catalogue, need.card)
    return Receipt(
        offer=best,
        refused=(*_refused_providers(catalogue, need), *_refused_machines(catalogue, need)),
        near=_near(catalogue, need, rows, tests, best),
        similar=similar,
    )


def _rows_of_card(catalogue: Catalogue, card: str) -> Ints:
    """Return all offers of a card in any number; for no card those without."""
    found = [kind.rows for kind in catalogue.kinds.values() if kind.card == card.lower()]
    return np.concatenate([np.zeros(0, dtype=np.int64), *found])


def _tests(catalogue: Catalogue, need: OfferNeed, rows: Ints) -> dict[OfferReason, Mask]:
    """Return for each reason which rows it does not stand against, in the order of asking."""
    all_rows = np.ones(len(rows), dtype=np.bool_)
    counts = np.maximum(catalogue.amounts[COUNT, rows], 0)
    enough = np.abs(counts - need.count_micro) <= COUNT_SLACK
    if need.more_cards:
        enough |= counts > need.count_micro
    providers = {name.lower() for name in need.providers}
    sellers = np.array([not providers or place[0] in providers for place in catalogue.places])
    price = catalogue.amounts[price_kind(need), rows]
    return {
        OfferReason.COUNT_DIFFERS: enough,
        OfferReason.PROVIDER_NOT_ALLOWED: sellers[catalogue.place[rows]] if len(rows) else all_rows,
        OfferReason.REGION_NOT_ALLOWED: _regions_allow(catalogue, need, rows),
        OfferReason.CPUS: _or_all(cpus_suffice(catalogue, need, rows), all_rows),
        OfferReason.MEMORY: _or_all(memory_suffices(catalogue, need, rows), all_rows),
        OfferReason.HOST_TOO_SMALL: _or_all(host_suffices(catalogue, need, rows), all_rows),
        OfferReason.SPOT_NOT_OFFERED if need.spot else OfferReason.NO_PRICE: price != EMPTY,
        OfferReason.OVER_CEILING: all_rows if need.most_micro is None else price <= need.most_micro,
    }


def _or_all(mask: Mask | None, all_rows: Mask) -> Mask:
    return all_rows if mask is None else mask


def _regions_allow(catalogue: Catalogue, need: OfferNeed, rows: Ints) -> Mask:
    """Return which rows lie in an allowed region, whoever the provider is."""
    allowed = places_allowed(catalogue, replace(need, providers=()))
    return allowed[catalogue.place[rows]] if len(rows) else np.zeros(0, dtype=np.bool_)


def _refused_providers(catalogue: Catalogue, need: OfferNeed) -> list[Refusal]:
    """Return providers that sell nothing of the right kind, or may not be used."""
    rows = _rows_of_card(catalogue, need.card)
    providers = {name.lower() for name in need.providers}
    right = {
        catalogue.names[PROVIDER][code]
        for kind in kinds_for(catalogue, need)
        for code in np.unique(catalogue.codes[PROVIDER, kind.rows]).tolist()
    }
    seller = catalogue.codes[PROVIDER, rows]
    found = []
    for code, name in enumerate(catalogue.names[PROVIDER]):
        if not name or (name in right and (not providers or name in providers)):
            continue
        own = catalogue.amounts[COUNT, rows[seller == code]]
        if providers and name not in providers:
            reason, detail = OfferReason.PROVIDER_NOT_ALLOWED, f"allowed: {_listed(providers)}"
        else:
            reason, detail = _count_reason(catalogue, need, name, own)
        found.append(
            Refusal(provider=name, instance="", reason=reason, offers=len(own), detail=detail)
        )
    return found


def _count_reason(
    catalogue: Catalogue, need: OfferNeed, provider: str, counts: Ints
) -> tuple[OfferReason, str]:
    """Return why a provider has nothing of the right kind."""
    if len(counts):
        sold = ", ".join(_amount(one) for one in np.unique(np.maximum(counts, 0)).tolist())
        small = int(counts.max()) < need.count_micro
        reason = OfferReason.COUNT_TOO_SMALL if small else OfferReason.COUNT_DIFFERS
        return reason, f"wanted {_amount(need.count_micro)}, sold in {sold}"
    card = need.card.lower()
    if any(one == provider and name.lower() == card for one, name, _ in catalogue.hostless):
        return OfferReason.NO_HOST, "the price list has the cards but no machine to carry them"
    what = need.card or "machines without accelerators"
    return OfferReason.NO_SUCH_ACCELERATOR, f"sells no {what}"


def _refused_machines(catalogue: Catalogue, need: OfferNeed) -> list[Refusal]:
    """Return machines of the right kind of which no offer will do, by provider and name."""
    rows = np.concatenate(
        [np.zeros(0, dtype=np.int64), *(kind.rows for kind in kinds_for(catalogue, need))]
    )
    tests = _tests(catalogue, need, rows)
    use = tests.pop(OfferReason.PROVIDER_NOT_ALLOWED)
    rows = rows[use]
    reasons = list(tests)
    # How far each row comes before a test stops it; a class comes as far as its best row.
    masks = np.array([mask[use] for mask in tests.values()], dtype=np.bool_)
    stopped = np.where(masks.all(axis=0), len(reasons), (~masks).argmax(axis=0))
    machines = len(catalogue.names[INSTANCE])
    pairs = catalogue.codes[PROVIDER, rows].astype(np.int64) * machines
    pairs += catalogue.codes[INSTANCE, rows]
    classes, inverse, sizes = np.unique(pairs, return_inverse=True, return_counts=True)
    furthest = np.full(len(classes), -1, dtype=np.int64)
    np.maximum.at(furthest, inverse, stopped)
    found = []
    for i in np.flatnonzero(furthest < len(reasons)).tolist():
        reason = reasons[furthest[i]]
        example = int(rows[np.flatnonzero((inverse == i) & (stopped == furthest[i]))[0]])
        found.append(
            Refusal(
                provider=catalogue.names[PROVIDER][int(classes[i]) // machines],
                instance=catalogue.names[INSTANCE][int(classes[i]) % machines],
                reason=reason,
                offers=int(sizes[i]),
                detail=_detail(catalogue, need, reason, example),
            )
        )
    return found


def _detail(catalogue: Catalogue, need: OfferNeed, reason: OfferReason, row: int) -> str:
    """Return the figures behind a reason, as of one offer."""
    have = catalogue.amounts[:, row].tolist()
    if reason is OfferReason.CPUS and need.cpus:
        return f"has {_amount(have[CPUS])} vCPUs, wanted {_bound(need.cpus)}"
    if reason is OfferReason.MEMORY and need.memory:
        return f"has {_amount(have[MEMORY])} GiB, wanted {_bound(need.memory)}"
    if reason is OfferReason.HOST_TOO_SMALL:
        return (
            f"has {_amount(have[CPUS])} vCPUs, {_amount(have[MEMORY])} GiB; "
            "too small a host unless the need says how small it may be"
        )
    if reason is OfferReason.REGION_NOT_ALLOWED:
        return f"allowed: {_listed(need.regions)}"
    if reason is OfferReason.OVER_CEILING and need.most_micro is not None:
        costs = format_money(have[price_kind(need)], "USD/h")
        return f"costs {costs}, at most {format_money(need.most_micro, 'USD/h')} allowed"
    return "offered at its full price only" if need.spot else "the list has no price"


def _near(
    catalogue: Catalogue,
    need: OfferNeed,
    rows: Ints,
    tests: dict[OfferReason, Mask],
    best: Offer | None,
) -> tuple[NearMiss, ...]:
    """Return for each single change the cheapest offer; when none helps, the least changes."""
    if len(rows) == 0:
        return ()
    masks = np.array(list(tests.values()))
    reasons = list(tests)
    failed = (~masks).sum(axis=0)
    kind, other = (SPOT, PRICE) if need.spot else (PRICE, SPOT)
    wanted = catalogue.amounts[kind, rows]
    price = np.where(wanted == EMPTY, catalogue.amounts[other, rows], wanted)
    priced = price != EMPTY
    if best is not None:  # fewer cards for less money are no news
        priced &= catalogue.amounts[COUNT, rows] >= need.count_micro - COUNT_SLACK
    found = []
    for i in range(len(reasons)):
        hits = np.flatnonzero(priced & (failed == 1) & ~masks[i])
        if len(hits):
            found.append(_cheapest_of_hits(catalogue, rows, price, hits))
    if not found and best is None and priced.any():
        least = failed[priced].min()
        hits = np.flatnonzero(priced & (failed == least))
        found.append(_cheapest_of_hits(catalogue, rows, price, hits))
    misses = []
    for at in found:
        if best is not None and int(price[at]) >= best.price_micro:
            continue
        against = tuple(r for r, mask in zip(reasons, masks, strict=True) if not mask[at])
        row = int(rows[at])
        spot = need.spot if int(wanted[at]) != EMPTY else not need.spot
        changes = [_change(catalogue, need, reason, row) for reason in against]
        offer = offer_at(catalogue, row, spot=spot)
        misses.append(NearMiss(reasons=against, change=" and ".join(changes), offer=offer))
    return tuple(sorted(misses, key=lambda miss: (len(miss.reasons), miss.offer.price_micro)))


def _cheapest_of_hits(catalogue: Catalogue, rows: Ints, price: Ints, hits: Ints) -> int:
    """Return which hit is the cheapest; ties by place and machine."""
    at = rows[hits]
    order = np.lexsort((catalogue.codes[INSTANCE, at], catalogue.place[at], price[hits]))
    return int(hits[order[0]])


def _change(catalogue: Catalogue, need: OfferNeed, reason: OfferReason, row: int) -> str:
    """Return what would have to change for one test to let an offer pass."""
    have = catalogue.amounts[:, row].tolist()
    provider, region = catalogue.places[int(catalogue.place[row])]
    card = catalogue.names[ACCELERATOR][catalogue.codes[ACCELERATOR, row]]
    words = {
        OfferReason.COUNT_DIFFERS: f"take {card}:{_amount(max(0, have[COUNT]))}",
        OfferReason.PROVIDER_NOT_ALLOWED: f"allow provider {provider}",
        OfferReason.REGION_NOT_ALLOWED: f"allow region {provider}:{region}",
        OfferReason.CPUS: f"take {_amount(have[CPUS])} vCPUs",
        OfferReason.MEMORY: f"take {_amount(have[MEMORY])} GiB of memory",
        OfferReason.HOST_TOO_SMALL: f"take {_amount(have[MEMORY])} GiB of memory",
        OfferReason.SPOT_NOT_OFFERED: "pay the full price",
        OfferReason.NO_PRICE: "take a machine that may be taken away (spot)",
    }
    if reason in words:
        return words[reason]
    return f"pay up to {format_money(have[price_kind(need)], 'USD/h')}"


def _similar(catalogue: Catalogue, card: str) -> tuple[str, ...]:
    """Return accelerators whose names are like this one."""
    known = {name.lower(): name for name in catalogue.names[ACCELERATOR] if name}
    holding = [low for low in sorted(known) if card.lower() in low]
    near = get_close_matches(card.lower(), sorted(known), n=MAX_SIMILAR)
    return tuple(known[low] for low in dict.fromkeys((*holding, *near)))[:MAX_SIMILAR]


def _listed(names: set[str] | tuple[str, ...]) -> str:
    return ", ".join(sorted(names))


def _bound(bound: Bound) -> str:
    suffix = "x vCPUs" if bound.per_cpu else "+" if bound.at_least else ""
    return _amount(bound.micro) + suffix


def _amount(micro: int) -> str:
    """Return millionths as a plain decimal."""
    if micro == EMPTY:
        return "unknown"
    whole, rest = divmod(micro, MICRO)
    return f"{whole}.{rest:06d}".rstrip("0") if rest else str(whole)
