"""Seeds as a user writes them."""

from __future__ import annotations

from fenglin.errors import InputError

MOST_SEEDS = 1_000


def read_seeds(text: str) -> list[int]:
    """Return seeds from text such as `42,43` or `42-51`, rising, each once.

    Raises:
        InputError: it is neither numbers nor ranges.
    """
    seeds: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        ends = (first, last) if dash else (first, first)
        if not all(end.isascii() and end.isdigit() and len(end) < 10 for end in ends):
            raise InputError(f"{part!r} is no seed", where="--seeds", hint="such as 42,43 or 42-51")
        low, high = int(ends[0]), int(ends[1])
        if not 0 <= high - low < MOST_SEEDS:
            raise InputError(
                f"{part!r} is no range", where="--seeds", hint=f"rising, of at most {MOST_SEEDS}"
            )
        seeds.update(range(low, high + 1))
    return sorted(seeds)
