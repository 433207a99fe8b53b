"""The planner's compiled loop, loaded beside the hub's work once a queue is long.

A hub starts and plans without it: the plan is the same, only later by microseconds per job. To
load it from the disk's cache takes a second and a hundred MiB, to compile it the first time
several seconds; a hub with short queues never pays either.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from fenglin.planner.backfill.twins import Kernel

# With fewer waiting jobs a plan takes less than the loading.
COMPILE_JOBS = 2_000

_log = structlog.get_logger("fenglin.loop")


class PlannerLoop:
    """The compiled loop, if it is there yet."""

    def __init__(self) -> None:
        """Load nothing."""
        self._loading: asyncio.Future[Kernel | None] | None = None

    def get(self, waiting: int) -> Kernel | None:
        """Return the compiled loop, or None while it is not there; on the loop's thread only.

        Args:
            waiting: Jobs with tasks that wait: a long queue begins the loading.
        """
        if self._loading is None:
            if waiting > COMPILE_JOBS:
                self._loading = asyncio.ensure_future(asyncio.to_thread(_load))
            return None
        return self._loading.result() if self._loading.done() else None


def _load() -> Kernel | None:
    """Load or compile; whatever goes wrong, planning goes on without it."""
    from fenglin.planner.lane import compiled_loop  # noqa: PLC0415 - loads NumPy

    try:
        return compiled_loop()
    except Exception as error:  # noqa: BLE001 - a compiler's faults are of many kinds
        _log.warning("planner not compiled", error=str(error))
        return None
