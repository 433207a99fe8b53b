"""The thread behind an executor: submits what is queued, hears of ends, brings results.

One event loop, one long poll for all jobs of the executor, and one submit for all calls that
have come while the submit before was under way.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pickle
import threading
from collections import deque
from concurrent.futures import InvalidStateError
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fenglin.client import requests
from fenglin.client.aio import AsyncClient
from fenglin.client.executor import outcome
from fenglin.client.executor.outcome import TaskFailedError
from fenglin.client.executor.packing import address
from fenglin.client.executor.worker import RESULT
from fenglin.client.steps import TERMINAL_STATES, new_key
from fenglin.errors import FenglinError, InputError, LimitError, NotFoundError, UnavailableError
from fenglin.quantities.taskset import EMPTY, TaskSet

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from fenglin.client.executor.outcome import TaskFuture
    from fenglin.client.settings import Settings
    from fenglin.wire.views import JobView

LABEL = "python.run"
MOST_BATCH = 500
MOST_UPLOADS = 8
MOST_FETCHES = 8
MOST_LISTED = 100
WATCH_S = 50.0
# How long a hub may be away while calls are open. Its jobs go on meanwhile.
PATIENCE_S = 600.0
PAUSE_S = 1.0
# A site brings results with or just after the end of a task.
RESULT_TRIES = 40
RESULT_PAUSE_S = 0.25
MOST_OUTPUT_BYTES = 4 << 20

_log = logging.getLogger("fenglin.executor")


@dataclass(slots=True, eq=False)
class Order:
    """One job to be: its document but for the files, their content, and a future for each task.

    Attributes:
        job_id: Public id; empty before it is submitted.
        ended: Tasks whose end was heard.
        cancelled: Whether its end was asked for.
        over: Whether the job has ended.
        fetching: How many results are on their way.
    """

    document: dict[str, object]
    files: dict[str, bytes]
    futures: list[TaskFuture]
    job_id: str = ""
    ended: TaskSet = EMPTY
    cancelled: bool = False
    over: bool = False
    fetching: int = 0

    @property
    def open(self) -> bool:
        """Whether any of its futures is not done."""
        return not all(future.done() for future in self.futures)


@dataclass(slots=True)
class _State:
    """What only the loop's thread touches."""

    waiting: deque[Order] = field(default_factory=deque)
    sending: int = 0
    jobs: dict[str, Order] = field(default_factory=dict)
    early: dict[str, JobView] = field(default_factory=dict)
    uploaded: set[str] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


