"""All price lists as one catalogue, sorted so that the cheapest offer of each kind stands first."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

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
    REGION,
    SPOT,
    ZONE,
    Codes,
    Ints,
    Mask,
)
from fenglin.catalog.offers.hosts import (
    ATTACHING_PROVIDER,
    TPU_HOST,
    TPU_PREFIX,
    Host,
    carries,
    free_choice,
    may_host,
    only_host,
    roomy,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.catalog.offers.columns import Sheet

Place = tuple[str, str]
Group = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Kind:
    """All offers of one number of one card, or all without cards.

    Attributes:
        card: Name of the card in small letters; empty without.
        count: Cards in millionths; 0 without.
        by_price: Its rows, cheapest first; ties by provider, region, machine, zone. Only rows
            that have such a price.
        by_spot: The same by spot price.
        rows: All its rows.
    """

    card: str
    count: int
    by_price: Ints
    by_spot: Ints
    rows: Ints


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Offers in columns, and the indexes over them.

    Attributes:
        codes: Codes of the names, by kind of name and row.
        names: What a code means, sorted, by kind of name.
        amounts: Millionths of cards, vCPUs, GiB and USD/h, by kind of amount and row.
        place: Row → code of its (provider, region).
        places: What such a code means, sorted.
        attached: Row → whether its host was chosen from many that may carry its cards.
        roomy: Row → whether such a host has the usual size for its cards.
        kinds: (card in small letters, count in millionths) → its offers.
        hostless: (provider, card, count) of cards sold where no machine can carry them.
        listed: Rows of the price lists; the offers are more where cards and machines combine,
            and fewer where machines are sold only with cards.
        rounded: How many prices were finer than a millionth of a dollar.
        bad: How many rows were left out by a reader that was not strict.
    """

    codes: Codes
    names: tuple[tuple[str, ...], ...]
    amounts: Ints
    place: Ints
    places: tuple[Place, ...]
    attached: Mask
    roomy: Mask
    kinds: dict[Group, Kind]
    hostless: tuple[tuple[str, str, int], ...]
    listed: int
    rounded: int
    bad: int

    @property
    def rows(self) -> int:
        """How many offers there are."""
        return int(self.codes.shape[1])


