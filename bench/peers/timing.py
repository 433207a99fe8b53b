"""What the peers' programs share: their arguments and their one line of answer."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

WARM_UP_TASKS = 50


def arguments() -> tuple[int, str]:
    """Return (tasks, kind) of this program."""
    return int(sys.argv[1]), sys.argv[2]


def timed(batch: Callable[[int], int], tasks: int) -> None:
    """Warm up, time one batch, and print the answer.

    Args:
        batch: Runs that many tasks to their end and returns how many went wrong.
        tasks: Size of the batch that counts.
    """
    batch(min(tasks, WARM_UP_TASKS))
    begun = time.perf_counter()
    wrong = batch(tasks)
    seconds = time.perf_counter() - begun
    if wrong:
        sys.exit(f"{wrong} of {tasks} tasks went wrong")
    sys.stdout.write(json.dumps({"seconds": seconds}) + "\n")
    sys.stdout.flush()
