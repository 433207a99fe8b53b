"""`concurrent.futures.Executor` over the pool: a call is a job, a map is one array."""

from __future__ import annotations

import atexit
import base64
import os
import secrets
import shlex
import time
import weakref
from concurrent.futures import Executor as BaseExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

from fenglin.client.executor import packing
from fenglin.client.executor.courier import Courier, Order
from fenglin.client.executor.outcome import TaskFuture
from fenglin.client.executor.worker import FAILURE, RESULT
from fenglin.client.settings import load_settings
from fenglin.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from types import ModuleType, TracebackType

    from fenglin.client.executor.packing import Parcel
    from fenglin.client.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")
# What Dask and joblib take for the number of workers where none is said.
MANY_WORKERS = 256
_RESERVED = ("command", "script", "files", "artifacts", "tasks", "concurrency")


@dataclass(frozen=True, slots=True)
class Options:
    """How calls are run.

    Attributes:
        name: Name of the jobs; empty for that of the function.
        python: Program that runs them at the site; empty for `pythonX.Y` of this version, else
            `python3`.
        modules: Modules that the site lacks: what is defined in them travels with each call.
        job: Fields of the job file, such as `resources` or `sites`.
    """

    name: str = ""
    python: str = ""
    modules: tuple[ModuleType, ...] = ()
    job: Mapping[str, object] = field(default_factory=dict)

    def changed(self, changes: Mapping[str, Any]) -> Options:
        """Return other options; what is no option of its own is a field of the job file.

        Raises:
            InputError: a field is the executor's own business.
        """
        own = {name: value for name, value in changes.items() if name in _OWN}
        if "modules" in own:
            own["modules"] = tuple(own["modules"])
        fields = {name: value for name, value in changes.items() if name not in _OWN}
        for name in _RESERVED:
            if name in fields:
                raise InputError(f"{name!r} is what an executor fills in itself", where="options")
        # Plain tuples are natural in Python and none in a job file.
        plain = {name: list(v) if isinstance(v, tuple) else v for name, v in fields.items()}
        return replace(self, job={**self.job, **plain}, **own)


_OWN = ("name", "python", "modules")


class Executor(BaseExecutor):
    """Runs calls on the pool.

    Functions and values travel by cloudpickle, so the Python at the site must be of the same
    version (3.11, 3.12, …); what a function imports must be there. Values of 64 KiB and more
    (bytes, texts, arrays of numbers) are uploaded once, by content, however many calls use them.

    Args:
        settings: Hub and token; None for those that the command line would take.
        max_workers: Most tasks at once, of a map and of all single calls; None for no limit but
            the pool's.
        options: `name`, `python`, `modules` (see `Options`), and any field of the job file:
            `resources`, `image`, `setup`, `sites`, `queue`, `account`, `timeout`, `retries`, …

    Raises:
        InputError: an option or the settings cannot be understood.
    """

    def __init__(
        self, settings: Settings | None = None, *, max_workers: int | None = None, **options: object
    ) -> None:
        if max_workers is not None and max_workers < 1:
            raise InputError("max_workers must be 1 or more", where="max_workers")
        self._options = Options().changed(options)
        self._max_workers = max_workers or MANY_WORKERS  # the name that Dask looks for
        self._core = _Core(settings, max_workers or 0)

    def with_options(self, **options: object) -> Executor:
        """Return an executor of the same jobs, thread and limit, with other options for its calls.

        Shutting either down shuts both down.
        """
        other = object.__new__(type(self))
        other._options = self._options.changed(options)
        other._max_workers = self._max_workers
        other._core = self._core
        return other

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Queue one call as a job of its own; its future is a `TaskFuture`.

        Raises:
            RuntimeError: the executor was shut down.
        """
        parcel = packing.pack_call(fn, args, kwargs, self._options.modules)
        return self._core.put(self._document(fn, parcel, 1), parcel, 1)[0]

    def map(
        self,
        fn: Callable[..., T],
        /,
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
    ) -> Iterator[T]:
        """Run calls as one array, and yield what they return in their order, as they end.

        Args:
            fn: What is called.
            iterables: Its arguments, side by side as `zip` puts them.
            timeout: Seconds from now after which waiting for a result raises TimeoutError.
            chunksize: Calls per task. A task takes some 50 ms to begin: let one run for longer.

        Raises:
            InputError: `chunksize` is less than 1.
            RuntimeError: the executor was shut down.
        """
        if chunksize < 1:
            raise InputError("chunksize must be 1 or more", where="chunksize")
        end_s = None if timeout is None else time.monotonic() + timeout
        chunks = packing.chunked(zip(*iterables, strict=False), chunksize)
        if not chunks:
            return iter(())
        parcel = packing.pack_map(fn, chunks, self._options.modules)
        count = len(chunks)
        return _in_order(self._core.put(self._document(fn, parcel, count), parcel, count), end_s)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - the interface's
        """Take no more calls.

        Args:
            wait: Return only when all calls have ended.
            cancel_futures: Cancel the calls of which no task has been placed yet.
        """
        self._core.shutdown(wait=wait, cancel=cancel_futures)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Wait for all calls; interrupted (Ctrl-C), end them instead: they cost money."""
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self._core.cancel_all()
        self.shutdown(wait=True)

    def _document(self, function: object, parcel: Parcel, count: int) -> dict[str, object]:
        """Return the job file of calls; the files follow."""
        options = self._options
        name = options.name or getattr(function, "__name__", type(function).__name__)
        tasks: object = count
        if count > 1 and self._core.most_workers:
            tasks = {"count": count, "concurrency": min(count, self._core.most_workers)}
        return {
            **options.job,
            "name": "".join(char if char.isprintable() else "?" for char in name)[:128],
            "script": _script(options.python, parcel),
            "artifacts": [RESULT],
            "tasks": tasks,
        }


