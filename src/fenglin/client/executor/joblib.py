"""joblib over the pool: each batch of calls is a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fenglin.client.executor.executor import Executor
from fenglin.errors import InputError

if TYPE_CHECKING:
    from fenglin.client.settings import Settings


def joblib_backend(
    settings: Settings | None = None, *, max_workers: int | None = None, **options: object
) -> Any:  # noqa: ANN401 - a class of joblib's
    """Return a backend for `joblib.parallel_config(backend=…)`.

    joblib must be installed at the sites too. `n_jobs` is how many calls are on their way at
    once, as many as the pool takes when it is -1; `batch_size` is how many of them make a job.

    Args:
        settings: Hub and token; None for those that the command line would take.
        max_workers: As of `Executor`.
        options: As of `Executor`.

    Raises:
        InputError: joblib is not installed.
    """
    try:
        from fenglin.client.executor.joblib_pool import PoolBackend  # noqa: PLC0415 - see there
    except ImportError as error:
        raise InputError("joblib is not installed", hint="pip install joblib") from error
    return PoolBackend(lambda: Executor(settings, max_workers=max_workers, **options))
