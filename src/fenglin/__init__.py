"""Fenglin: one pool from unlike clusters, clouds and machines.

What is listed in `__all__` is loaded when it is first used.
"""

from __future__ import annotations

TYPE_CHECKING = False  # not from typing, which takes longer to load than all the rest
if TYPE_CHECKING:
    from fenglin.client.aio import AsyncClient
    from fenglin.client.client import Client
    from fenglin.client.executor.executor import Executor
    from fenglin.client.executor.joblib import joblib_backend
    from fenglin.client.executor.outcome import TaskFailedError

__version__ = "0.1.0"
__all__ = [
    "AsyncClient",
    "Client",
    "Executor",
    "TaskFailedError",
    "__version__",
    "joblib_backend",
]

_HOMES = {
    "AsyncClient": "fenglin.client.aio",
    "Client": "fenglin.client.client",
    "Executor": "fenglin.client.executor.executor",
    "TaskFailedError": "fenglin.client.executor.outcome",
    "joblib_backend": "fenglin.client.executor.joblib",
}


def __getattr__(name: str) -> object:
    """Load what is asked for, so that `import fenglin` stays quick (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - not needed before

    found: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
