"""Dominant resource shares and the level to which progressive filling raises them.

Source: A. Ghodsi et al., "Dominant Resource Fairness", NSDI 2011. A queue's share is the largest
fraction it holds of any one resource of the pool; weighted, it is divided by the queue's weight.
Progressive filling always serves the lowest share next. Serving one task at a time would be
exact and slow; `filling_level` says how far all may be raised at once without one of them
taking room that strict turns would have given to another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

# The part of the room that one round of filling hands out before shares are looked at again.
ROUND_PART = 0.5
_UNBOUNDED = 10**9


def dominant_share(used: Sequence[int], total: Sequence[int], weight: int) -> float:
    """Return max over dimensions of used / total, per thousandth of weight.

    A dimension of which the pool has nothing does not count.
    """
    parts = (have / of for have, of in zip(used, total, strict=True) if of > 0)
    return max(parts, default=0.0) * 1_000 / weight


def slope(need: Sequence[int], total: Sequence[int], weight: int) -> float:
    """Return by how much one more task raises the share where the task's need dominates."""
    return dominant_share(need, total, weight)


def tasks_to_level(
    level: float, used: Sequence[int], need: Sequence[int], total: Sequence[int], weight: int
) -> int:
    """Return how many tasks may be added before the weighted dominant share passes `level`.

    share(k) = max over d of (used_d + k × need_d) / total_d × 1000 / weight ≤ level, solved for
    the largest whole k; 10^9 when the tasks need nothing.
    """
    bare = level * weight / 1_000
    counts = [
        (bare * of - have) // want
        for have, want, of in zip(used, need, total, strict=True)
        if want > 0 and of > 0
    ]
    return int(max(0, min(counts, default=_UNBOUNDED)))


class Claim(NamedTuple):
    """A queue in a round of filling.

    Attributes:
        share: Its weighted dominant share now.
        slope: What one more of its tasks adds to that.
        room: How many of its tasks the pool could still hold.
    """

    share: float
    slope: float
    room: int


def filling_level(claims: Iterable[Claim]) -> float:
    """Return the share to which all claims may be raised in this round.

    Raising claim q to level L takes (L - share) / slope tasks, which is that number divided by
    `room` as a part of what the pool has left from q's point of view. The level returned makes
    these parts sum to `ROUND_PART`, so that every claim can really reach it; but it is never
    below one task above the lowest share, or the round would stand still.
    """
    rising = sorted(claims)
    if not rising:
        return 0.0
    one_task = min(claim.share + claim.slope for claim in rising)
    steepness = 0.0
    spent = 0.0
    level = rising[0].share
    for claim in rising:
        step = (claim.share - level) * steepness
        if spent + step >= ROUND_PART:
            break
        spent += step
        level = claim.share
        steepness += 1.0 / max(claim.slope * claim.room, 1e-300)
    return max(level + (ROUND_PART - spent) / steepness, one_task)
