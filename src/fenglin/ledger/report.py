"""Figures of a month's operation: what was used by whom and where, and how full the sites were.

An attempt counts where and when its usage was recorded, whole, as it is in the ledger. So work
that ran over a month's end counts in the later month, and a site may seem fuller than full then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HOUR_MS = 3_600_000
MILLI = 1_000
LIVE, DECLARED, SIMULATED = "live", "declared", "simulated"


class UsageSum(Struct, frozen=True, kw_only=True):
    """What one account used of one flavor of a site.

    Attributes:
        account: Who.
        site: Where.
        flavor: Of what.
        attempts: How many attempts were recorded.
        tasks: How many tasks ended in them.
        wall_ms: Sum of the tasks' run times.
        core_ms: Milliseconds of cores that were held, in thousandths of a core.
        card_ms: The same of accelerators.
        cpu_ms: Processor time that was used.
    """

    account: str
    site: str
    flavor: str
    attempts: int
    tasks: int
    wall_ms: int
    core_ms: int
    card_ms: int
    cpu_ms: int


class SiteStock(Struct, frozen=True, kw_only=True):
    """What there is of one flavor of a site.

    Attributes:
        provider: Whose.
        site: Where.
        flavor: Of what.
        compute_class: `general`, `ai` or `super`.
        nodes: How many.
        cpu_milli: Thousandths of cores of all nodes.
        memory_bytes: Of all nodes.
        card_milli: Thousandths of accelerators of all nodes.
        card_model: Empty without, or where it is not known.
        simulated: Whether nothing real stands behind it.
    """

    provider: str
    site: str
    flavor: str
    compute_class: str
    nodes: int
    cpu_milli: int
    memory_bytes: int
    card_milli: int
    card_model: str
    simulated: bool


class StockRow(Struct, frozen=True, kw_only=True):
    """A row of the inventory; fields as in `SiteStock`, and how much the figures are worth."""

    provider: str
    site: str
    flavor: str
    compute_class: str
    nodes: int
    cpu_milli: int
    memory_bytes: int
    card_milli: int
    card_model: str
    grade: str


class UsageRow(Struct, frozen=True, kw_only=True):
    """A row of usage; fields as in `UsageSum`, whose site it was, and the grade."""

    account: str
    provider: str
    site: str
    flavor: str
    attempts: int
    tasks: int
    wall_ms: int
    core_ms: int
    card_ms: int
    cpu_ms: int
    grade: str


class LoadRow(Struct, frozen=True, kw_only=True):
    """How full a site was. All are milliseconds of thousandths of a core or card.

    Attributes:
        provider: Whose.
        site: Which.
        core_ms: Held.
        core_most_ms: What the declared cores offer in the hours of the month that are over.
        card_ms: As `core_ms`, of accelerators.
        card_most_ms: As `core_most_ms`.
        grade: Of held figures; capacity is `declared`, of today.
    """

    provider: str
    site: str
    core_ms: int
    core_most_ms: int
    card_ms: int
    card_most_ms: int
    grade: str


def stock_rows(stock: Iterable[SiteStock]) -> tuple[StockRow, ...]:
    """Return the inventory's rows, sorted."""
    rows = (
        StockRow(
            provider=one.provider,
            site=one.site,
            flavor=one.flavor,
            compute_class=one.compute_class,
            nodes=one.nodes,
            cpu_milli=one.cpu_milli,
            memory_bytes=one.memory_bytes,
            card_milli=one.card_milli,
            card_model=one.card_model,
            grade=SIMULATED if one.simulated else DECLARED,
        )
        for one in stock
    )
    return tuple(sorted(rows, key=lambda row: (row.provider, row.site, row.flavor)))


def usage_rows(used: Iterable[UsageSum], stock: Sequence[SiteStock]) -> tuple[UsageRow, ...]:
    """Return the rows of usage, by account; a site that is gone has no provider any more."""
    sites = {one.site: one for one in stock}
    rows = (
        UsageRow(
            account=one.account,
            provider=sites[one.site].provider if one.site in sites else "",
            site=one.site,
            flavor=one.flavor,
            attempts=one.attempts,
            tasks=one.tasks,
            wall_ms=one.wall_ms,
            core_ms=one.core_ms,
            card_ms=one.card_ms,
            cpu_ms=one.cpu_ms,
            grade=SIMULATED if one.site in sites and sites[one.site].simulated else LIVE,
        )
        for one in used
    )
    return tuple(sorted(rows, key=lambda row: (row.account, row.provider, row.site, row.flavor)))


def load_rows(
    used: Sequence[UsageSum], stock: Sequence[SiteStock], span_ms: int
) -> tuple[LoadRow, ...]:
    """Return how full each site was.

    Args:
        used: In the month.
        stock: Of the sites that there are.
        span_ms: How much of the month is over.
    """
    rows = []
    for site in sorted({one.site for one in stock}):
        mine = [one for one in stock if one.site == site]
        held = [one for one in used if one.site == site]
        rows.append(
            LoadRow(
                provider=mine[0].provider,
                site=site,
                core_ms=sum(one.core_ms for one in held),
                core_most_ms=sum(one.cpu_milli for one in mine) * span_ms,
                card_ms=sum(one.card_ms for one in held),
                card_most_ms=sum(one.card_milli for one in mine) * span_ms,
                grade=SIMULATED if mine[0].simulated else LIVE,
            )
        )
    return tuple(sorted(rows, key=lambda row: (row.provider, row.site)))
