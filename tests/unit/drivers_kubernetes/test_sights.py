"""What a pod's status says of its task."""

import pytest
from kubernetes_samples import (
    START_MS,
    ended,
    pod,
    running,
    unschedulable,
    waiting,
)

from fenglin.drivers.kubernetes.sights import Ended, Sight, sight_of
from fenglin.model.reason import Reason


def told(state, *, stopped=False, **more):
    return sight_of(pod(state, **more), stopped=stopped)


@pytest.mark.parametrize(
    ("message", "code", "kubernetes", "end"),
    [
        ("E 0 - 512 0", 0, "Completed", Ended(5_120, 0, None)),
        ("E 3 exit_code 512 0\n", 3, "Error", Ended(5_120, 3, Reason.EXIT_CODE)),
        ("E 137 signal 500 0", 137, "Error", Ended(5_000, 137, Reason.SIGNAL)),
        ("E 143 timeout 500 0", 143, "Error", Ended(5_000, 143, Reason.TIMEOUT)),
        ("E 127 command_not_found 0 0", 127, "Error", Ended(4_000, 127, Reason.COMMAND_NOT_FOUND)),
        # Only the program was killed for memory, the shell above it lived to tell.
        ("E 137 signal 500 0", 137, "OOMKilled", Ended(5_000, 137, Reason.MEMORY_EXCEEDED)),
        # The container as a whole was.
        ("", 137, "OOMKilled", Ended(5_000, 137, Reason.MEMORY_EXCEEDED)),
        # Somebody killed it from outside.
        ("", 137, "Error", Ended(5_000, 137, Reason.RUNNER_LOST)),
        ("", 0, "Completed", Ended(5_000, 137, Reason.RUNNER_LOST)),
        # What a task writes there itself is no word of ours.
        ("E 0 - 99999999999999 0", 0, "Completed", Ended(5_000, 137, Reason.RUNNER_LOST)),
    ],
)
def test_how_a_container_ended(message, code, kubernetes, end):
    phase = "Failed" if code else "Succeeded"
    seen = told(ended(message, code, kubernetes), phase=phase)
    assert (seen.over, seen.started_ms, seen.ended) == (True, START_MS, end)


def test_a_task_cannot_shorten_what_it_is_billed_for():
    assert told(ended("E 0 - 0 0"), phase="Succeeded").ended.wall_ms == 4_000
    assert told(ended("E 0 - 99999 0"), phase="Succeeded").ended.wall_ms == 6_000


def test_what_was_told_to_end():
    polite = ended("E 0 - 500 1")
    assert told(polite, stopped=True).ended.reason is Reason.CANCELLED
    assert told(polite).ended.reason is Reason.RUNNER_LOST
    late = told(polite, phase="Failed", reason="DeadlineExceeded")
    assert late.ended.reason is Reason.TIMEOUT
    assert told(ended("", 137), stopped=True).ended == Ended(5_000, 137, Reason.CANCELLED)
    # It had ended by itself before the wish reached it.
    assert told(ended("E 3 exit_code 500 0", 3), stopped=True).ended.reason is Reason.EXIT_CODE


def test_what_read_the_wish_runs_nothing():
    assert told(ended("V 0 - 0 1"), stopped=True) == Sight(over=True, refused=Reason.CANCELLED)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"reason": "Evicted", "message": "low on resource: memory"}, Reason.RUNNER_LOST),
        (
            {"reason": "Evicted", "message": "Pod ephemeral local storage usage exceeds"},
            Reason.DISK_EXCEEDED,
        ),
        ({"reason": "NodeLost"}, Reason.RUNNER_LOST),
        ({"reason": "DeadlineExceeded"}, Reason.TIMEOUT),
    ],
)
def test_pods_that_fail_as_a_whole(more, reason):
    assert told(None, phase="Failed", **more) == Sight(over=True, refused=reason)
    cut_off = told(running(), phase="Failed", **more)
    assert (cut_off.over, cut_off.ended.reason) == (True, reason)


@pytest.mark.parametrize(
    ("word", "refused", "patient"),
    [
        ("InvalidImageName", Reason.IMAGE_FAILED, False),
        ("ErrImageNeverPull", Reason.IMAGE_FAILED, False),
        ("ErrImagePull", Reason.IMAGE_FAILED, True),
        ("ImagePullBackOff", Reason.IMAGE_FAILED, True),
        ("CreateContainerConfigError", Reason.START_FAILED, True),
        ("ContainerCreating", None, True),
    ],
)
def test_why_a_container_waits(word, refused, patient):
    seen = told(waiting(word), phase="Pending")
    assert (seen.over, seen.refused, seen.patient) == (False, refused, patient)


def test_an_image_without_a_shell():
    seen = told(ended("", 128, "StartError"), phase="Failed")
    assert (seen.over, seen.ended, seen.refused) == (True, None, Reason.IMAGE_FAILED)


def test_no_place_in_the_cluster():
    seen = told(None, phase="Pending", node="", conditions=(unschedulable(),))
    assert (seen.over, seen.refused, seen.since_ms) == (False, Reason.START_FAILED, START_MS)


def test_lost_contact_ends_nothing():
    assert told(running(), phase="Unknown").over is False
    assert told(running()) == Sight(started_ms=START_MS)
    gone = sight_of(pod(running()), stopped=False, gone=True)
    assert (gone.over, gone.ended.reason) == (True, Reason.RUNNER_LOST)
