"""Where many independent runs take place: one contract, for processes here and for Ray."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from fenglin.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Item = TypeVar("Item")
Result = TypeVar("Result")


class Runner(Protocol):
    """Calls a function for each of many items, in whatever place."""

    def run(self, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Yield the results in the order of the items.

        The function and the items can be pickled. An error of a call is raised when its turn
        comes, and what has not begun is dropped.
        """


class Processes:
    """Runs in processes of this machine; one for each processor if not told otherwise."""

    def __init__(self, count: int = 0) -> None:
        """Take the number of processes; 1 runs in this one."""
        self._count = count or os.cpu_count() or 1

    def run(self, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """See `Runner`."""
        if self._count == 1 or len(items) == 1:
            yield from map(work, items)
            return
        count = min(self._count, len(items))
        # A fork of a process with threads may hang: children start afresh.
        with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
            try:
                yield from pool.map(work, items)
            finally:
                pool.shutdown(cancel_futures=True)


class Ray:
    """Runs as tasks of a Ray cluster, on whose machines Fenglin is installed too."""

    def __init__(self, address: str) -> None:
        """Connect.

        Raises:
            UnavailableError: Ray is not installed, or nobody answers at the address.
        """
        try:
            # Not a dependency: whoever has a cluster has it.
            ray: Any = import_module("ray")
        except ImportError as error:
            raise UnavailableError(
                "runs on Ray need the package ray", where="--ray", hint="pip install ray"
            ) from error
        try:
            ray.init(address=address, log_to_driver=False, ignore_reinit_error=True)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise UnavailableError(f"no Ray cluster answers: {error}", where=address) from error
        self._ray = ray

    def run(self, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """See `Runner`."""
        task = self._ray.remote(work)
        waiting = [task.remote(item) for item in items]
        try:
            while waiting:
                yield self._ray.get(waiting[0])
                del waiting[0]
        finally:
            for left in waiting:
                self._ray.cancel(left)