def build(sheets: Sequence[Sheet]) -> Catalogue:
    """Join price lists, put machines and cards together, and index the offers."""
    names, codes = _joined(sheets)
    amounts = (
        np.concatenate([sheet.amounts for sheet in sheets], axis=1)
        if sheets
        else np.zeros((5, 0), dtype=np.int64)
    )
    listed = codes.shape[1]
    codes, amounts, names, attached, is_roomy, hostless = _placed(codes, amounts, names)
    regions = len(names[REGION])
    pairs = codes[PROVIDER].astype(np.int64) * regions + codes[REGION]
    distinct, place = np.unique(pairs, return_inverse=True)
    return Catalogue(
        codes=codes,
        names=names,
        amounts=amounts,
        place=place.astype(np.int64),
        places=tuple(
            (names[PROVIDER][pair // regions], names[REGION][pair % regions])
            for pair in distinct.tolist()
        ),
        attached=attached,
        roomy=is_roomy,
        kinds=_kinds(codes, amounts, names[ACCELERATOR], place),
        hostless=hostless,
        listed=listed,
        rounded=sum(sheet.rounded for sheet in sheets),
        bad=sum(sheet.bad for sheet in sheets),
    )


def _joined(sheets: Sequence[Sheet]) -> tuple[tuple[tuple[str, ...], ...], Codes]:
    """Return names that all lists share, sorted, and the codes of all rows by them."""
    names: list[tuple[str, ...]] = []
    columns: list[Codes] = []
    for kind in range(5):
        lower = kind == PROVIDER
        own = [[name.lower() if lower else name for name in sheet.names[kind]] for sheet in sheets]
        extra = [TPU_HOST] if kind == INSTANCE else []
        shared = sorted({"", *extra, *(name for known in own for name in known)})
        rank = {name: code for code, name in enumerate(shared)}
        parts = [
            np.array([rank[name] for name in known], dtype=np.int32)[sheet.codes[kind]]
            for known, sheet in zip(own, sheets, strict=True)
        ]
        names.append(tuple(shared))
        columns.append(np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32))
    return tuple(names), np.stack(columns)


def _placed(
    codes: Codes, amounts: Ints, names: tuple[tuple[str, ...], ...]
) -> tuple[Codes, Ints, tuple[tuple[str, ...], ...], Mask, Mask, tuple[tuple[str, str, int], ...]]:
    """Put cards that are sold apart onto machines; drop what is no offer by itself."""
    bare = codes[INSTANCE] == 0
    attaching = np.array([name == ATTACHING_PROVIDER for name in names[PROVIDER]])
    hosting = attaching[codes[PROVIDER]] & ~bare
    hosts_alone = np.array([only_host(name) for name in names[INSTANCE]])[codes[INSTANCE]]
    keep = ~bare & ~(hosting & hosts_alone & (codes[ACCELERATOR] == 0))
    able = np.array([may_host(name) for name in names[INSTANCE]])[codes[INSTANCE]]
    hosts = _hosts_by_zone(codes, amounts, names, hosting & able & (codes[ACCELERATOR] == 0))
    cards: list[int] = []
    carriers: list[int] = []
    usual: list[bool] = []
    free: list[bool] = []
    lost: set[tuple[str, str, int]] = set()
    carried: set[tuple[str, str, int]] = set()
    for row in np.flatnonzero(bare).tolist():
        provider, _, _, _, card_code = codes[:, row].tolist()
        name = names[ACCELERATOR][card_code]
        card, count = name.lower(), int(amounts[COUNT, row]) // MICRO
        key = (names[PROVIDER][provider], name, int(amounts[COUNT, row]))
        if card.startswith(TPU_PREFIX) and names[PROVIDER][provider] == ATTACHING_PROVIDER:
            found: list[Host | None] = [None]
        else:
            zone = tuple(codes[: ZONE + 1, row].tolist())
            found = [host for host in hosts.get(zone, ()) if carries(host, card, count)]
        (carried if found else lost).add(key)
        for host in found:
            cards.append(row)
            carriers.append(-1 if host is None else host.row)
            free.append(host is not None and free_choice(card))
            usual.append(host is None or not free_choice(card) or roomy(host, card, count))
    both_codes, both_amounts = _combined(codes, amounts, names, cards, carriers)
    plain = int(keep.sum())
    return (
        np.concatenate([codes[:, keep], both_codes], axis=1),
        np.concatenate([amounts[:, keep], both_amounts], axis=1),
        names,
        np.concatenate([np.zeros(plain, dtype=np.bool_), np.array(free, dtype=np.bool_)]),
        np.concatenate([np.ones(plain, dtype=np.bool_), np.array(usual, dtype=np.bool_)]),
        tuple(sorted(lost - carried)),
    )


def _hosts_by_zone(
    codes: Codes, amounts: Ints, names: tuple[tuple[str, ...], ...], rows: Mask
) -> dict[tuple[int, ...], list[Host]]:
    """Return the machines that cards may be put onto, by (provider, region, zone) codes."""
    found: defaultdict[tuple[int, ...], list[Host]] = defaultdict(list)
    for row in np.flatnonzero(rows).tolist():
        zone = tuple(codes[: ZONE + 1, row].tolist())
        instance = names[INSTANCE][codes[INSTANCE, row]]
        cpus, memory = int(amounts[CPUS, row]), int(amounts[MEMORY, row])
        found[zone].append(Host(row, instance, cpus, memory))
    return found


def _combined(
    codes: Codes,
    amounts: Ints,
    names: tuple[tuple[str, ...], ...],
    cards: list[int],
    carriers: list[int],
) -> tuple[Codes, Ints]:
    """Return the rows of machines with cards; a host of -1 costs nothing and tells no size."""
    card, host = np.array(cards, dtype=np.int64), np.array(carriers, dtype=np.int64)
    free = host < 0
    both_codes = codes[:, card]
    tpu_host = names[INSTANCE].index(TPU_HOST)
    both_codes[INSTANCE] = np.where(free, tpu_host, codes[INSTANCE, host] if len(host) else 0)
    both = amounts[:, card]
    if len(host):
        for kind in (CPUS, MEMORY):
            both[kind] = np.where(free, both[kind], amounts[kind, host])
        for kind in (PRICE, SPOT):
            theirs = np.where(free, 0, amounts[kind, host])
            known = (both[kind] != EMPTY) & (theirs != EMPTY)
            both[kind] = np.where(known, both[kind] + theirs, EMPTY)
    return both_codes, both


def _kinds(codes: Codes, amounts: Ints, cards: tuple[str, ...], place: Ints) -> dict[Group, Kind]:
    """Return the offers by card and count, each cheapest first."""
    lower = sorted({name.lower() for name in cards})
    rank = {name: code for code, name in enumerate(lower)}
    folded = np.array([rank[name.lower()] for name in cards], dtype=np.int64)[codes[ACCELERATOR]]
    count = np.maximum(amounts[COUNT], 0)
    # Sorted once by name, so that the sorts by price, which are stable, need one key only.
    by_name = np.lexsort((codes[ZONE], codes[INSTANCE], place, count, folded))
    group_first = np.flatnonzero(
        np.r_[True, (np.diff(folded[by_name]) != 0) | (np.diff(count[by_name]) != 0)]
        if len(by_name)
        else np.zeros(0, dtype=np.bool_)
    )
    kinds: dict[Group, Kind] = {}
    for rows in np.split(by_name, group_first[1:]) if len(by_name) else ():
        key = (lower[int(folded[rows[0]])], int(count[rows[0]]))
        ordered = []
        for kind in (PRICE, SPOT):
            priced = rows[amounts[kind, rows] != EMPTY]
            ordered.append(priced[np.argsort(amounts[kind, priced], kind="stable")])
        kinds[key] = Kind(*key, ordered[0], ordered[1], rows)
    return kinds
