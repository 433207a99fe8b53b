"""The journal of an attempt: told once, in one order, whatever the cluster forgets."""

import pytest
from kubernetes_samples import START_MS, ended, pod, running
from msgspec.structs import replace

from fenglin.drivers.kubernetes.manifests import Mode, Terms
from fenglin.drivers.kubernetes.names import TASK
from fenglin.drivers.kubernetes.record import Record, Scene
from fenglin.drivers.kubernetes.views import Condition, Job, JobSpec, JobStatus, Metadata
from fenglin.model.reason import Reason
from fenglin.quantities.taskset import TaskSet
from fenglin.runner.records import Cursor, read_page

OVER = Job(Metadata("j"), status=JobStatus(conditions=(Condition("Failed", "True"),)))
OPEN = Job(Metadata("j"))
HELD = Job(Metadata("j"), JobSpec(parallelism=0))
DONE = "E 0 - 500 0"


@pytest.fixture
def make(tmp_path):
    def build(tasks="0-1", mode=Mode.TASKS, deliver=lambda _: None, lost_ms=0):
        return Record(tmp_path, Terms(tasks, 2, mode, 100), deliver, lost_ms)

    return build


@pytest.fixture
def page(tmp_path):
    def read():
        return read_page((tmp_path / "journal").read_bytes(), Cursor())

    return read


def scene(*pods, gone=(), jobs=(OPEN,), stopped=None, unwanted=""):
    seen = (tuple(pods), tuple(gone), tuple(jobs), stopped, START_MS + 9_000)
    return Scene(*seen, TaskSet.parse(unwanted))


def job(task, **spec):
    return Job(Metadata(f"j{task}", labels={TASK: str(task)}), JobSpec(**spec))


def test_ends_are_told_once_and_after_a_restart(make, page):
    record = make()
    record.merge(scene(pod(ended(DONE), phase="Succeeded"), pod(running(), uid="u2", task="1")))
    record.merge(scene(pod(ended(DONE), phase="Succeeded"), pod(running(), uid="u2", task="1")))
    assert [end.index for end in page().ends] == [0]
    again = make()
    assert (again.ended, set(again.started), again.done) == ({0}, {0, 1}, False)
    again.merge(scene(pod(ended("E 3 exit_code 500 0", 3), uid="u2", task="1", phase="Failed")))
    seen = page()
    assert [(end.index, end.exit_code) for end in seen.ends] == [(0, 0), (1, 3)]
    assert (seen.done, seen.reason, seen.cursor.started) == (True, None, 2)


def test_indices_are_places_in_the_set(make, page):
    record = make("3,7-8", Mode.PER_INDEX)
    record.merge(scene(*(pod(ended(DONE), uid=f"u{i}", place=i) for i in range(3)), pod(place=9)))
    assert [end.index for end in page().ends] == [3, 7, 8]


def test_unwanted_tasks_end_and_the_attempt_is_not_cut_short(make, page):
    record = make("0-3")
    killed = pod(ended("E 143 signal 100 1", 143), phase="Failed")
    wish = {"unwanted": "0,2-3"}
    # The third has a Job that may yet make a pod.
    record.merge(scene(killed, jobs=[job(0), job(1), job(2)], **wish))
    assert [(e.index, e.reason) for e in page().ends] == [(0, "cancelled"), (3, "cancelled")]
    record.merge(scene(pod(task="2", phase="Pending"), jobs=[job(2, parallelism=0)], **wish))
    assert 2 not in record.ended
    record.merge(scene(jobs=[job(2, parallelism=0)], **wish))
    done = pod(ended(DONE), uid="u2", task="1", phase="Succeeded")
    again = make("0-3")
    again.merge(scene(done, **wish))
    seen = page()
    assert [(e.index, e.reason, e.wall_ms) for e in seen.ends[2:]] == [
        (2, "cancelled", 0), (1, None, 5_000)
    ]  # fmt: skip
    assert (seen.done, seen.reason, seen.cursor.started) == (True, None, 2)


def test_a_place_of_an_indexed_job_that_saw_the_wish_has_ended(make, page):
    record = make("4-5", Mode.INDEXED)
    skipped = pod(ended("V 0 - 0 1"), phase="Succeeded", place=1)
    record.merge(scene(pod(running(), place=0), unwanted="5"))
    record.merge(scene(pod(running(), place=0), skipped, unwanted="5"))
    assert [(e.index, e.reason) for e in page().ends] == [(5, "cancelled")]
    assert not record.done


def test_what_others_ended_is_no_wish_of_ours(make, page):
    record = make("0-1")
    told = ended("E 143 signal 100 1", 143)
    record.merge(scene(pod(told, phase="Failed"), pod(told, uid="u2", task="1"), unwanted="1"))
    assert [(e.index, e.reason) for e in page().ends] == [(0, "runner_lost"), (1, "cancelled")]
    assert page().reason is Reason.RUNNER_LOST


