"""Formats that are no tables: Philly's JSON log, and Fenglin's own lines."""

import json

import pytest

from fenglin.errors import InputError
from fenglin.model.job import AcceleratorNeed
from fenglin.quantities.resources import Resources
from fenglin.simulator.readers import jsonlist
from fenglin.simulator.readers.history import history_line, workload_line
from fenglin.simulator.readers.registry import read, recognise
from fenglin.simulator.trace import Findings
from fenglin.simulator.workload import WorkJob
from fenglin.snapshot.snapshot import Shape
from fenglin.wire.views import AllocationView, JobView, TaskCounts


def attempt(start, end, *machines):
    detail = [
        {"ip": f"m{i}", "gpus": [f"gpu{g}" for g in range(n)]} for i, n in enumerate(machines)
    ]
    return {"start_time": start, "end_time": end, "detail": detail}


def philly_job(submitted, *attempts, **more):
    return {"status": "Pass", "vc": "ee9e8c", "jobid": "x", "attempts": list(attempts),
            "submitted_time": submitted, "user": "ce2f4c", **more}  # fmt: skip


LOG = [
    philly_job(
        "2017-10-07 01:11:39",
        attempt("2017-10-07 01:12:09", "2017-10-07 01:13:09", 8, 8),
        attempt("2017-10-07 01:13:30", "2017-10-07 01:13:40", 8),
        attempt(None, "2017-10-07 01:13:41", 8),
    ),
    philly_job("2017-10-07 01:12:39"),
    philly_job("2017-10-07 01:13:39", attempt("2017-10-07 01:14:09", None, 1)),
    philly_job(None, attempt("2017-10-07 01:14:09", "2017-10-07 01:14:10", 1)),
    {"jobid": 5},
    philly_job("2017-10-07 01:10:39", attempt("2017-10-07 01:14:09", "2017-10-07 01:14:10", 2, 1)),
]


def test_philly_log(put, jobs_of):
    (last, first), found = jobs_of(put("cluster_job_log", json.dumps(LOG, indent=1)), queues=True)
    assert (first.submitted_ms, first.runtimes_ms) == (60_000, (70_000,))
    assert (first.shape.nodes, first.shape.resources.accelerator_milli) == (2, 8_000)
    assert (first.user, first.queue) == ("ce2f4c", "ee9e8c")
    # 2 + 1 cards on two machines cannot be shared evenly.
    assert (last.shape.nodes, last.shape.resources.accelerator_milli) == (2, 2_000)
    assert found == {
        "an attempt without start or end": 1,
        "no attempt that names its GPUs (never ran, or unknown)": 1,
        "a negative runtime (never ran, or unknown)": 1,
        "no submitted_time": 1,
        "not in the form of a job": 1,
        "GPUs that its nodes cannot share evenly": 1,
        "an arrival before that of an earlier one": 1,
    }


@pytest.mark.parametrize("piece", [1, 7, 100, 2**18])
def test_a_list_is_read_alike_in_pieces_of_any_size(put, monkeypatch, piece):
    monkeypatch.setattr(jsonlist, "_PIECE", piece)
    findings = Findings("log")
    path = put("log.json", "\ufeff \n" + json.dumps(LOG, ensure_ascii=False))
    assert list(jsonlist.list_items(path, findings)) == list(enumerate(LOG, start=1))
    assert findings.count == 0


@pytest.mark.parametrize(
    ("body", "items", "faults"),
    [
        ('[{"a": 1}, {"a": 2', 1, 1),
        ('[{"a": 1} {"a": 2}]', 2, 0),
        ('[{"a": 1}, garbage, {"a": 3}]', 1, 1),
        ("[" * 100_000, 0, 1),
        ("[]", 0, 0),
        ("", 0, 0),
    ],
)
def test_a_broken_list_keeps_what_came_before(put, body, items, faults):
    findings = Findings("log")
    assert len(list(jsonlist.list_items(put("log.json", body), findings))) == items
    assert findings.count == faults


def test_a_cut_compressed_list_says_where(put, jobs_of):
    many = [
        philly_job(
            f"2017-10-07 01:11:{i % 60:02}",
            attempt("2017-10-07 01:12:09", "2017-10-07 01:13:09", 1 + i * 7919 % 8),
            jobid=f"{i * 7919 % 100_003:x}",
        )
        for i in range(4_000)
    ]
    path = put("log.json.gz", json.dumps(many), cut=3_000)
    jobs, found = jobs_of(path, "philly")
    assert 100 < len(jobs) < 4_000
    assert found["the compressed file ends early or is damaged: what follows is lost"] == 1


