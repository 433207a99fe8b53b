"""How a call ended: its future, and what is raised when it did not return."""

from __future__ import annotations

import base64
import json
import pickle
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from fenglin.client.executor.worker import FAILURE
from fenglin.errors import FenglinError

if TYPE_CHECKING:
    from collections.abc import Callable


class RemoteTracebackError(Exception):
    """The cause of an exception that was raised at a site: its traceback there, as text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


class TaskFailedError(FenglinError):
    """A task ended without a word of its function.

    Attributes:
        job_id: Public id of its job; `fenglin job explain` and `fenglin job logs` tell more.
        task: Its index.
        reason: One of `fenglin.model.reason.Reason`, such as `timeout`; empty when unknown.
    """

    code = "task_failed"

    def __init__(
        self, what: str, *, job_id: str = "", task: int = 0, reason: str = "", hint: str = ""
    ) -> None:
        where = f"{job_id} task {task}" if job_id else ""
        super().__init__(what, where=where, hint=hint)
        self.job_id = job_id
        self.task = task
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep all parts when it is pickled itself."""
        return _rebuilt, (self.what, self.job_id, self.task, self.reason, self.hint)


def _rebuilt(what: str, job_id: str, task: int, reason: str, hint: str) -> TaskFailedError:
    return TaskFailedError(what, job_id=job_id, task=task, reason=reason, hint=hint)


class TaskFuture(Future[Any]):
    """The future of one task.

    Unlike a thread's, a call that runs can be cancelled too: its job is ended. A task of a map
    shares its job with the others; the job is ended when all that are left have been cancelled.

    Attributes:
        job_id: Public id of its job; empty before it is submitted.
        task: Its index in the job.
    """

    def __init__(self, task: int, dropped: Callable[[], None]) -> None:
        super().__init__()
        self.job_id = ""
        self.task = task
        self.started = False
        self._dropped = dropped

    def running(self) -> bool:
        """Return whether its task was placed at a site and has not ended."""
        return self.started and not self.done()

    def cancel(self) -> bool:
        """Give the call up; return False when it has ended already."""
        if not self.drop():
            return False
        self._dropped()
        return True

    def drop(self) -> bool:
        """Mark it as cancelled without a word to the hub; return False when it has ended."""
        if self.done():
            return self.cancelled()
        if super().cancel():
            self.set_running_or_notify_cancel()
            return True
        return False


def failure(output: bytes, job_id: str, task: int, reason: str, detail: str) -> BaseException:
    """Return what a failed task's future raises.

    Args:
        output: What the task wrote.
        job_id: Its job.
        task: Its index.
        reason: The hub's, of the job.
        detail: The hub's words for it.
    """
    told = _told(output)
    match told.get("kind"):
        case "exception":
            return _raised(told, job_id, task)
        case "version":
            return TaskFailedError(
                f"the site has Python {told.get('have')}, this program is Python"
                f" {told.get('want')}, and functions travel only between equal versions",
                job_id=job_id,
                task=task,
                reason=reason,
                hint=f"it ran {told.get('where')}; name another one with python=, or an image=",
            )
        case "missing":
            return TaskFailedError(
                f"there is no {told.get('names')} at the site",
                job_id=job_id,
                task=task,
                reason=reason,
                hint="name one with python=, or an image= that has it",
            )
    tail = output[-1_000:].decode("utf-8", "replace").strip()
    what = f"the task ended without a result: {detail or reason or 'nothing tells why'}"
    if tail:
        what += f"; its output ends with: {tail}"
    return TaskFailedError(
        what, job_id=job_id, task=task, reason=reason, hint=f"fenglin job explain {job_id}"
    )


def _told(output: bytes) -> dict[str, str]:
    """Return what the worker told in its last word; empty when there is none."""
    at = output.rfind(f"\n{FAILURE} ".encode())
    if at < 0:
        return {}
    line = output[at + 1 :].split(b"\n", 1)[0]
    try:
        told = json.loads(line[len(FAILURE) :])
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _raised(told: dict[str, str], job_id: str, task: int) -> BaseException:
    """Return the exception of the function, with the traceback at the site as its cause."""
    error: object = None
    try:
        error = pickle.loads(base64.b64decode(told.get("pickle", "")))  # noqa: S301 - our own task's
    except Exception:  # noqa: BLE001 - its class may not exist here: what it said is kept
        error = None
    if not isinstance(error, BaseException):
        error = TaskFailedError(
            f"the function raised {told.get('summary', 'an exception')}", job_id=job_id, task=task
        )
    if isinstance(error, ModuleNotFoundError):
        error.add_note(
            "the site lacks it: name your own modules in modules=, or an image= or setup= that"
            " has it"
        )
    error.__cause__ = RemoteTracebackError(told.get("text", ""))
    return error
