"""An event loop whose time and order come from a seed, and the processes that live on it.

Time is virtual: when nothing is ready the clock jumps to the next timer. What is ready runs in an
order drawn from the seed, so that two tasks meet in orders that no quiet machine would show.
There are no threads: what is handed to one runs on the loop, at a moment of the seed's choice.

A *process* is a share of the loop. Whatever a process starts inherits its context, so that all of
it can be lost at once (`kill`: nothing of it ever runs again, no `finally` either, as after
SIGKILL) or stand still and go on later (`pause`, `go_on`, as after SIGSTOP and SIGCONT).
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from asyncio import events
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from concurrent.futures import Executor
    from contextvars import Context
    from random import Random

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
# What one step takes, so that no code is infinitely fast and a spin moves the clock.
STEP_S = 20e-6
# Among how many of the oldest ready steps the next is drawn.
WINDOW = 6
# A call on a thread takes up to this long.
MOST_THREAD_S = 0.004
# Ended tasks that a process still holds on to.
MOST_DONE = 256


class KilledError(BaseException):
    """Unwinds the synchronous code of a process that has just been killed."""


class Process:
    """What dies, stands still and goes on as one.

    Attributes:
        name: For the trace.
        dead: Nothing of it runs any more.
        paused: Nothing of it runs for now.
        steps: How many steps it has run.
        dies_at_step: At which step it is killed; 0 for none chosen.
    """

    def __init__(self, name: str) -> None:
        """Start alive, with nothing running."""
        self.name = name
        self.dead = False
        self.paused = False
        self.steps = 0
        self.dies_at_step = 0
        self.on_death: Callable[[], None] | None = None
        self.held: list[_Step] = []
        self._tasks: list[asyncio.Task[Any]] = []
        self._prune_at = MOST_DONE
        self._context = copy_context()
        self._context.run(_PROCESS.set, self)

    def run(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run a function as this process: what it starts belongs to the process."""
        return self._context.copy().run(work, *args)

    def outside(self) -> Context:
        """Return a context in which what is started does not belong to the process."""
        context = self._context.copy()
        context.run(_PROCESS.set, None)
        return context

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Hold on to a task: one that nobody holds is taken apart, and its `finally` runs."""
        self._tasks.append(task)
        if len(self._tasks) > self._prune_at:
            self._tasks = [one for one in self._tasks if not one.done()]
            self._prune_at = 2 * len(self._tasks) + MOST_DONE

    def unread(self) -> list[BaseException]:
        """Return what its ended tasks have raised and nobody has looked at."""
        ended = [one for one in self._tasks if one.done() and not one.cancelled()]
        unread = [one for one in ended if one._log_traceback]  # noqa: SLF001 - asyncio's own note
        return [error for one in unread if (error := one.exception()) is not None]

    def kill(self) -> None:
        """Let nothing of it run ever again. Idempotent."""
        if self.dead:
            return
        self.dead = True
        self.held.clear()
        if self.on_death is not None:
            self.on_death()

    def die_here(self) -> None:
        """Kill the process from inside its own synchronous code.

        Raises:
            KilledError: always, to leave that code.
        """
        self.kill()
        raise KilledError(self.name)


_PROCESS: ContextVar[Process | None] = ContextVar("fenglin_dst_process", default=None)


def this_process() -> Process | None:
    """Return the process whose code runs now; None outside any."""
    return _PROCESS.get()


class _Step(asyncio.TimerHandle):
    """One callback, due at a time."""

    __slots__ = ("args", "at_s", "callback", "context", "off", "order", "owner")

    def __init__(
        self,
        at_s: float,
        order: int,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: Context,
    ) -> None:
        self.at_s = at_s
        self.order = order
        self.callback = callback
        self.args = args
        self.context = context
        self.owner: Process | None = context.get(_PROCESS)
        self.off = False

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    def __repr__(self) -> str:
        return f"<step {self.callback!r} at {self.at_s:.6f}>"

    def cancel(self) -> None:
        self.off = True

    def cancelled(self) -> bool:
        return self.off

    def when(self) -> float:
        return self.at_s


class StuckError(Exception):
    """Nothing is ready and no timer is set, yet the work is not done."""


class SeededLoop(asyncio.BaseEventLoop):
    """See the module."""

    def __init__(self, random: Random) -> None:
        """Take the source of every choice; the clock starts at 0."""
        # The base asks for these while it is made.
        self._runs = False
        self._now_s = 0.0
        self._order = 0
        self._queue: list[_Step] = []
        self._timers: list[tuple[float, int, _Step]] = []
        super().__init__()
        self._random = random
        self.complaints: list[str] = []
        self.steps = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run until the work is done.

        Raises:
            StuckError: it waits for what can never come.
        """
        events._set_running_loop(self)  # noqa: SLF001 - what every loop must call
        self._runs = True
        try:
            task = self.create_task(work)
            while not task.done():
                self._turn()
            return task.result()
        finally:
            self._runs = False
            events._set_running_loop(None)  # noqa: SLF001

    def end(self) -> None:
        """Forget all that is still to come, quietly: its processes are gone."""
        events._set_running_loop(self)  # noqa: SLF001
        try:
            for task in asyncio.all_tasks(self):
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001
                # It was left in the middle; what it says while it is taken apart means nothing.
                with contextlib.suppress(BaseException):
                    # From Python 3.12 a task that ended in its first step has none.
                    if (coro := task.get_coro()) is not None:
                        coro.close()
        finally:
            events._set_running_loop(None)  # noqa: SLF001
        self._queue.clear()
        self._timers.clear()
        self.close()

    def pause(self, process: Process) -> None:
        """Let a process stand still; what comes due for it waits."""
        process.paused = True

    def go_on(self, process: Process) -> None:
        """Let a process go on with what has come due for it."""
        process.paused = False
        self._queue.extend(process.held)
        process.held.clear()

    def time(self) -> float:
        """Return seconds since the loop was made."""
        return self._now_s

    def call_soon(
        self, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> asyncio.Handle:
        """See `asyncio`; the order is drawn from the seed."""
        step = self._step(self._now_s, callback, args, context)
        self._queue.append(step)
        return step

    def call_soon_threadsafe(
        self, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> asyncio.Handle:
        """See `call_soon`: there are no other threads."""
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self,
        delay: float,
        callback: Callable[..., object],
        *args: object,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """See `asyncio`."""
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[..., object],
        *args: object,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """See `asyncio`."""
        step = self._step(max(when, self._now_s), callback, args, context)
        heapq.heappush(self._timers, (step.at_s, step.order, step))
        return step

    def run_in_executor(
        self, executor: Executor | None, func: Callable[..., T], *args: object
    ) -> asyncio.Future[T]:
        """Run a function on the loop itself, a little later. Its caller's end does not stop it."""
        del executor
        future: asyncio.Future[T] = self.create_future()

        def work() -> None:
            try:
                value = func(*args)
            except Exception as error:  # noqa: BLE001 - handed to whoever asked
                if not future.cancelled():
                    future.set_exception(error)
            else:
                if not future.cancelled():
                    future.set_result(value)

        self.call_later(self._random.random() * MOST_THREAD_S, work)
        return future

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: object = None,
        context: Context | None = None,
        **_more: object,
    ) -> asyncio.Task[T]:
        """See `asyncio`."""
        # A loop must say that it takes generators too; a task says itself that it does not.
        coroutine = cast("Coroutine[Any, Any, T]", coro)
        task = asyncio.Task(coroutine, loop=self, name=str(name or ""), context=context)
        owner = _PROCESS.get() if context is None else context.get(_PROCESS)
        if owner is not None:
            owner.keep(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Note what nobody has caught."""
        self.complaints.append(f"{context.get('message')}: {context.get('exception')!r}")

    def get_debug(self) -> bool:
        """Return False: debugging would change the order."""
        return False

    def is_running(self) -> bool:
        """Return whether it runs now."""
        return self._runs

    def _step(
        self,
        at_s: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: Context | None,
    ) -> _Step:
        self._order += 1
        return _Step(at_s, self._order, callback, args, context or copy_context())

    def _turn(self) -> None:
        """Run one step."""
        queue, timers = self._queue, self._timers
        if not queue or (timers and timers[0][0] <= self._now_s):
            self._bring()
        among = min(len(queue), WINDOW)
        step = queue.pop(int(self._random.random() * among) if among > 1 else 0)
        if step.off or (step.owner is not None and not self._lives(step.owner, step)):
            return
        self.steps += 1
        self._now_s += STEP_S
        try:
            step.context.run(step.callback, *step.args)
        except KilledError:
            return
        except Exception as error:  # noqa: BLE001 - a plain callback's fault ends no loop
            self.complaints.append(f"callback {step.callback!r}: {error!r}")

    def _bring(self) -> None:
        """Take what is due from the timers; jump to the next one when nothing is ready."""
        queue, timers = self._queue, self._timers
        if not queue:
            while timers and timers[0][2].off:
                heapq.heappop(timers)
            if not timers:
                raise StuckError("nothing is ready and no timer is set")
            self._now_s = max(self._now_s, timers[0][0])
        while timers and timers[0][0] <= self._now_s:
            step = heapq.heappop(timers)[2]
            if not step.off:
                queue.append(step)

    @staticmethod
    def _lives(owner: Process, step: _Step) -> bool:
        """Return whether a process runs this step now; one that stands still keeps it."""
        if owner.dead:
            return False
        if owner.paused:
            owner.held.append(step)
            return False
        owner.steps += 1
        if owner.steps == owner.dies_at_step:
            owner.kill()
            return False
        return True