def job_view(**more):
    allocation = AllocationView(
        id="a1", site="here", flavor="fast", tasks="0-9", slots=0, nodes=["n"], state="ended",
        attempt=1, started_ms=10_000, ended_ms=16_000, succeeded=8, failed=2,
        expected_finish_ms=0, held_micro=0, cost_micro=5, wall_ms=30_000,
    )  # fmt: skip
    spec = {
        "name": "sky", "tasks": 10, "command": ["true"], "estimate": "4s", "priority": 7,
        "resources": {"cpu": 2, "memory": "4GiB", "accelerators": {"count": 1, "model": "A100-80"}},
        "deadline": "1970-01-01T00:01:00Z",
    }  # fmt: skip
    told = {
        "id": "j7", "name": "sky", "queue": "q", "account": "acc", "priority": 7,
        "state": "succeeded", "reason": "", "detail": "", "task_count": 10, "tasks": TaskCounts(),
        "submitted_ms": 5_000, "started_ms": 10_000, "ended_ms": 16_000, "expected_finish_ms": 0,
        "held_micro": 0, "cost_micro": 5, "allocations": [allocation], "spec": spec,
    }  # fmt: skip
    return JobView(**told | more)


def test_history_gives_back_what_a_hub_knew(put, jobs_of):
    lines = history_line(job_view(), {("here", "fast"): 2_000}) + history_line(
        job_view(id="j8", submitted_ms=6_000, allocations=[]), {}
    )
    (job,), found = jobs_of(put("past.jsonl", lines), queues=True)
    # 30 s over 10 tasks, on a flavor twice as fast as speed 1.
    assert job.runtimes_ms == (6_000,)
    assert (job.tasks, job.estimate_ms, job.priority) == (10, 4_000, 7)
    assert (job.name, job.queue, job.account) == ("sky", "q", "acc")
    # The first submission is the new zero, also for the deadline.
    assert (job.submitted_ms, job.deadline_ms) == (0, 55_000)
    assert job.shape.resources == Resources(2_000, 4 * 2**30, 0, 1_000)
    assert job.shape.accelerator == AcceleratorNeed(model="A100-80")
    assert found == {"a negative runtime (never ran, or unknown)": 1}


def test_a_document_that_is_not_understood_is_an_error():
    with pytest.raises(InputError):
        history_line(job_view(spec={"nonsense": 1}), {})


FULL = WorkJob(
    number=1, submitted_ms=5, tasks=2, runtimes_ms=(7, 9), estimate_ms=3, timeout_ms=99,
    shape=Shape(Resources(1, 2, 3, 4), 5, AcceleratorNeed(memory_bytes=9), (("lic", 2),)),
    user="u", name="n", queue="q", account="a", priority=-4, deadline_ms=88, checkpoint_ms=6,
    preemptible=True,
)  # fmt: skip


def test_a_written_workload_reads_back_whole(put, jobs_of):
    second = WorkJob(2, 6, Shape(Resources(1_000)), (50,), tasks=3)
    path = put("w.jsonl", workload_line(FULL) + b"\n" + workload_line(second))
    assert jobs_of(path) == ([FULL, second], {})


def test_broken_lines_are_counted(put, jobs_of):
    good = workload_line(FULL).decode()
    bad = [
        good.replace("-workload/1", "-workload/9"),
        good.replace('"tasks":2', '"tasks":3'),
        good.replace('"cpu_milli":1,', '"cpu_milli":-1,'),
        good.replace('"submitted_ms":5', '"submitted_ms":"soon"'),
        "{",
        "[" * 50_000,
        good.replace('"submitted_ms":5', f'"submitted_ms":{10**30}'),
    ]
    jobs, found = jobs_of(put("w.jsonl", good + "\n".join(bad)))
    assert jobs == [FULL]
    assert found == {
        "another schema than fenglin-workload/1": 1,
        "another number of runtimes than of tasks": 1,
        "needs of no reasonable size": 1,
        "no line of fenglin-workload/1": 3,
        "a time of no reasonable size": 1,
    }


@pytest.mark.parametrize(
    ("name", "body", "kind"),
    [
        ("a.swf", "", "swf"),
        ("b.txt", "; Version: 2\n", "swf"),
        ("c", "  1 0 0 1 1 -1 -1 1 1 -1 1 1 1 1 1 1 -1 -1\n", "swf"),
        ("d", "\ufeff\n [", "philly"),
        ("e.gz", '{"schema":"fenglin-history/1"}\n', "history"),
        ("f", '{"id":"1","schema":"fenglin-workload/1"}\n', "workload"),
        ("pai_task_table_sample.csv.gz", "j1,worker\n", "pai"),
    ],
)
def test_texts_are_recognised(put, name, body, kind):
    assert recognise(put(name, body)).name == kind


def test_an_empty_file_is_an_error(put):
    with pytest.raises(InputError, match="its columns are: none"):
        read(put("empty.csv", ""))
