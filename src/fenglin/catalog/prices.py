"""What a use costs: pure rating of measured usage with one version of a price.

The rule of rounding: every item is rated **once per attempt** from its exact integer quantity
and rounded half to even at the micro-unit. So an attempt's bill is off by at most half a
micro-unit per item, and a bill over many attempts is the plain sum of rounded items, which
differs from rating the sum of their usage by at most half a micro-unit per item and attempt.

The rule of the task minimum: an attempt costs at least `task_minimum_micro` for each task that
ended in it. What the other items lack to that is an item of its own, so that every bill is the
sum of its items. The site's driver reports tasks attempt by attempt, so an attempt, not a task,
is the finest thing a bill can prove.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

from fenglin.catalog.pricebook.items import PriceTerms, Unit
from fenglin.catalog.pricebook.rating import cores_billed_milli, rate
from fenglin.model.allocation import Usage
from fenglin.quantities.money import rate_micro

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fenglin.model.site import Price
    from fenglin.quantities.resources import Resources

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_GIB = 2**30
# Stands between an item and the units above which a tier's price holds.
TIER = "-above-"


class PriceItem(StrEnum):
    """What a line of a bill is for."""

    CORE_HOUR = "core_hour"
    MEMORY_GIB_HOUR = "memory_gib_hour"
    CARD_HOUR = "card_hour"
    NODE_HOUR = "node_hour"
    NODE_DAY = "node_day"
    TASK = "task"
    TASK_MINIMUM = "task_minimum"


class RatedItem(Struct, frozen=True):
    """One line: `amount_micro = quantity / per * price_micro`, rounded half to even.

    The task minimum is the exception: its amount is what the lines above it lack.

    Attributes:
        item: A `PriceItem`; beyond a tier with its beginning, such as
            `core_hour-above-100000`.
        quantity: Exact use: milli-core-ms of the cores that are billed, byte-ms, milli-card-ms,
            node-ms, or tasks.
        per: How many of these make one priced unit.
        price_micro: Price of one unit.
        amount_micro: The line's amount; never negative.
    """

    item: str
    quantity: int
    per: int
    price_micro: int
    amount_micro: int


def billed_ms(price: Price, wall_ms: int) -> int:
    """Return for how long one task is billed that ran for `wall_ms`."""
    return max(wall_ms, price.task_minimum_ms)


def rate_usage(
    price: Price,
    resources: Resources,
    usage: Usage,
    before: Mapping[str, int] | None = None,
) -> tuple[RatedItem, ...]:
    """Return the lines of one attempt's bill, without those that cost nothing.

    Args:
        price: The version that was frozen when the allocation was made.
        resources: What one task held, over all its nodes.
        usage: The attempt's total; `billed_ms` is the sum over its tasks.
        before: By counter, what the account has used in the period of the tiers; None rates
            everything below the first tier.
    """
    lines: list[RatedItem] = []
    tiers = {} if before is None else {one.item: one for one in price.tiers}
    for item, quantity, per, price_micro in _used(price, resources, usage):
        tiered = tiers.get(item)
        if tiered is None or before is None:
            amount_micro = rate_micro(quantity, per, price_micro)
            if amount_micro:
                lines.append(RatedItem(item, quantity, per, price_micro, amount_micro))
            continue
        terms = PriceTerms(price.currency, price_micro, tiered.steps)
        used = before.get(tiered.counter, 0)
        for line in rate(Unit(item), terms, quantity, before=used):
            name = f"{item}{TIER}{line.above}" if line.above else item
            if line.amount_micro:
                made = RatedItem(name, line.quantity, per, line.price_micro, line.amount_micro)
                lines.append(made)
    lacking_micro = usage.tasks * price.task_minimum_micro - total_micro(lines)
    if lacking_micro > 0:
        minimum = PriceItem.TASK_MINIMUM
        lines.append(RatedItem(minimum, usage.tasks, 1, price.task_minimum_micro, lacking_micro))
    return tuple(lines)


def counted(price: Price, resources: Resources, usage: Usage) -> dict[str, int]:
    """Return what an attempt adds to each counter of its price's tiers."""
    used = {item: quantity for item, quantity, _, _ in _used(price, resources, usage)}
    return {one.counter: used[PriceItem(one.item)] for one in price.tiers}


def _used(
    price: Price, resources: Resources, usage: Usage
) -> tuple[tuple[PriceItem, int, int, int], ...]:
    """Return (item, quantity, how many of it make a unit, price of a unit)."""
    cpu_milli = _cores_milli(price, resources)
    held = (
        (PriceItem.CORE_HOUR, cpu_milli, 1_000, price.core_hour_micro),
        (PriceItem.MEMORY_GIB_HOUR, resources.memory_bytes, _GIB, price.memory_gib_hour_micro),
        (PriceItem.CARD_HOUR, resources.accelerator_milli, 1_000, price.card_hour_micro),
    )
    timed = tuple(
        (item, amount * usage.billed_ms, unit * _HOUR_MS, price_micro)
        for item, amount, unit, price_micro in held
    )
    if not (price.node_cpu_milli or price.task_micro):
        return timed
    node_ms = _nodes(price, resources) * usage.billed_ms
    return (
        *timed,
        (PriceItem.NODE_HOUR, node_ms, _HOUR_MS, price.node_hour_micro),
        (PriceItem.NODE_DAY, node_ms, _DAY_MS, price.node_day_micro),
        (PriceItem.TASK, usage.tasks, 1, price.task_micro),
    )


def _nodes(price: Price, resources: Resources) -> int:
    """Return how many whole nodes one task has for itself."""
    if not price.node_cpu_milli:
        return 0
    return -(-resources.cpu_milli // price.node_cpu_milli)


def _cores_milli(price: Price, resources: Resources) -> int:
    """Return for how many thousandths of a core one task is billed."""
    return cores_billed_milli(
        resources.cpu_milli, resources.memory_bytes, price.memory_per_core_bytes
    )


def total_micro(lines: Iterable[RatedItem]) -> int:
    """Return the sum of a bill's lines."""
    return sum(line.amount_micro for line in lines)


def estimate_micro(price: Price, resources: Resources, wall_ms: int, tasks: int) -> int:
    """Return what `tasks` tasks of `wall_ms` each would cost as one attempt."""
    # The sum of the bill's lines without writing them: a plan asks for it by the ten thousand.
    span_ms = tasks * billed_ms(price, wall_ms)
    rated_micro = (
        rate_micro(
            _cores_milli(price, resources) * span_ms, 1_000 * _HOUR_MS, price.core_hour_micro
        )
        + rate_micro(resources.memory_bytes * span_ms, _GIB * _HOUR_MS, price.memory_gib_hour_micro)
        + rate_micro(resources.accelerator_milli * span_ms, 1_000 * _HOUR_MS, price.card_hour_micro)
    )
    if price.node_cpu_milli or price.task_micro:
        node_ms = _nodes(price, resources) * span_ms
        rated_micro += (
            rate_micro(node_ms, _HOUR_MS, price.node_hour_micro)
            + rate_micro(node_ms, _DAY_MS, price.node_day_micro)
            + tasks * price.task_micro
        )
    return max(rated_micro, tasks * price.task_minimum_micro)
