"""Work that goes on to its end although whoever asked for it has gone away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import structlog

from fenglin.errors import FenglinError

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")

_log = structlog.get_logger("fenglin.finishing")


async def to_its_end(work: Coroutine[None, None, T], running: set[asyncio.Task[T]]) -> T:
    """Return what work comes to; a caller that is cancelled meanwhile does not stop it.

    Args:
        work: What is to be done.
        running: Holds the work while it runs.
    """
    task = asyncio.create_task(work)
    running.add(task)
    task.add_done_callback(running.discard)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        # `shield` does not read what the work comes to any more.
        task.add_done_callback(_unheard)
        raise


def _unheard(task: asyncio.Task[T]) -> None:
    """Say in the log what nobody else will hear."""
    error = None if task.cancelled() else task.exception()
    if isinstance(error, FenglinError):
        _log.warning("failed_unheard", error=str(error))
    elif error is not None:
        _log.error("fault_unheard", exc_info=error)
