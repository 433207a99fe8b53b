"""Asking many hosts side by side, so that one that hangs holds up nobody else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

T = TypeVar("T")


class Rounds(Generic[T]):
    """Makes one call per node at a time and waits no longer than its patience for any.

    A call that takes longer goes on; its node is not asked again until it has ended.
    """

    def __init__(self, patience_s: float, *, keep_late: bool) -> None:
        """Take how long to wait, and whether a late answer still counts in the next round."""
        self._patience_s = patience_s
        self._keep_late = keep_late
        self._open: dict[str, asyncio.Task[T]] = {}

    async def ask(self, calls: Mapping[str, Callable[[], Coroutine[Any, Any, T]]]) -> dict[str, T]:
        """Return the answers of those nodes that gave one in time.

        The calls raise nothing but what ends the caller too.
        """
        tasks: dict[str, asyncio.Task[T]] = {}
        for node, call in calls.items():
            late = self._open.get(node)
            if late is not None and late.done() and not self._keep_late:
                late = None
            if late is None:
                self._open[node] = tasks[node] = asyncio.create_task(call())
            elif late.done() or self._keep_late:
                tasks[node] = late
        if tasks:
            await asyncio.wait(tasks.values(), timeout=self._patience_s)
        answers = {node: task.result() for node, task in tasks.items() if task.done()}
        for node in answers:
            self._open.pop(node, None)
        return answers

    async def close(self) -> None:
        """Give up the calls that are open."""
        tasks = list(self._open.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._open.clear()
