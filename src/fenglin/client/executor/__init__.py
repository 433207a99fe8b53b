"""Python functions on the pool, behind the interface of `concurrent.futures`."""

from fenglin.client.executor.executor import Executor
from fenglin.client.executor.outcome import RemoteTracebackError, TaskFailedError

__all__ = ["Executor", "RemoteTracebackError", "TaskFailedError"]
