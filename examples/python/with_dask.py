"""A Dask graph that runs on the pool: `scheduler=` takes the executor."""

from __future__ import annotations

import os

import dask

import fenglin


@dask.delayed
def square(number: int) -> int:
    """Return the square."""
    return number * number


@dask.delayed
def total(numbers: list[int]) -> int:
    """Return the sum."""
    return sum(numbers)


def main() -> None:
    """Sum squares; what depends on nothing runs side by side."""
    answer = total([square(number) for number in range(6)])
    with fenglin.Executor(
        resources={"cpu": 0.2, "memory": "64MiB"}, python=os.environ.get("PYTHON_AT_SITE", "")
    ) as pool:
        found = dask.compute(answer, scheduler=pool)[0]  # the line that is ours
    print(f"the sum is {found}")


if __name__ == "__main__":
    main()
