"""What each queue has used, forgotten by halves: kept up to date as slots are taken and given back.

Between two changes every share is constant, so that the integral of `fairness.decay` is exact
however seldom it is asked for. The state is stored with every change that is committed while a
policy remembers the past, so that a restart forgets nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.fairness.decay import accrued, decayed
from fenglin.fairness.share import dominant_share
from fenglin.quantities.resources import DIMENSIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fenglin.quantities.resources import Resources


class Spending:
    """Decayed use per queue, in milliseconds of the whole pool's dominant share."""

    def __init__(
        self,
        half_life_ms: int,
        total: Sequence[int],
        spent_ms: Mapping[str, float],
        at_ms: int,
    ) -> None:
        """Go on from what is known.

        Args:
            half_life_ms: After this long a use counts half; above 0.
            total: What the pool has, per dimension.
            spent_ms: By queue.
            at_ms: Unix time at which that was so; 0 when nothing is known.
        """
        self._half_life_ms = half_life_ms
        self._total = tuple(total)
        self._spent_ms = dict(spent_ms)
        self._held: dict[str, list[int]] = {}
        self._at_ms = at_ms

    def hold(self, queue: str, amounts: Resources, sign: int) -> None:
        """Take note that a queue holds so much more (sign 1) or less (sign -1) from now on."""
        held = self._held.setdefault(queue, [0] * len(DIMENSIONS))
        for dimension, amount in enumerate(amounts.values()):
            held[dimension] += sign * amount
        if not any(held):
            del self._held[queue]

    def advance(self, now_ms: int) -> None:
        """Let time pass. A clock that jumps back takes nothing away."""
        span_ms = now_ms - self._at_ms
        self._at_ms = now_ms
        if span_ms <= 0:
            return
        spent_ms: dict[str, float] = {}
        nothing = [0] * len(DIMENSIONS)
        for queue in {**self._spent_ms, **self._held}:
            share = dominant_share(self._held.get(queue, nothing), self._total, 1_000)
            past_ms = decayed(self._spent_ms.get(queue, 0.0), span_ms, self._half_life_ms)
            now_spent_ms = past_ms + accrued(share, span_ms, self._half_life_ms)
            # Less than a millisecond of the pool is forgotten: names do not pile up for ever.
            if now_spent_ms >= 1.0 or queue in self._held:
                spent_ms[queue] = now_spent_ms
        self._spent_ms = spent_ms

    def spent_ms(self) -> dict[str, int]:
        """Return what is remembered, by queue."""
        return {queue: round(spent) for queue, spent in self._spent_ms.items()}
