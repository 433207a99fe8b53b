"""A joblib program that runs on the pool: one line says so."""

from __future__ import annotations

import math
import os

import joblib

import fenglin


def main() -> None:
    """Take square roots in jobs of five calls each."""
    backend = fenglin.joblib_backend(
        resources={"cpu": 0.2, "memory": "64MiB"}, python=os.environ.get("PYTHON_AT_SITE", "")
    )
    with joblib.parallel_config(backend=backend, n_jobs=-1):  # the line that is ours
        roots = joblib.Parallel(batch_size=5)(
            joblib.delayed(math.sqrt)(number**2) for number in range(20)
        )
    print(f"the sum is {sum(roots):.0f}")


if __name__ == "__main__":
    main()