def test_a_pod_that_is_gone_has_ended(make, page):
    record = make("0", Mode.SINGLE)
    record.merge(scene(pod(running())))
    record.merge(scene(gone=[pod(running())]))
    (end,) = page().ends
    assert (end.reason, end.exit_code) == (Reason.RUNNER_LOST, 137)
    assert page().reason is Reason.RUNNER_LOST


def test_what_is_missing_is_given_time(make, page):
    record = make("0", Mode.SINGLE, lost_ms=60_000)
    record.merge(scene(pod(running())))
    record.merge(scene())
    assert page().ends == ()
    assert record.waits
    record.merge(scene(pod(running())))
    assert not record.waits


def test_a_second_pod_of_a_task_is_none_of_its_own(make, page):
    record = make("0", Mode.SINGLE)
    first, second = pod(running()), pod(running(), uid="u2")
    record.merge(scene(first))
    assert (record.is_stray(first), record.is_stray(second)) == (False, True)
    record.merge(scene(second))
    assert [end.reason for end in page().ends] == [Reason.RUNNER_LOST]


def test_a_stop_waits_until_nothing_can_run(make, page):
    record = make("0-2")
    record.merge(scene(pod(running()), jobs=[OPEN], stopped=Reason.CANCELLED))
    assert not record.done
    cut = pod(ended("E 143 signal 300 1", 143), phase="Failed", reason="DeadlineExceeded")
    record.merge(scene(cut, jobs=[OVER, OPEN], stopped=Reason.CANCELLED))
    assert not record.done
    record.merge(scene(cut, jobs=[OVER, HELD], stopped=Reason.CANCELLED))
    assert [(end.index, end.reason) for end in page().ends] == [(0, Reason.CANCELLED)]
    assert page().reason is Reason.CANCELLED


def test_a_stop_that_comes_after_the_end_changes_nothing(make, page):
    record = make("0", Mode.SINGLE)
    record.merge(scene(pod(ended("E 4 exit_code 5 0", 4)), jobs=[OVER], stopped=Reason.CANCELLED))
    assert [(end.exit_code, end.reason) for end in page().ends] == [(4, Reason.EXIT_CODE)]
    assert page().reason is None


def test_a_job_that_is_over_without_a_pod(make, page):
    record = make("0", Mode.SINGLE)
    record.merge(scene(jobs=[OVER]))
    assert (page().ends, page().reason) == ((), Reason.RUNNER_LOST)


def test_artifacts_that_cannot_be_kept_are_told(make, page):
    record = make("0", Mode.SINGLE, deliver=lambda _: Reason.STAGING_FAILED)
    record.merge(scene(pod(ended(DONE))))
    assert [(end.exit_code, end.reason) for end in page().ends] == [(1, Reason.STAGING_FAILED)]


def test_a_torn_line_is_closed_off(make, page, tmp_path):
    (tmp_path / "journal").write_bytes(b"S 0 1 10")
    record = make("0", Mode.SINGLE)
    record.merge(scene(pod(ended(DONE))))
    assert [end.index for end in page().ends] == [0]
    assert page().cursor.started == 1


def test_another_hub_may_have_written_meanwhile(make, page):
    first, second = make("0", Mode.SINGLE), make("0", Mode.SINGLE)
    first.merge(scene(pod(ended(DONE))))
    second.merge(scene(pod(ended(DONE))))
    assert second.done
    assert len(page().ends) == 1


def test_the_pod_of_a_foreign_task_is_passed_over(make):
    record = make("0")
    assert record.task_of(pod(task="5")) is None
    assert record.task_of(pod(task="x")) is None
    assert make("0", Mode.INDEXED).task_of(replace(pod())) is None


def test_what_is_the_jobs_own_doing_fails_its_tasks(make, page):
    record = make("0-1")
    record.merge(scene(jobs=[HELD], stopped=Reason.IMAGE_FAILED))
    told = [(end.index, end.exit_code, end.wall_ms, end.reason) for end in page().ends]
    assert told == [(0, 1, 0, Reason.IMAGE_FAILED), (1, 1, 0, Reason.IMAGE_FAILED)]
    assert page().reason is Reason.IMAGE_FAILED


def test_an_image_without_a_shell_fails_its_task(make, page):
    record = make("0", Mode.SINGLE)
    record.merge(scene(pod(ended("", 128, "StartError"), phase="Failed")))
    assert [end.reason for end in page().ends] == [Reason.IMAGE_FAILED]


def test_no_place_in_the_cluster_leaves_the_tasks_to_the_hub(make, page):
    record = make("0", Mode.SINGLE)
    record.merge(scene(jobs=[HELD], stopped=Reason.START_FAILED))
    assert (page().ends, page().reason) == ((), Reason.START_FAILED)