class _Core:
    """What an executor and its variants share."""

    def __init__(self, settings: Settings | None, most_workers: int) -> None:
        self.most_workers = most_workers
        self._closed = False
        self._open: weakref.WeakSet[TaskFuture] = weakref.WeakSet()
        at = settings or load_settings(os.environ, Path.home())
        self._courier = Courier(at, secrets.token_hex(8), most_workers)
        # Weakly, so that an executor that nobody holds any more can go.
        weakref.finalize(self, self._courier.close)
        self._at_exit = partial(_call, weakref.WeakMethod(self.finish))
        atexit.register(self._at_exit)

    def put(self, document: dict[str, object], parcel: Parcel, count: int) -> Sequence[TaskFuture]:
        """Queue a job and return the futures of its tasks."""
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")

        def dropped() -> None:
            if not order.open:
                self._courier.give_up(order)

        futures = [TaskFuture(task, dropped) for task in range(count)]
        order = Order(document, parcel.files, futures)
        self._open.update(futures)
        self._courier.put(order)
        return futures

    def cancel_all(self) -> None:
        """Cancel whatever has not ended."""
        for future in list(self._open):
            future.cancel()

    def shutdown(self, *, wait: bool, cancel: bool) -> None:
        """See `Executor.shutdown`."""
        self._closed = True
        if cancel:
            for future in list(self._open):
                if not future.running():
                    future.cancel()
        self._courier.close()
        atexit.unregister(self._at_exit)
        if wait:
            self._courier.join()

    def finish(self) -> None:
        """Wait for all calls at the end of the program, as other executors do."""
        self.shutdown(wait=True, cancel=False)


def _call(method: weakref.WeakMethod[Callable[[], None]]) -> None:
    found = method()
    if found is not None:
        found()


def _in_order(futures: Sequence[Future[list[Any]]], end_s: float | None) -> Iterator[Any]:
    """Yield the results of chunks in order; cancel the rest when nobody asks for more."""
    left = list(reversed(futures))
    try:
        while left:
            wait_s = None if end_s is None else end_s - time.monotonic()
            yield from left.pop().result(wait_s)
    finally:
        for future in left:
            future.cancel()


def _script(python: str, parcel: Parcel) -> str:
    """Return the script of a task: find Python, hand it the kit and the call."""
    names = [python] if python else [f"python{packing.VERSION}", "python3"]
    payload = "-" if parcel.inline else packing.PAYLOAD
    items = packing.ITEMS if packing.ITEMS in parcel.files else ""
    words = shlex.join([packing.KIT, packing.VERSION, payload, items])
    here = ""
    if parcel.inline:
        here = " <<'END'\n" + base64.encodebytes(parcel.inline).decode() + "END"
    told = '{"kind": "missing", "names": "' + " or ".join(names).replace('"', "'") + '"}'
    return (
        "#!/bin/sh\n"
        f"for python in {shlex.join(names)}; do\n"
        'command -v "$python" >/dev/null 2>&1 || continue\n'
        f'exec "$python" {words}{here}\n'
        "done\n"
        f"printf '\\n%s %s\\n' {shlex.quote(FAILURE)} {shlex.quote(told)} >&2\n"
        "exit 127\n"
    )
