"""Dominant resource shares, and how many tasks raise one how far.

Source: A. Ghodsi et al., "Dominant Resource Fairness", NSDI 2011. A queue's share is the largest
fraction it holds of any one resource of the pool; weighted, it is divided by the queue's weight.
Where past use counts, its mean (see `decay`) is added to the fraction held now.
"""

from __future__ import annotations

from collections.abc import Sequence

UNBOUNDED = 10**9


def dominant_share(
    used: Sequence[int], total: Sequence[int], weight: int, past: float = 0.0
) -> float:
    """Return (past + max over dimensions of used / total), per thousandth of weight.

    A dimension of which the pool has nothing does not count.
    """
    most = 0.0
    for have, of in zip(used, total, strict=True):
        if of > 0:
            part = have / of
            if part > most:  # noqa: PLR1730 - a call costs thrice as much where turns are decided
                most = part
    return (most + past) * 1_000 / weight


def slope(need: Sequence[int], total: Sequence[int], weight: int) -> float:
    """Return by how much one more task raises the share where the task's need dominates."""
    return dominant_share(need, total, weight)


def tasks_to_level(
    level: float,
    used: Sequence[int],
    need: Sequence[int],
    total: Sequence[int],
    weight: int,
    past: float = 0.0,
) -> int:
    """Return how many tasks may be added before the weighted dominant share passes `level`.

    share(k) = (past + max over d of (used_d + k × need_d) / total_d) × 1000 / weight ≤ level,
    solved for the largest whole k; 10^9 when the tasks need nothing.
    """
    bare = level * weight / 1_000 - past
    count: float = UNBOUNDED
    for have, want, of in zip(used, need, total, strict=True):
        if want > 0 and of > 0:
            fits = (bare * of - have) // want
            if fits < count:  # noqa: PLR1730 - see above
                count = fits
    return int(count) if count > 0 else 0
