"""One attempt as the hub remembers it: starts and ends in the order in which they were learned.

Kubernetes forgets: ended pods are collected, deleted ones are gone. So what a pod says is written
to a journal on the hub's disk once, and told from there: from the same cursor the same follows.
The journal has the runner's format; in place of a process stands a number made of the pod's uid.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import zlib
from typing import TYPE_CHECKING, NamedTuple

from fenglin.drivers.kubernetes.manifests import Mode
from fenglin.drivers.kubernetes.names import COMPLETION_INDEX, TASK
from fenglin.drivers.kubernetes.script import tasks_of
from fenglin.drivers.kubernetes.sights import KILLED, Ended, sight_of
from fenglin.model.reason import SITE_FAULTS, Reason
from fenglin.quantities.taskset import TaskSet
from fenglin.runner.host.journal import JOURNAL, NONE
from fenglin.runner.host.task import ENDED_BY_TERM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from fenglin.drivers.kubernetes.manifests import Terms
    from fenglin.drivers.kubernetes.sights import Sight
    from fenglin.drivers.kubernetes.views import Job, Pod

_CANCELLED = Reason.CANCELLED
# The job's own doing: its tasks are told as failed, rather than tried anew without end.
_FAULTS_OF_JOBS = frozenset({Reason.IMAGE_FAILED, Reason.STAGING_FAILED})


class Scene(NamedTuple):
    """What the cluster holds of an attempt now.

    Attributes:
        pods: Those that are there.
        gone: Those that were deleted since we look.
        jobs: Its Jobs.
        stopped: Why it was asked to end; None when it was not.
        now_ms: Unix time.
        unwanted: Tasks that were cancelled one by one.
    """

    pods: tuple[Pod, ...]
    gone: tuple[Pod, ...]
    jobs: tuple[Job, ...]
    stopped: Reason | None
    now_ms: int
    unwanted: TaskSet = TaskSet()


class Record:
    """The journal of one attempt. Synchronous.

    Attributes:
        done: Whether it is closed.
        size: Its bytes.
        ended: Tasks that have ended.
        started: Task → (Unix time in ms, number of its pod).
    """

    def __init__(
        self, folder: Path, terms: Terms, deliver: Callable[[int], Reason | None], lost_ms: int
    ) -> None:
        """Read what was written.

        Args:
            folder: Of the attempt, on the hub's machine.
            terms: Of the attempt.
            deliver: Brings a successful task's artifacts home; returns why it could not.
            lost_ms: How long what is missing may be missing.

        Raises:
            OSError, ValueError: it cannot be read.
        """
        self._folder = folder
        self._terms = terms
        self._deliver = deliver
        self._lost_ms = lost_ms
        self._tasks = list(tasks_of(terms.tasks))
        self._known = frozenset(self._tasks)
        self._missing_s: dict[int, float] = {}
        self._idle_s = 0.0
        self.done = False
        self.size = 0
        self.ended: set[int] = set()
        self.started: dict[int, tuple[int, int]] = {}
        self._first: dict[int, tuple[int, int]] = {}
        self._cuts: dict[int, Reason] = {}
        self._torn = False
        self._proof_ms = 0
        self._reload()

    def task_of(self, pod: Pod) -> int | None:
        """Return which task a pod runs; None for none of ours."""
        if self._terms.mode is Mode.SINGLE:
            return self._tasks[0]
        if self._terms.mode is Mode.TASKS:
            text = pod.metadata.labels.get(TASK, "")
            task = int(text) if text.isdecimal() else -1
            return task if task in self._known else None
        place = pod.metadata.annotations.get(COMPLETION_INDEX, "")
        if not place.isdecimal() or int(place) >= len(self._tasks):
            return None
        return self._tasks[int(place)]

    def is_stray(self, pod: Pod) -> bool:
        """Return whether a pod runs a task that another pod has run: the cluster's doing."""
        task = self.task_of(pod)
        return task in self.started and self.started[task][1] != _number(pod)

    @property
    def log_cap_bytes(self) -> int:
        """Most output kept per task."""
        return self._terms.log_cap_bytes

    @property
    def waits(self) -> bool:
        """Whether time alone may bring news."""
        return not self.done and bool(self._missing_s or self._idle_s)

    def merge(self, scene: Scene) -> None:
        """Write down what is new.

        Raises:
            OSError, ValueError: it cannot be written or read.
        """
        if self.done:
            return
        with self._changing() as file:
            if os.fstat(file).st_size != self.size and self._reload():
                return
            sights = self._sights(scene)
            rows = [
                row
                for task, sight in sorted(sights.items())
                for row in self._news(task, sight, scene.now_ms)
            ]
            rows += self._buried(sights, scene)
            rows += self._spared(sights, scene)
            last = self._last(sights, scene)
            if last is not None and scene.stopped in _FAULTS_OF_JOBS:
                open_ = [task for task in self._tasks if task not in self.ended]
                rows += [self._refused(task, scene.stopped, scene.now_ms) for task in open_]
            if last is not None:
                rows.append(f"D {last} {scene.now_ms} .")
            self._append(file, rows)
            self.done = last is not None

    def _sights(self, scene: Scene) -> dict[int, Sight]:
        """Return task → what its pod says; pods that are there come before those that were."""
        found: dict[int, Sight] = {}
        for pods, gone in ((scene.pods, False), (scene.gone, True)):
            for pod in sorted(pods, key=lambda p: (unix(p), p.metadata.name)):
                task = self.task_of(pod)
                if task is None or task in self.ended or self.is_stray(pod):
                    continue
                stopped = scene.stopped is not None or task in scene.unwanted
                sight = sight_of(pod, stopped=stopped, gone=gone)
                if gone and not sight.started_ms:
                    continue
                if task not in found:
                    found[task] = sight
                    if sight.started_ms and task not in self.started:
                        self._first[task] = (sight.started_ms, _number(pod))
        return found

    def _news(self, task: int, sight: Sight, now_ms: int) -> Iterator[str]:
        if task in self._first:
            self.started[task] = self._first.pop(task)
            yield f"S {task} {self.started[task][1]} {self.started[task][0]} ."
        if sight.ended is not None and task in self.started:
            end = sight.ended
            if end.reason is None:
                reason = self._deliver(task)
                end = end if reason is None else Ended(end.wall_ms, 1, reason)
            yield self._end(task, end)
        elif sight.over and sight.refused in {*_FAULTS_OF_JOBS, Reason.START_FAILED}:
            yield self._refused(task, sight.refused, now_ms)

    def _buried(self, sights: dict[int, Sight], scene: Scene) -> Iterator[str]:
        """Yield ends of tasks whose pods are gone without a word."""
        now_s = time.monotonic()
        lost = [task for task in self.started if task not in self.ended and task not in sights]
        self._missing_s = {task: self._missing_s.get(task, now_s) for task in lost}
        for task, since_s in list(self._missing_s.items()):
            stopped = scene.stopped is not None or task in scene.unwanted
            if not stopped and (now_s - since_s) * 1_000 < self._lost_ms:
                continue
            # Usage is counted up to the last proof of life, not to the time of discovery.
            wall_ms = max(0, self._proof_ms - self.started[task][0])
            del self._missing_s[task]
            reason = _CANCELLED if stopped else Reason.RUNNER_LOST
            yield self._end(task, Ended(wall_ms, KILLED, reason))

    def _spared(self, sights: dict[int, Sight], scene: Scene) -> Iterator[str]:
        """Yield ends of tasks that are not wanted, have not begun and will not."""
        open_jobs = {
            job.metadata.labels.get(TASK, "")
            for job in scene.jobs
            if not job.over and job.spec.parallelism != 0
        }
        # An Indexed Job goes on: which of its places begin, each pod sees from the wish.
        by_job = self._terms.mode in {Mode.SINGLE, Mode.TASKS}
        for task in scene.unwanted & TaskSet.parse(self._terms.tasks):
            sight = sights.get(task)
            if task in self.ended or task in self.started or (sight and not sight.over):
                continue
            if by_job and (str(task) if self._terms.mode is Mode.TASKS else "") in open_jobs:
                continue
            self.ended.add(task)
            yield f"E {task} {scene.now_ms} 0 {ENDED_BY_TERM} {_CANCELLED.value} 0 0 ."

    def _refused(self, task: int, reason: Reason | None, now_ms: int) -> str:
        """Return the end of a task that could not begin, and would not elsewhere either."""
        self.started.setdefault(task, (now_ms, 0))
        return self._end(task, Ended(0, 1, reason))

    def _end(self, task: int, end: Ended) -> str:
        self.ended.add(task)
        if end.reason is _CANCELLED or end.reason in SITE_FAULTS:
            self._cuts[task] = end.reason
        word = end.reason.value if end.reason is not None else NONE
        return f"E {task} {self.started[task][0]} {end.wall_ms} {end.exit_code} {word} 0 0 ."

    def _last(self, sights: dict[int, Sight], scene: Scene) -> str | None:
        """Return the word of the last line; None while something may still happen."""
        shut = {task: s.refused for task, s in sights.items() if s.over and s.refused is not None}
        open_ = [task for task in self._tasks if task not in self.ended and task not in shut]
        if open_:
            if any(not s.over for s in sights.values()) or self._missing_s:
                return None
            if not self._settled(scene):
                return None
        cuts = (
            reason
            for task, reason in self._cuts.items()
            if reason is not _CANCELLED or task not in scene.unwanted
        )
        early = next(cuts, None) or next(iter(shut.values()), None)
        if scene.stopped is not None:
            return scene.stopped.value if open_ or early else NONE
        if open_:
            early = early or Reason.RUNNER_LOST
        return early.value if early is not None else NONE

    def _settled(self, scene: Scene) -> bool:
        """Return whether no Job will make another pod, with some tasks never begun."""
        if scene.stopped is not None:
            return all(job.over or job.spec.parallelism == 0 for job in scene.jobs)
        idle = bool(scene.jobs) and all(job.over for job in scene.jobs)
        if self._terms.mode is Mode.TASKS:
            made = {job.metadata.labels.get(TASK) for job in scene.jobs}
            idle = idle and all(str(t) in made for t in self._tasks if t not in self.ended)
        idle = idle or (not scene.jobs and bool(self.started))
        now_s = time.monotonic()
        self._idle_s = (self._idle_s or now_s) if idle else 0.0
        return idle and (now_s - self._idle_s) * 1_000 >= self._lost_ms

    # --- the file ----------------------------------------------------------------------------

    @contextlib.contextmanager
    def _changing(self) -> Iterator[int]:
        """Open the journal for appending, locked against another hub on this machine."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        file = os.open(self._folder / JOURNAL, flags, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        except BaseException:
            self.size = -1  # what was noted and not written must be read again
            raise
        finally:
            os.close(file)

    def _append(self, file: int, rows: Iterable[str]) -> None:
        data = "".join(f"{row}\n" for row in rows).encode()
        if not data:
            return
        if self._torn:
            data = b"\n" + data
        view = memoryview(data)
        while view:
            written = os.write(file, view)
            self.size += written
            view = view[written:]
        self._torn = False
        self._proof_ms = time.time_ns() // 1_000_000
        os.fdatasync(file)

    def _reload(self) -> bool:
        """Read the journal anew; return whether it is closed.

        A line that a crash tore is closed off by the next.
        """
        path = self._folder / JOURNAL
        try:
            data = path.read_bytes()
            self._proof_ms = path.stat().st_mtime_ns // 1_000_000
        except FileNotFoundError:
            data, self._proof_ms = b"", 0
        self.done = False
        self.ended, self.started, self._first, self._cuts = set(), {}, {}, {}
        for line in data.decode("ascii", "replace").split("\n"):
            words = line.split(" ")
            if words[-1] != ".":
                continue
            if words[0] == "S" and len(words) == 5:
                self.started[int(words[1])] = (int(words[3]), int(words[2]))
            elif words[0] == "E" and len(words) == 9:
                self.ended.add(int(words[1]))
                reason = None if words[5] == NONE else Reason(words[5])
                if reason is _CANCELLED or reason in SITE_FAULTS:
                    self._cuts[int(words[1])] = reason
            elif words[0] == "D":
                self.done = True
        self._torn = bool(data) and not data.endswith(b"\n")
        self.size = len(data)
        return self.done


def unix(pod: Pod) -> float:
    """Return when a pod was made, in seconds of Unix time."""
    made = pod.metadata.creation_timestamp
    return made.timestamp() if made is not None else 0.0


def _number(pod: Pod) -> int:
    return zlib.crc32(pod.metadata.uid.encode())
