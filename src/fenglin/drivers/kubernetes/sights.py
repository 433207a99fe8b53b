"""What a pod's status says of its task, in our words. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from fenglin.drivers.kubernetes import names
from fenglin.drivers.kubernetes.views import unix_ms
from fenglin.model.reason import Reason

if TYPE_CHECKING:
    from fenglin.drivers.kubernetes.views import Pod, Terminated, Waiting

KILLED = 137
_WORD = re.compile(r"([EXV]) (\d{1,3}) ([a-z_]+|-) (\d{1,12}) ([01])\n?", re.ASCII)
_IMAGE_AT_ONCE = frozenset({"InvalidImageName", "ErrImageNeverPull"})
_IMAGE = _IMAGE_AT_ONCE | {
    "ErrImagePull",
    "ImagePullBackOff",
    "ImageInspectError",
    "RegistryUnavailable",
}
_CONFIG = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
# The image lacks what every task begins with.
_UNABLE = frozenset({"StartError", "ContainerCannotRun"})


class Ended(Struct, frozen=True):
    """How a task ended.

    Attributes:
        wall_ms: Its runtime.
        exit_code: Its status.
        reason: Why it failed; None when it did not.
    """

    wall_ms: int
    exit_code: int
    reason: Reason | None


class Sight(Struct, frozen=True):
    """What a pod tells.

    Attributes:
        over: Whether nothing of it runs any more, or ever will.
        started_ms: When its task started; 0 when it has not (yet).
        ended: How its task ended; None when it has not started or still runs.
        refused: Why the task cannot or could not start.
        patient: Whether that may pass with time.
        since_ms: Since when it cannot start, by the cluster's clock; 0 unknown.
    """

    over: bool = False
    started_ms: int = 0
    ended: Ended | None = None
    refused: Reason | None = None
    patient: bool = True
    since_ms: int = 0


def sight_of(pod: Pod, *, stopped: bool, gone: bool = False) -> Sight:
    """Return what a pod's status says.

    Args:
        pod: As last seen.
        stopped: Whether we asked its attempt to end.
        gone: Whether it was deleted since.
    """
    status = pod.status
    over = gone or status.phase in {"Succeeded", "Failed"}
    state = next((c.state for c in status.container_statuses if c.name == names.CONTAINER), None)
    if state is not None and state.terminated is not None:
        return _terminated(pod, state.terminated, stopped=stopped)
    if state is not None and state.running is not None:
        started_ms = unix_ms(state.running.started_at)
        if not over:
            return Sight(started_ms=started_ms)
        # Failed without a word of its container: its node has gone.
        return Sight(over=True, started_ms=started_ms, ended=Ended(0, KILLED, _blame(pod, stopped)))
    if over:
        return Sight(over=True, refused=_blame(pod, stopped))
    if state is not None and state.waiting is not None:
        return _waiting(pod, state.waiting)
    return _unplaced(pod)


def _terminated(pod: Pod, end: Terminated, *, stopped: bool) -> Sight:
    started_ms, finished_ms = unix_ms(end.started_at), unix_ms(end.finished_at)
    said = _WORD.fullmatch(end.message)
    if end.reason in _UNABLE or started_ms <= 0:
        return Sight(over=True, refused=Reason.IMAGE_FAILED if not stopped else Reason.CANCELLED)
    if said is not None and said[1] == "V":
        return Sight(over=True, refused=Reason.CANCELLED)
    if said is not None and said[1] == "X":
        return Sight(over=True, refused=Reason(said[3]))
    spent_ms = max(0, finished_ms - started_ms)
    if said is None:
        code = end.exit_code or KILLED
        reason = Reason.MEMORY_EXCEEDED if end.reason == "OOMKilled" else _blame(pod, stopped)
        return Sight(over=True, started_ms=started_ms, ended=Ended(spent_ms, code, reason))
    # The container's own clock is finer, the kubelet's the one that counts: whole seconds.
    wall_ms = min(max(int(said[4]) * 10, spent_ms - 1_000), spent_ms + 1_000)
    code = int(said[2])
    found = None if said[3] == "-" else Reason(said[3])
    if said[5] == "1" and found is not Reason.TIMEOUT:
        found = _blame(pod, stopped)
    elif end.reason == "OOMKilled" and code:
        found = Reason.MEMORY_EXCEEDED
    return Sight(over=True, started_ms=started_ms, ended=Ended(wall_ms, code, found))


def _blame(pod: Pod, stopped: bool) -> Reason:  # noqa: FBT001 - one word of three callers here
    """Return why something ended that did not end by itself."""
    if stopped:
        return Reason.CANCELLED
    if pod.status.reason == "DeadlineExceeded":
        return Reason.TIMEOUT
    if pod.status.reason == "Evicted" and "ephemeral" in pod.status.message:
        return Reason.DISK_EXCEEDED
    return Reason.RUNNER_LOST


def _waiting(pod: Pod, waiting: Waiting) -> Sight:
    since_ms = _changed_ms(pod, "PodScheduled")
    if waiting.reason in _IMAGE:
        patient = waiting.reason not in _IMAGE_AT_ONCE
        return Sight(refused=Reason.IMAGE_FAILED, patient=patient, since_ms=since_ms)
    if waiting.reason in _CONFIG:
        return Sight(refused=Reason.START_FAILED, since_ms=since_ms)
    return Sight()


def _unplaced(pod: Pod) -> Sight:
    for condition in pod.status.conditions:
        if condition.type == "PodScheduled" and condition.reason == "Unschedulable":
            since_ms = unix_ms(condition.last_transition_time)
            return Sight(refused=Reason.START_FAILED, since_ms=since_ms)
    return Sight()


def _changed_ms(pod: Pod, kind: str) -> int:
    return next(
        (unix_ms(c.last_transition_time) for c in pod.status.conditions if c.type == kind), 0
    )
