"""A number by throwing darts: `concurrent.futures`, over the pool.

The one line that is Fenglin's is the one that makes the executor. What follows is what it would
be with ProcessPoolExecutor.
"""

from __future__ import annotations

import os
import random
from concurrent.futures import as_completed

import fenglin

DARTS = 20_000


def hits(seed: int) -> int:
    """Return how many of the darts fall into the quarter circle."""
    dice = random.Random(seed)
    return sum(dice.random() ** 2 + dice.random() ** 2 < 1.0 for _ in range(DARTS))


def main() -> None:
    """Throw darts in eight tasks of one array, then in three jobs of their own."""
    # Where the sites have another Python of the same version, PYTHON_AT_SITE names it.
    with fenglin.Executor(
        resources={"cpu": 0.2, "memory": "64MiB"}, python=os.environ.get("PYTHON_AT_SITE", "")
    ) as pool:
        found = list(pool.map(hits, range(8)))
        print(f"about {4 * sum(found) / (DARTS * len(found)):.2f}")

        several = {pool.submit(hits, seed): seed for seed in (100, 101, 102)}
        for future in as_completed(several):
            print(f"seed {several[future]}: about {4 * future.result() / DARTS:.2f}")


if __name__ == "__main__":
    main()
