"""Past use that is forgotten by halves.

Source: the half-life decay of Slurm's priority/multifactor (`PriorityDecayHalfLife`), where a
use that is one half-life old counts half, here in closed form instead of in periods:

    spent(now) = ∫ share(t) × 2^(-(now - t) / half-life) dt

A queue that has always held the share s has spent s × half-life / ln 2, so that number turns
what was spent back into a share: the mean of what was held, the recent weighing most.
"""

from __future__ import annotations

import math

LN2 = math.log(2)


def decayed(spent_ms: float, after_ms: int, half_life_ms: int) -> float:
    """Return what is left of spent time: spent × 2^(-after / half-life)."""
    return spent_ms * math.exp(-LN2 * max(0, after_ms) / half_life_ms)


def accrued(share: float, span_ms: int, half_life_ms: int) -> float:
    """Return what holding a share for a span that ends now adds.

    share × half-life / ln 2 × (1 - 2^(-span / half-life)), in ms.
    """
    return -share * half_life_ms / LN2 * math.expm1(-LN2 * max(0, span_ms) / half_life_ms)


def past_share(spent_ms: float, half_life_ms: int) -> float:
    """Return spent time as a share: spent / (half-life / ln 2); 0 when nothing is remembered."""
    return spent_ms * LN2 / half_life_ms if half_life_ms > 0 else 0.0
