"""Threads by site: a site whose calls hang keeps its own threads, never those of others.

Drivers put blocking work into threads by `asyncio.to_thread`. One pool for all would be empty as
soon as one site's files hang, and then neither other sites nor the planner would get a thread: a
call that is given up after its deadline goes on holding its thread.
"""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from structlog.contextvars import bound_contextvars

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

P = ParamSpec("P")
T = TypeVar("T")
MOST_THREADS_PER_SITE = 8

_site: ContextVar[str] = ContextVar("fenglin_site", default="")


@contextlib.contextmanager
def working_for(site: str) -> Iterator[None]:
    """Let this block's threads, lines of the log, and tasks made in it be the site's."""
    token = _site.set(site)
    try:
        with bound_contextvars(site=site):
            yield
    finally:
        _site.reset(token)


class SiteThreads(ThreadPoolExecutor):
    """A default executor for an event loop: the hub's own threads, and some more per site."""

    def __init__(self) -> None:
        """Start no thread yet."""
        super().__init__(thread_name_prefix="fenglin-hub")
        self._sites: dict[str, ThreadPoolExecutor] = {}
        self._sites_lock = threading.Lock()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run it on a thread of the site that is being worked for, else on one of the hub's."""
        site = _site.get()
        if not site:
            return super().submit(fn, *args, **kwargs)
        with self._sites_lock:
            pool = self._sites.get(site)
            if pool is None:
                pool = self._sites[site] = ThreadPoolExecutor(
                    MOST_THREADS_PER_SITE, thread_name_prefix=f"fenglin-{site}"
                )
        return pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - the base's
        """Take no more work; see `concurrent.futures.Executor.shutdown`."""
        with self._sites_lock:
            pools = list(self._sites.values())
        for pool in pools:
            pool.shutdown(wait, cancel_futures=cancel_futures)
        super().shutdown(wait, cancel_futures=cancel_futures)
