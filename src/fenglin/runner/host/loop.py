# ruff: noqa: PTH123, TID252
"""The runner's loop: start what fits, listen, reap, write down, until nothing is left."""

from __future__ import annotations

import os
import select
import time

from . import children, proc, watch
from .journal import PEER
from .order import indices
from .output import TaskLog
from .preparer import Preparer
from .task import (
    ENDED_BY_TERM,
    NOT_EXECUTABLE,
    NOT_FOUND,
    PUBLISH,
    RUN,
    SHORTAGES,
    STAGE,
    Folders,
    Launcher,
    Slots,
    Task,
)
from .wishes import broken_gangs, unwanted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from .journal import Journal
    from .order import Order

    T = TypeVar("T")

CONTROL = "control"
STOP = "stop"
CANCELLED = "cancelled"
NEVER_S = float("inf")
SHORTAGE_WAIT_S = 0.5
STARTS_PER_ROUND = 64
CLIENT_WAIT_S = 5.0


class Runner:
    """Runs the tasks of one attempt, `slots` at a time.

    Attributes:
        launcher: Starts their processes.
    """

    def __init__(self, directory: str, order: Order, journal: Journal, start_ticks: int) -> None:
        """Open the control FIFO, then look for a stop that came earlier."""
        self._directory = directory
        self._order = order
        self._journal = journal
        self._start_ticks = start_ticks
        self.launcher = _patiently(lambda: Launcher(order, directory))
        self._slots = Slots(order)
        self._folders = Folders(directory)
        self._indices = indices(order.tasks)
        self._next = next(self._indices, None)
        self._live: dict[int, Task] = {}
        self._files: dict[int, tuple[Task, int]] = {}
        self._epoll = select.epoll()
        self._stopping = False
        self._cancelled = False
        # Tasks that must end, or must not begin: why.
        self._early: dict[str, str] = {}
        self._preparer = Preparer(order, directory)
        self._hold_until_s = 0.0
        self._check_at_s = NEVER_S
        self._memory_at_s = NEVER_S
        self._disk_at_s = NEVER_S
        _patiently(lambda: os.mkfifo(f"{directory}/{CONTROL}", 0o600))
        flags = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC
        self._control = os.open(f"{directory}/{CONTROL}", flags)
        self._epoll.register(self._control, select.EPOLLIN)
        self._read_wishes()

    def run(self) -> None:
        """Work until every task has ended or the attempt was stopped."""
        if not self._stopping and self._preparer.begin() >= 0:
            self._epoll.register(self._preparer.file, select.EPOLLIN)
        while True:
            now_s = time.monotonic()
            self._fill(now_s)
            self._journal.flush(now_s)
            over = self._next is None or self._stopping
            if over and not self._live and not self._preparer.busy:
                break
            for file, _ in self._epoll.poll(self._wait_s()):
                self._handle(file)
            self._tick(time.monotonic())
        self._preparer.close()
        # Daemons that left their process group end with the attempt.
        proc.kill_leftovers(self._order.key, os.getpid(), self._start_ticks)
        unfinished = self._cancelled or self._next is not None
        self._journal.done(CANCELLED if unfinished else "", _unix_ms())
        self._journal.close()

    def _wait_s(self) -> float:
        """Return how long to listen at most, in seconds; None-like -1 for ever."""
        at_s = min(self._check_at_s, self._journal.due_s(), self._memory_at_s, self._disk_at_s)
        waiting = self._next is not None and not self._stopping and not self._journal.blocked
        if waiting and not self._preparer.busy and len(self._live) < self._order.slots:
            at_s = min(at_s, self._hold_until_s)
        return -1 if at_s == NEVER_S else max(0.0, at_s - time.monotonic())

    # --- starting ---------------------------------------------------------------------------

    def _fill(self, now_s: float) -> None:
        """Start tasks while slots are free, in rising order of index."""
        for _ in range(STARTS_PER_ROUND):
            if (
                self._next is None
                or self._stopping
                or self._preparer.busy
                or self._journal.blocked
                or len(self._live) >= self._order.slots
                or now_s < self._hold_until_s
            ):
                return
            if not self._begin(self._next, now_s):
                self._hold_until_s = now_s + SHORTAGE_WAIT_S
                return
            self._next = next(self._indices, None)

    def _begin(self, index: int, now_s: float) -> bool:
        """Start one task; return False when the machine is short of something just now."""
        if why := self._early.get(str(index)):
            self._journal.ended(index, _unix_ms(), 0, ENDED_BY_TERM, why, 0, 0)
            return True
        log = TaskLog(f"{self._directory}/{index}.log", self._order.log_cap_bytes)
        held, folder = self._slots.take(), ""
        try:
            folder = self._folders.take()
            task = Task(index, held, self._order, folder, log)
        except OSError as error:
            if error.errno not in SHORTAGES:
                raise
            self._slots.give(held)
            if folder:
                self._folders.give(folder)
            return False
        self._live[index] = task
        self._listen(task, task.pipe, 0)
        if self._preparer.failure:
            task.started_ms = _unix_ms()
            log.write(self._preparer.said())
            self._fail(task, 1, self._preparer.failure)
            return True
        if not self._order.inputs:
            return self._launch(task, now_s)
        task.phase = STAGE
        try:
            self._fork(task, lambda: children.stage(self._order, self._cwd(task)))
        except OSError:
            self._release(task)
            return False
        return True

    def _launch(self, task: Task, now_s: float) -> bool:
        """Start the payload, one process per rank; return False on shortage, nothing started."""
        task.phase = RUN
        task.started_s = now_s
        task.started_ms = _unix_ms()
        try:
            os.chdir(self._cwd(task))
        except OSError as error:
            task.log.note(f"cannot enter {self._cwd(task)}: {error.strerror}")
            self._fail(task, NOT_EXECUTABLE, "staging_failed")
            return True
        try:
            for at in range(len(task.ranks)):
                pid = self.launcher.spawn(task, at)
                self._watch(task, pid)
        except (OSError, ValueError) as error:
            short = isinstance(error, OSError) and error.errno in SHORTAGES
            if short and not task.processes and not self._order.inputs:
                self._release(task)
                return False
            self._refuse(task, error, short=short)
            return True
        self._journal.started(task.index, next(iter(task.processes)), task.started_ms)
        self._arm(task)
        return True

    def _refuse(self, task: Task, error: OSError | ValueError, *, short: bool) -> None:
        """End a task whose payload cannot be started, saying why in its log."""
        name = self.launcher.arguments[0] if self.launcher.arguments else ""
        if short:
            code, reason = NOT_EXECUTABLE, "start_failed"
            task.log.note(f"cannot start {name!r} now: {error}")
        elif isinstance(error, FileNotFoundError):
            code, reason = NOT_FOUND, "command_not_found"
            task.log.note(f"{name!r} not found, or the interpreter it names is not")
        else:
            code, reason = NOT_EXECUTABLE, "exit_code"
            what = error.strerror if isinstance(error, OSError) else str(error)
            task.log.note(f"cannot execute {name!r}: {what}")
        if task.processes:
            # Part of a gang runs already: it ends first, the end is reported then.
            task.exit_code, task.reason = code, reason
            task.signal_all(proc.SIGKILL)
        else:
            self._fail(task, code, reason)

    def _fail(self, task: Task, code: int, reason: str) -> None:
        """End a task that has no process."""
        task.exit_code = task.exit_code or code
        task.reason = task.reason or reason
        self._finish(task)

    def _arm(self, task: Task) -> None:
        """Set the clocks that the task needs."""
        order = self._order
        if order.timeout_ms:
            self._check_at_s = min(self._check_at_s, task.started_s + order.timeout_ms / 1000)
        if order.memory_bytes:
            at_s = task.started_s + watch.MEMORY_INTERVAL_S
            self._memory_at_s = min(self._memory_at_s, at_s)
        if order.disk_bytes:
            self._disk_at_s = min(self._disk_at_s, task.started_s + watch.DISK_INTERVAL_S)

    def _fork(self, task: Task, work: Callable[[], int]) -> None:
        """Do slow work for the task in a child; its messages go to the task's output."""
        self._watch(task, children.fork(work, task.pipe_in))

    def _cwd(self, task: Task) -> str:
        """Return where the task runs."""
        return self._order.workdir or task.folder

    # --- listening --------------------------------------------------------------------------

    def _listen(self, task: Task, file: int, pid: int) -> None:
        """Hear of output (`pid` 0) or of a process's end."""
        self._files[file] = (task, pid)
        self._epoll.register(file, select.EPOLLIN)

    def _unlisten(self, file: int) -> None:
        """Forget and close a descriptor. Forked children may hold it, so epoll is told."""
        self._files.pop(file, None)
        self._epoll.unregister(file)
        os.close(file)

    def _watch(self, task: Task, pid: int) -> None:
        """Hear of the end of a process of the task."""
        pidfd = os.pidfd_open(pid)
        task.processes[pid] = pidfd
        self._listen(task, pidfd, pid)

    def _handle(self, file: int) -> None:
        """Deal with one ready descriptor."""
        if file == self._control:
            os.read(self._control, 2**12)
            self._read_wishes()
            return
        if file == self._preparer.file:
            self._preparer.end(self.launcher)
            self._unlisten(file)
            return
        task, pid = self._files.get(file, (None, 0))
        if task is None:
            return  # closed earlier in the same round
        if pid:
            self._reap(task, pid)
        else:
            task.drain()

    def _reap(self, task: Task, pid: int) -> None:
        """Take a process's end; what is left of its group goes with it."""
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        if os.waitid(os.P_PID, pid, flags) is None:
            return
        # Before the wait: while the leader is a zombie, the group's id cannot be another's.
        proc.signal_group(pid, proc.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
        self._unlisten(task.processes.pop(pid))
        code = os.waitstatus_to_exitcode(status)
        if task.phase == STAGE:
            self._staged(task, code)
        elif task.phase == PUBLISH:
            if code:
                task.exit_code, task.reason = 1, task.reason or "staging_failed"
            else:
                task.folder = ""  # the child has removed it
            self._finish(task)
        else:
            if self._preparer.container is not None:
                why = self._preparer.container.ended(task.notes.pop(pid, ""), code)
                task.reason = task.reason or why
            else:
                task.cpu_s += usage.ru_utime + usage.ru_stime
                task.peak_bytes = max(task.peak_bytes, usage.ru_maxrss * 1024)
            self._ended(task, code)

    def _staged(self, task: Task, code: int) -> None:
        """Go on after the inputs were brought; a task stopped before its start has no end."""
        if self._stopping:
            self._cancelled = True
            self._release(task)
        elif code or task.reason:
            task.started_ms = _unix_ms()
            self._fail(task, 1, "staging_failed")
        else:
            self._launch(task, time.monotonic())

    def _ended(self, task: Task, code: int) -> None:
        """Go on after a rank ended: the first bad one ends the gang."""
        if code and not task.exit_code:
            task.exit_code = code if code > 0 else 128 - code
            task.signal = max(0, -code)
            if task.processes:
                self._terminate(task, "", self._order.grace_ms)
        if task.processes:
            return
        task.wall_ms = int((time.monotonic() - task.started_s) * 1000)
        self.launcher.ended(task)
        if task.signal == proc.SIGKILL and not task.reason and not task.kill_at_s:
            task.log.note("killed from outside; often it is the kernel, out of memory")
        task.kill_at_s = 0.0
        if not task.ok or (not self._order.artifacts and self._give_back(task)):
            self._finish(task)
            return
        task.phase = PUBLISH
        try:
            self._fork(task, lambda: children.publish(self._order, task, self._cwd(task)))
        except OSError as error:
            task.log.note(f"cannot keep artifacts: {error}")
            self._fail(task, 1, "staging_failed")

    def _give_back(self, task: Task) -> bool:
        """Return the task's folder to the pool if it is clean."""
        if task.folder and self._folders.give(task.folder):
            task.folder = ""
        return not task.folder

    def _finish(self, task: Task) -> None:
        """Write the task's end down and free what it held."""
        reason = task.reason
        if not reason and task.exit_code:
            reason = "signal" if task.signal else "exit_code"
        if reason == CANCELLED and str(task.index) not in self._early:
            self._cancelled = True
        self._release(task)
        self._journal.ended(
            task.index,
            task.started_ms,
            task.wall_ms,
            task.exit_code,
            reason,
            int(task.cpu_s * 1000),
            task.peak_bytes,
        )

    def _release(self, task: Task) -> None:
        """Close the task's output and free its slots and its folder."""
        task.drain()
        task.log.close()
        if not self._give_back(task):
            self._folders.keep(task.folder, task.index)
        self._unlisten(task.pipe)
        os.close(task.pipe_in)
        del self._live[task.index]
        self._slots.give(task.held)

    # --- ending early -----------------------------------------------------------------------

    def _terminate(self, task: Task, reason: str, grace_ms: int) -> None:
        """Ask the task to end; `_tick` sends the final signal after the grace."""
        task.reason = task.reason or reason
        at_s = time.monotonic() + grace_ms / 1000
        if not task.kill_at_s:
            self._preparer.look(task)
            task.signal_all(proc.SIGTERM)
            task.kill_at_s = at_s
        task.kill_at_s = min(task.kill_at_s, at_s)
        self._check_at_s = min(self._check_at_s, task.kill_at_s)

    def _read_wishes(self) -> None:
        """Obey what was written for us: single tasks that must end, and the stop."""
        broken = broken_gangs(self._directory) if self._order.ranks else set()
        graces = {**dict.fromkeys(broken, self._order.grace_ms), **unwanted(self._directory)}
        self._early = {index: CANCELLED if index not in broken else PEER for index in graces}
        for task in [t for t in self._live.values() if str(t.index) in graces]:
            if task.phase in (STAGE, RUN):
                self._end_run(task, self._early[str(task.index)], graces[str(task.index)])
        self._read_stop()

    def _end_run(self, task: Task, reason: str, grace_ms: int) -> None:
        """End a payload; what has ended on its own by now is judged by its own exit status."""
        for pid in list(task.processes):
            self._reap(task, pid)
        if task.phase in (STAGE, RUN) and task.processes:
            self._terminate(task, reason, grace_ms)

    def _read_stop(self) -> None:
        """Obey the stop file, if there is one; a later one can only shorten the grace."""
        try:
            with open(f"{self._directory}/{STOP}", encoding="utf-8") as file:
                grace_ms = int(file.read())
        except (FileNotFoundError, ValueError):
            return
        self._stopping = True
        self._preparer.stop()
        for task in list(self._live.values()):
            if task.phase == RUN:
                self._end_run(task, CANCELLED, grace_ms)
            elif task.phase == STAGE:
                task.signal_all(proc.SIGKILL)
            else:
                task.kill_at_s = time.monotonic() + grace_ms / 1000
                self._check_at_s = min(self._check_at_s, task.kill_at_s)

    def _tick(self, now_s: float) -> None:
        """Do what the clock asks for."""
        if now_s >= self._check_at_s:
            self._check_deadlines(now_s)
        if now_s >= self._memory_at_s:
            self._memory_at_s = now_s + watch.MEMORY_INTERVAL_S if self._live else NEVER_S
            self._check_memory(now_s)
        if now_s >= self._disk_at_s:
            self._disk_at_s = now_s + watch.DISK_INTERVAL_S if self._live else NEVER_S
            self._check_disk(now_s)

    def _check_deadlines(self, now_s: float) -> None:
        """End what ran too long; kill what did not end when asked."""
        timeout_s = self._order.timeout_ms / 1000
        self._check_at_s = NEVER_S
        for task in list(self._live.values()):
            if (
                timeout_s
                and task.phase == RUN
                and not task.kill_at_s
                and now_s >= task.started_s + timeout_s
            ):
                self._terminate(task, "timeout", self._order.grace_ms)
            if task.kill_at_s and now_s >= task.kill_at_s:
                self._kill(task, now_s)
            elif task.kill_at_s or (timeout_s and task.phase == RUN):
                at_s = task.kill_at_s or task.started_s + timeout_s
                self._check_at_s = min(self._check_at_s, at_s)

    def _kill(self, task: Task, now_s: float) -> None:
        """Send the final signal; a container's client that outlives its container gets it next."""
        self._preparer.look(task)
        self.launcher.kill(task)
        if task.inside:
            task.killed = True
            task.kill_at_s = now_s + CLIENT_WAIT_S
            self._check_at_s = min(self._check_at_s, task.kill_at_s)

    def _check_memory(self, now_s: float) -> None:
        """Kill tasks above their memory."""
        limit = self._order.memory_bytes
        for task in self._live.values():
            if task.phase != RUN or now_s < task.started_s + watch.MEMORY_INTERVAL_S / 2:
                continue
            self._preparer.look(task)
            if task.inside:
                task.cpu_s = max(task.cpu_s, watch.tree_cpu_s(list(task.inside.values())))
            for pid in task.processes:
                used = watch.tree_memory_bytes([task.inside.get(pid, pid)], limit)
                task.peak_bytes = max(task.peak_bytes, used)
                if used > limit and not task.reason:
                    task.reason = "memory_exceeded"
                    task.log.note(f"memory: {used} bytes used, {limit} asked for")
                    task.signal_all(proc.SIGKILL)

    def _check_disk(self, now_s: float) -> None:
        """End tasks whose folder has outgrown what was asked for."""
        limit = self._order.disk_bytes
        for task in self._live.values():
            if task.phase != RUN or now_s < task.started_s + watch.DISK_INTERVAL_S / 2:
                continue
            used = watch.tree_disk_bytes(task.folder)
            if used > limit and not task.reason:
                task.log.note(f"disk: {used} bytes used, {limit} asked for")
                self._terminate(task, "disk_exceeded", self._order.grace_ms)


def _patiently(make: Callable[[], T]) -> T:
    """Call until the machine is not short of anything, such as room on the disk."""
    while True:
        try:
            return make()
        except OSError as error:
            if error.errno not in SHORTAGES:
                raise
            time.sleep(SHORTAGE_WAIT_S)


def _unix_ms() -> int:
    """Return the time for people; durations come from the monotonic clock."""
    return time.time_ns() // 1_000_000
