"""What it costs to move data from one region to another."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct

from fenglin.catalog.offers.columns import EMPTY, Ints, Mask, parse_micro
from fenglin.errors import InputProblems, Problem
from fenglin.quantities.shown import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fenglin.catalog.offers.catalogue import Place

MAX_PROBLEMS = 1_000
COLUMNS = ("src", "dest", "cost")


class EgressTable(Struct, frozen=True):
    """Prices of moving data, in micro-USD per GB.

    Attributes:
        price_micro: (provider, region) of source and of destination → price.
        rounded: How many prices were finer than a millionth of a dollar.
    """

    price_micro: dict[tuple[Place, Place], int]
    rounded: int = 0


FREE = EgressTable({})


def read_egress_csv(text: str | Iterable[str], source: str) -> EgressTable:
    """Return a table from rows of `src,dest,cost`, such as `aws:us-east-1,gcp:us-east4-a,0.09`.

    Zones of Google count as their regions; of several prices for one pair the highest holds.

    Args:
        text: The table, whole or as lines.
        source: Name of the file, for messages.

    Raises:
        InputProblems: every bad row with its line and field; no half table is ever used.
    """
    table = csv.reader(
        io.StringIO(text, newline="") if isinstance(text, str) else text, strict=True
    )
    prices: dict[tuple[Place, Place], int] = {}
    problems: list[Problem] = []
    rounded = 0
    try:
        header = next(table, [])
        lacking = [name for name in COLUMNS if name not in header]
        if lacking:
            what = f"there is no column {lacking[0]}"
            raise InputProblems(source, (Problem(lacking[0], what, "src, dest, cost", 1, 1),))
        at = [header.index(name) for name in COLUMNS]
        for row in table:
            if not row:
                continue
            cells = [row[i] if i < len(row) else "" for i in at]
            src, dest, price = _place(cells[0]), _place(cells[1]), parse_micro(cells[2])
            if src is None or dest is None or price is None:
                wrong = 0 if src is None else 1 if dest is None else 2
                what = f"{shown(cells[wrong])} is no {'price' if wrong == 2 else 'place'}"
                problems.append(Problem(COLUMNS[wrong], what, "", table.line_num, at[wrong] + 1))
                continue
            prices[src, dest] = max(price[0], prices.get((src, dest), 0))
            rounded += price[1]
    except csv.Error as error:
        problems.append(Problem("", f"no CSV: {error}", "", table.line_num, 1))
    if problems:
        raise InputProblems(source, tuple(problems[:MAX_PROBLEMS]))
    return EgressTable(prices, rounded)


def _place(text: str) -> Place | None:
    """Return (provider, region) of `gcp:us-east4-a`; None when it is no place."""
    provider, colon, region = text.strip().lower().partition(":")
    if not colon or not provider or not region or not text.isprintable():
        return None
    head, dash, last = region.rpartition("-")
    if provider == "gcp" and dash and len(last) == 1 and last.isalpha():
        region = head
    return provider, region


def matrix(table: EgressTable, places: Sequence[Place]) -> tuple[Ints, Mask]:
    """Return micro-USD per GB between places, and which of these prices are assumed.

    Within a region moving is free. A pair that the table lacks costs the highest price that it
    knows out of the same region, or else out of the same provider, or else at all: what is not
    known is never taken for cheap. An empty table makes everything free, and assumes nothing.

    Args:
        table: Known prices.
        places: (provider, region), in any case.
    """
    size = len(places)
    if not table.price_micro:
        return np.zeros((size, size), dtype=np.int64), np.zeros((size, size), dtype=np.bool_)
    low = [(provider.lower(), region.lower()) for provider, region in places]
    worst_from: dict[Place, int] = {}
    worst_of: dict[str, int] = {}
    for (src, _), price in table.price_micro.items():
        worst_from[src] = max(price, worst_from.get(src, 0))
        worst_of[src[0]] = max(price, worst_of.get(src[0], 0))
    worst = max(worst_of.values())
    at: dict[Place, list[int]] = {}
    for i, place in enumerate(low):
        at.setdefault(place, []).append(i)
    known = np.full((size, size), EMPTY, dtype=np.int64)
    for (src, dest), price in table.price_micro.items():
        for i in at.get(src, ()):
            known[i, at.get(dest, [])] = price
    fallback = np.array(
        [worst_from.get(src, worst_of.get(src[0], worst)) for src in low], dtype=np.int64
    )
    prices = np.where(known == EMPTY, fallback[:, None], known)
    assumed: Mask = known == EMPTY
    np.fill_diagonal(prices, 0)
    np.fill_diagonal(assumed, val=False)
    return prices, assumed
