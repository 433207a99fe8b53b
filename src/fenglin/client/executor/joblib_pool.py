"""The backend that joblib asks for; this module is loaded only where joblib is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from joblib.parallel import (  # type: ignore[import-untyped]
    ParallelBackendBase,
    SequentialBackend,
)

from fenglin.client.executor.executor import MANY_WORKERS

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from fenglin.client.executor.executor import Executor
    from fenglin.client.executor.outcome import TaskFuture


class PoolBackend(ParallelBackendBase):  # type: ignore[misc]
    """Submits each batch to an executor that lives as long as one `Parallel`."""

    supports_retrieve_callback = True

    def __init__(self, make: Callable[[], Executor], nesting_level: int | None = None) -> None:
        super().__init__(nesting_level=nesting_level)
        self._make = make
        self._executor: Executor | None = None
        self._open: set[TaskFuture] = set()

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return how many calls may be on their way at once."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        return MANY_WORKERS if n_jobs is None or n_jobs < 0 else n_jobs

    def configure(self, n_jobs: int | None = 1, parallel: object = None, **_more: object) -> int:
        """Begin to serve a `Parallel`."""
        self.parallel = parallel
        if self._executor is None:
            self._executor = self._make()
        return self.effective_n_jobs(n_jobs)

    def submit(
        self, func: Callable[[], Any], callback: Callable[[Any], None] | None = None
    ) -> Future[Any]:
        """Queue a batch."""
        if self._executor is None:
            self._executor = self._make()
        future: Any = self._executor.submit(func)
        self._open.add(future)
        future.add_done_callback(self._open.discard)
        if callback is not None:
            future.add_done_callback(callback)
        return future  # type: ignore[no-any-return]

    def retrieve_result_callback(self, out: Future[Any]) -> Any:  # noqa: ANN401 - any result
        """Return what a batch returned, or raise what it raised."""
        return out.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:  # noqa: ARG002, FBT001, FBT002 - joblib's
        """End what is on its way; nobody asks for it any more."""
        for future in list(self._open):
            future.cancel()

    def terminate(self) -> None:
        """End the executor; a later `Parallel` gets another."""
        if self._executor is not None:
            self._executor.shutdown(wait=False)
            self._executor = None

    def get_nested_backend(self) -> tuple[Any, None]:
        """Return what a `Parallel` inside a call uses: the call's own process."""
        return SequentialBackend(nesting_level=(self.nesting_level or 0) + 1), None
