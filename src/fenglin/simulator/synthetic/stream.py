"""What all generators share: explicit chance, daily cycles, and a pace.

Chance comes from Philox, a counter-based generator. Every purpose has a stream of its own, keyed
by (seed, generator, purpose), so that one more draw for runtimes leaves the arrivals as they were.
Draws are made in chunks of one size: the first n jobs are the same whatever the number asked for.
A seed gives the same jobs again on every machine with the same NumPy; NumPy may change how it
draws a distribution in a later version, and says so in its notes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fenglin.model.job import DEFAULT_ACCOUNT, DEFAULT_QUEUE
from fenglin.simulator.readers.options import at_least

Floats: TypeAlias = NDArray[np.float64]

CHUNK = 1_024
DAY_S = 86_400
HOUR_S = 3_600
GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseOptions:
    """What every generator understands.

    Attributes:
        queue: Admission line of all jobs.
        account: Who pays.
        users: How many people submit; their activity falls as 1/rank (Zipf).
    """

    queue: str = DEFAULT_QUEUE
    account: str = DEFAULT_ACCOUNT
    users: int = 32

    def __post_init__(self) -> None:
        """Refuse a workload of nobody."""
        at_least(self, "users", 1)


def chance(seed: int, *purpose: str) -> np.random.Generator:
    """Return the generator of one purpose."""
    words = np.frombuffer(hashlib.sha256("/".join(purpose).encode()).digest()[:16], dtype="<u4")
    key = np.random.SeedSequence([seed, *words.tolist()])
    return np.random.Generator(np.random.Philox(key))


def zipf_users(dice: np.random.Generator, users: int) -> list[str]:
    """Return who submits each job of a chunk."""
    shares = 1.0 / np.arange(1, users + 1)
    ranks = dice.choice(users, size=CHUNK, p=shares / shares.sum())
    return [f"u{rank}" for rank in ranks.tolist()]


def bounded_pareto(uniform: Floats, least: float, most: float, tail: float) -> Floats:
    """Return values whose share above x falls as x^-tail between two bounds, by inversion."""
    low, high = least**-tail, most**-tail
    return np.asarray((low - uniform * (low - high)) ** (-1 / tail), dtype=np.float64)


class DayClock:
    """A clock by which a stream of even rate comes faster and slower through the day.

    A stream of arrivals with a rate that changes is one of rate 1 on a clock that runs unevenly
    (Çinlar's inversion). Where a bucket of the day weighs twice the mean, events come twice as
    often.

    Args:
        weights: One per bucket of equal length, from midnight on; positive, of any scale.
    """

    def __init__(self, weights: Floats) -> None:
        scaled = weights * (DAY_S / weights.sum())
        self._even_s = np.concatenate([np.zeros(1), np.cumsum(scaled)])
        self._clock_s = np.linspace(0.0, DAY_S, len(weights) + 1)

    def moments_s(self, even_s: Floats) -> Floats:
        """Return when so much even time has passed; whole days stay whole days."""
        days = np.floor(even_s / DAY_S)
        within = np.interp(even_s - days * DAY_S, self._even_s, self._clock_s)
        return np.asarray(days * DAY_S + within, dtype=np.float64)


def waves(amplitude: float, peak_hour: float, buckets: int = 96) -> Floats:
    """Return weights of a day, `1 + amplitude × cos`, highest at an hour."""
    hours = (np.arange(buckets) + 0.5) * (24 / buckets)
    return np.asarray(1 + amplitude * np.cos(2 * np.pi * (hours - peak_hour) / 24), np.float64)


class Arrivals:
    """Moments of submission, chunk by chunk: even gaps, a pace, and a daily clock.

    Args:
        clock: Of the day.
        pace: How many times faster than the gaps say.
    """

    def __init__(self, clock: DayClock, pace: float) -> None:
        self._clock = clock
        self._pace = pace
        self._even_s = 0.0

    def after(self, gaps_s: Floats) -> list[int]:
        """Return the moments behind these gaps of even time, in milliseconds."""
        even_s = self._even_s + np.cumsum(gaps_s) / self._pace
        self._even_s = float(even_s[-1])
        moments: list[int] = np.rint(self._clock.moments_s(even_s) * 1_000).astype(int).tolist()
        return moments


def milliseconds(seconds: Floats) -> list[int]:
    """Return whole milliseconds, at least 1."""
    whole: list[int] = np.maximum(np.rint(seconds * 1_000), 1).astype(np.int64).tolist()
    return whole
