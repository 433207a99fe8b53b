"""What was bought, when, at what price: lines of one hour each, the last one shorter.

They tell of instances, work or no work, at the price of the configuration. The provider's own
bill may say less (spot) or more (disks, traffic); these lines are what it is compared with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.ports.charge import Charge
from fenglin.quantities.money import rate_micro

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fenglin.drivers.cloud.purchases import Purchase

HOUR_MS = 3_600_000


def charges(
    purchases: Iterable[Purchase], currency: str, since_ms: int, until_ms: int, now_ms: int
) -> list[Charge]:
    """Return the lines that end in [since, until), by their end, then by their id.

    An hour that is not over has no line yet.
    """
    lines = [
        line
        for one in purchases
        if one.bought_ms
        for line in _lines(one, currency, now_ms)
        if since_ms <= line.ended_ms < until_ms
    ]
    return sorted(lines, key=lambda line: (line.ended_ms, line.line))


def _lines(one: Purchase, currency: str, now_ms: int) -> Iterator[Charge]:
    """Yield the lines of one instance; their amounts add up to that of its whole time."""
    end_ms = max(one.gone_ms, one.bought_ms) if one.gone_ms else 0
    hour = 0
    while True:
        started_ms = one.bought_ms + hour * HOUR_MS
        full_ms = started_ms + HOUR_MS
        ended_ms = min(full_ms, end_ms) if end_ms else full_ms
        if ended_ms > now_ms or (end_ms and started_ms >= end_ms):
            return
        before = rate_micro(started_ms - one.bought_ms, HOUR_MS, one.hour_micro)
        after = rate_micro(ended_ms - one.bought_ms, HOUR_MS, one.hour_micro)
        kind = "spot" if one.spot else "on demand"
        yield Charge(
            line=f"{one.instance or one.number}/{hour}",
            key="",
            started_ms=started_ms,
            ended_ms=ended_ms,
            amount_micro=after - before,
            currency=currency,
            what=f"{one.machine} {kind}, node {one.node}",
        )
        hour += 1