class Courier:
    """Carries orders to a hub and ends back, in a thread of its own.

    Args:
        settings: Hub and token.
        run: Names this executor's jobs, as their label.
        most_jobs: Most jobs of one task at once; 0 for no limit.
    """

    def __init__(self, settings: Settings, run: str, most_jobs: int) -> None:
        self._settings = settings
        self._run = run
        self._most_jobs = most_jobs
        self._state = _State()
        self._place = ""
        self._loop = asyncio.new_event_loop()
        self._client: AsyncClient
        self._news, self._busy = asyncio.Event(), asyncio.Event()
        self._closing, self._stirred = asyncio.Event(), asyncio.Event()
        self._uploads = asyncio.Semaphore(MOST_UPLOADS)
        self._fetches = asyncio.Semaphore(MOST_FETCHES)
        self._thread = threading.Thread(target=self._live, name="fenglin-executor", daemon=True)
        self._thread.start()

    def put(self, order: Order) -> None:
        """Queue an order; from any thread."""
        self._tell(self._take, order)

    def give_up(self, order: Order) -> None:
        """End an order's job if none of its futures is wanted any more; from any thread."""
        self._tell(self._give_up, order)

    def close(self) -> None:
        """End the thread once all futures are done; from any thread, returns at once."""
        self._tell(self._begin_close)

    def join(self) -> None:
        """Wait for the thread's end."""
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _tell(self, act: Callable[..., None], *args: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and with it all futures
            self._loop.call_soon_threadsafe(act, *args)

    def _live(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._work())
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()

    async def _work(self) -> None:
        async with AsyncClient.connect(self._settings) as self._client:
            sending = asyncio.create_task(self._send())
            watching = asyncio.create_task(self._watch())
            ending = asyncio.create_task(self._ended())
            try:
                await asyncio.wait({sending, watching, ending}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (sending, watching, ending, *self._state.tasks):
                    task.cancel()
                found = await asyncio.gather(sending, watching, ending, return_exceptions=True)
                for error in found:
                    if isinstance(error, Exception):
                        self._fail_all(error)

    async def _ended(self) -> None:
        await self._closing.wait()
        state = self._state
        while state.waiting or state.sending or state.jobs or state.tasks:
            self._stirred.clear()
            await self._stirred.wait()

    def _begin_close(self) -> None:
        self._closing.set()
        self._news.set()  # what waited may have been cancelled

    def _take(self, order: Order) -> None:
        self._state.waiting.append(order)
        self._news.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._state.tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._state.tasks.discard(task)
        self._stirred.set()

    async def _send(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            while batch := self._next_batch():
                try:
                    if not self._place:
                        # Before the first job exists, so that no change of it is missed.
                        self._place = (await self._patiently(self._client.watch)).next
                    await self._submit(batch)
                except FenglinError as error:
                    for order in batch:
                        self._fail(order, error)
                self._state.sending = 0
            self._stirred.set()

    def _next_batch(self) -> list[Order]:
        """Return the orders to submit now; those that were cancelled meanwhile are dropped."""
        state = self._state
        running = sum(len(order.futures) == 1 for order in state.jobs.values())
        batch: list[Order] = []
        held: list[Order] = []
        while state.waiting and len(batch) < MOST_BATCH:
            order = state.waiting.popleft()
            if not order.open:
                continue
            if self._most_jobs and len(order.futures) == 1:
                if running >= self._most_jobs:
                    held.append(order)
                    continue
                running += 1
            batch.append(order)
        state.waiting.extendleft(reversed(held))
        state.sending = len(batch)
        return batch

    async def _submit(self, batch: list[Order]) -> None:
        contents = {}
        documents = []
        for order in batch:
            files = []
            for name, content in order.files.items():
                sha256 = address(content)
                contents[sha256] = content
                files.append({"target": name, "sha256": sha256, "size": len(content)})
            labels = {**order.document.get("labels", {}), LABEL: self._run}  # type: ignore[dict-item]
            documents.append({**order.document, "files": files, "labels": labels})
            order.files = {}
        await asyncio.gather(*(self._upload(*one) for one in contents.items()))
        try:
            key = new_key()
            done = await self._patiently(lambda: self._client.submit_batch(documents, key=key))
        except (InputError, LimitError):
            if len(batch) == 1:
                raise
            done = None
        if done is None:
            # All or none: the others must not suffer for the one that is refused.
            for order, document in zip(batch, documents, strict=True):
                await self._submit_alone(order, document)
            return
        for order, one in zip(batch, done, strict=True):
            self._submitted(order, one.id)

    async def _submit_alone(self, order: Order, document: dict[str, object]) -> None:
        try:
            key = new_key()
            done = await self._patiently(lambda: self._client.submit(document, key=key))
        except FenglinError as error:
            self._fail(order, error)
        else:
            self._submitted(order, done.id)

    def _submitted(self, order: Order, job_id: str) -> None:
        order.job_id = job_id
        for future in order.futures:
            future.job_id = job_id
        self._state.jobs[job_id] = order
        self._busy.set()
        if not order.open:
            self._give_up(order)
        early = self._state.early.pop(job_id, None)
        if early is not None:
            self._heard(early)

    async def _upload(self, sha256: str, content: bytes) -> None:
        if sha256 in self._state.uploaded:
            return
        async with self._uploads:
            if not await self._patiently(lambda: self._client.has_blob(sha256)):
                await self._patiently(lambda: self._client.put_blob(sha256, content))
        self._state.uploaded.add(sha256)

    async def _patiently(self, act: Callable[[], Coroutine[Any, Any, Any]]) -> Any:  # noqa: ANN401 - as it is
        """Do something, again and again while the hub is away."""
        end_s = self._loop.time() + PATIENCE_S
        while True:
            try:
                return await act()
            except UnavailableError:
                # Before the first answer nothing says that there is a hub at all.
                if not self._place or self._loop.time() >= end_s:
                    raise
                await asyncio.sleep(PAUSE_S)

    async def _watch(self) -> None:
        mine = (("label", f"{LABEL}={self._run}"),)
        while True:
            await self._busy.wait()
            changed = await self._patiently(lambda: self._client.watch(self._place, mine, WATCH_S))
            self._place = changed.next
            views = changed.items
            if changed.reset:
                views = await self._patiently(self._list)
            for view in views:
                if view.id in self._state.jobs:
                    self._heard(view)
                else:  # the answer to its submit is still on its way
                    self._state.early[view.id] = view
            if not self._state.jobs:
                self._busy.clear()

    async def _list(self) -> list[JobView]:
        """Return all open jobs as they are now."""
        found: list[JobView] = []
        ids = list(self._state.jobs)
        for start in range(0, len(ids), MOST_LISTED):
            fields = tuple(("id", one) for one in ids[start : start + MOST_LISTED])
            found += (await self._client.jobs(requests.Filter(fields, detail=True))).items
        return found

    def _heard(self, view: JobView) -> None:
        """Take in how a job is now."""
        order = self._state.jobs[view.id]
        sets = view.task_sets
        for task in TaskSet.parse(sets.running):
            order.futures[task].started = True
        succeeded = TaskSet.parse(sets.succeeded) - order.ended
        failed = TaskSet.parse(sets.failed) - order.ended
        cancelled = TaskSet.parse(sets.cancelled) - order.ended
        order.ended |= succeeded | failed | cancelled
        for task in succeeded:
            self._fetch(order, self._result(order, task))
        for task in failed:
            self._fetch(order, self._failure(order, task, view))
        for task in cancelled:
            order.futures[task].drop()
        order.over = view.state in TERMINAL_STATES
        self._settle(order)

    def _fetch(self, order: Order, work: Coroutine[Any, Any, None]) -> None:
        async def fetched() -> None:
            try:
                async with self._fetches:
                    await work
            finally:
                order.fetching -= 1
                self._settle(order)

        order.fetching += 1
        self._spawn(fetched())

    async def _result(self, order: Order, task: int) -> None:
        """Bring what a task returned."""
        future = order.futures[task]
        if future.done():
            return
        try:
            data = await self._patiently(lambda: self._kept(order.job_id, task))
            value = pickle.loads(data)  # noqa: S301 - of our own task
        except Exception as error:  # noqa: BLE001 - whatever unpickling does belongs to the caller
            _end(future, error)
        else:
            _end(future, None, value)

    async def _kept(self, job_id: str, task: int) -> bytes:
        """Return the file that a task has left."""
        left = RESULT_TRIES
        while True:
            try:
                async with self._client.artifact(job_id, f"{task}/{RESULT}") as pieces:
                    return b"".join([piece async for piece in pieces])
            except NotFoundError:
                left -= 1
                if not left:
                    raise
                await asyncio.sleep(RESULT_PAUSE_S)

    async def _failure(self, order: Order, task: int, view: JobView) -> None:
        """Find out why a task failed; its last words say more than the hub knows."""
        future = order.futures[task]
        if future.done():
            return
        output = b""
        with contextlib.suppress(FenglinError):  # the hub's own words must do then
            piece = await self._client.read_log(order.job_id, task, 0, MOST_OUTPUT_BYTES)
            output = piece.data
        error = outcome.failure(output, order.job_id, task, view.reason, view.detail)
        _end(future, error)

    def _settle(self, order: Order) -> None:
        """Let go of an order when its job has ended and all is brought."""
        if not order.over or order.fetching:
            return
        if self._state.jobs.pop(order.job_id, None) is not None:
            what = TaskFailedError("its job ended without it", job_id=order.job_id)
            for future in order.futures:
                _end(future, what)  # those that have ended already keep what they have
            self._news.set()
            self._stirred.set()

    def _give_up(self, order: Order) -> None:
        if order.job_id and not order.cancelled and not order.open:
            order.cancelled = True
            if order.job_id in self._state.jobs and not order.over:
                self._spawn(self._cancel(order))

    async def _cancel(self, order: Order) -> None:
        try:
            await self._patiently(lambda: self._client.cancel(order.job_id))
        except FenglinError as error:
            _log.warning("%s could not be cancelled: %s", order.job_id, error)

    def _fail(self, order: Order, error: Exception) -> None:
        for future in order.futures:
            _end(future, error)

    def _fail_all(self, error: Exception) -> None:
        for order in (*self._state.waiting, *self._state.jobs.values()):
            self._fail(order, error)
        self._state.waiting.clear()
        self._state.jobs.clear()


def _end(future: TaskFuture, error: BaseException | None, value: object = None) -> None:
    """Give a future its end, unless it was cancelled or has one."""
    with contextlib.suppress(InvalidStateError):
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)
