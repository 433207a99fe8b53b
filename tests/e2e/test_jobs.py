"""Jobs from a file to their end, on three real sites."""

import pytest

from fenglin.client.requests import Filter

# One hub serves the whole module.
pytestmark = pytest.mark.xdist_group("e2e-jobs")

SMALL = {"resources": {"cpu": 0.1, "memory": "16MiB"}}


def test_submit_and_wait(fenglin, job_file):
    path = job_file({"name": "hello", "script": "echo hello from $FENGLIN_TASK_INDEX", **SMALL})

    done = fenglin("submit", path, "--wait", "-o", "json")

    assert done.code == 0, done.err
    assert done.json["state"] == "succeeded"
    shown = fenglin("job", "show", done.json["id"], "-o", "json").json
    assert shown["tasks"]["succeeded"] == 1
    assert [one["state"] for one in shown["allocations"]] == ["ended"]
    assert shown["cost_micro"] > 0
    assert fenglin("job", "logs", done.json["id"]).out == "hello from 0\n"


def test_failing_job_ends_a_wait_with_1(fenglin, job_file):
    done = fenglin("submit", job_file({"name": "bad", "script": "exit 3", **SMALL}), "--wait")

    assert done.code == 1
    assert "exit code 3" in done.err


def test_array_spreads_over_all_sites(client, truth):
    job = client.submit(truth.job("array", tasks=12, sleep_s=0.3)).id

    view = client.wait(job, 30)

    assert view.state == "succeeded"
    assert {one.site for one in view.allocations} == {"ai", "general", "super"}
    runs = truth.runs()
    assert sorted(run.task for run in runs) == list(range(12))
    assert all(run.number == 1 and run.ended_s for run in runs)


def test_task_sees_where_it_is(client):
    script = (
        'echo "$FENGLIN_JOB_ID $FENGLIN_TASK_INDEX $FENGLIN_TASK_COUNT $FENGLIN_ATTEMPT'
        ' $FENGLIN_SITE $FENGLIN_FLAVOR $NOTE"'
    )
    job = client.submit(
        {"name": "where", "tasks": 2, "script": script, "sites": ["ai"], "env": {"NOTE": "a b"}}
    ).id
    client.wait(job, 30)

    assert b"".join(client.log(job, 1)).decode() == f"{job} 1 2 1 ai std a b\n"


@pytest.mark.parametrize(("codes", "state", "runs"), [([7], "succeeded", 3), ([8], "failed", 1)])
def test_retries_by_exit_code(client, truth, codes, state, runs):
    # The third run of the task ends well.
    script = 'set -- "$task".run.*; [ $# -ge 3 ] || exit 7'
    retries = {"limit": 3, "exit_codes": codes}
    job = client.submit(truth.job("again", script=script, retries=retries)).id

    view = client.wait(job, 30)

    assert (view.state, len(truth.runs(job))) == (state, runs)
    assert not truth.doubles()


def test_retries_end(client, truth):
    job = client.submit(truth.job("never", script="exit 5", retries=2)).id

    view = client.wait(job, 30)

    assert (view.state, view.reason, len(truth.runs(job))) == ("failed", "exit_code", 3)


def test_timeout(client, truth):
    job = client.submit(truth.job("long", sleep_s=60, timeout="300ms")).id

    view = client.wait(job, 30)

    assert (view.state, view.reason) == ("failed", "timeout")
    assert [run.ended_s for run in truth.runs(job)] == [0]


def test_cancel_running(fenglin, client, truth, running):
    job = client.submit(truth.job("busy", tasks=3, sleep_s=300)).id
    running(job, 3)

    assert fenglin("job", "cancel", job).code == 0

    done = fenglin("job", "wait", job, "--timeout", "30s")
    assert done.code == 8, done.err
    view = client.job(job)
    assert (view.state, view.tasks.cancelled, view.held_micro) == ("cancelled", 3, 0)
    assert all(run.ended_s == 0 for run in truth.runs(job))
    assert fenglin("job", "cancel", job).out.split() == [job, "cancelled"]


def test_cancel_pending(client, truth):
    job = client.submit(truth.job("later", not_before="1h")).id

    assert client.cancel(job).state == "cancelled"
    assert not truth.runs(job)


def test_artifacts_of_one_job_are_inputs_of_the_next(fenglin, job_file, tmp_path):
    # Two documents in one file: the second names the first.
    path = job_file(
        """
name: parts
tasks: 3
resources: {cpu: 0.1, memory: 16MiB}
script: echo "part $FENGLIN_TASK_INDEX" > part.txt; echo no > other.txt
artifacts: [part.txt]
---
name: whole
resources: {cpu: 0.1, memory: 16MiB}
files: [{artifacts_of: parts, target: parts}]
script: cat parts/*/part.txt > whole.txt
artifacts: [whole.txt]
""",
        "two.yaml",
    )

    done = fenglin("submit", path, "--wait", "-o", "json")

    assert done.code == 0, done.err
    first, second = (item["id"] for item in done.json["items"])
    listed = fenglin("job", "artifacts", first, "-o", "json").json["items"]
    assert [one["path"] for one in listed] == ["0/part.txt", "1/part.txt", "2/part.txt"]
    assert fenglin("job", "artifacts", second, "--download", tmp_path / "got").code == 0
    assert (tmp_path / "got/0/whole.txt").read_text() == "part 0\npart 1\npart 2\n"


def test_files_are_brought(fenglin, job_file, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/in.txt").write_text("brought\n")
    (tmp_path / "tool").write_text("#!/bin/sh\ncat data/in.txt\n")
    (tmp_path / "tool").chmod(0o755)
    path = job_file({"name": "files", "files": ["data/in.txt", "tool"], "command": ["./tool"]})

    done = fenglin("submit", path, "--wait", "-o", "json")

    assert done.code == 0, done.err
    assert fenglin("job", "logs", done.json["id"]).out == "brought\n"


def test_logs_follow_a_running_task(fenglin, client):
    job = client.submit({"name": "talk", "script": "echo one; sleep 0.5; echo two", **SMALL}).id

    done = fenglin("job", "logs", "-f", job)

    assert (done.code, done.out) == (0, "one\ntwo\n")


def test_listings_filter_sort_and_page(client):
    label = {"labels": {"group": "listed"}, **SMALL}
    ids = [
        one.id
        for one in client.submit_batch(
            [{"name": f"l{n}", "priority": n, "command": ["true"], **label} for n in range(5)]
        )
    ]
    fields = (("label", "group=listed"),)

    page = client.jobs(Filter(fields, sort="priority"))

    assert [job.id for job in page.items] == ids
    assert [job.id for job in client.jobs(Filter(fields)).items] == ids[::-1]
    assert [job.id for job in client.jobs(Filter(fields, sort="-priority"), most=2).items] == (
        ids[:2:-1]
    )


def test_a_shown_job_gives_the_document_that_makes_it_again(fenglin, job_file):
    document = {
        "name": "again", "tasks": 2, "command": ["true"], "env": {"A": "b"},
        "timeout": "90s", "labels": {"x": "y"}, **SMALL,
    }  # fmt: skip
    first = fenglin("submit", job_file(document), "--wait", "-o", "json").json["id"]
    shown = fenglin("job", "show", first, "-o", "json").json
    assert shown["labels"] == {"x": "y"}

    second = fenglin("submit", job_file(shown["spec"]), "--wait", "-o", "json").json["id"]

    assert fenglin("job", "show", second, "-o", "json").json["spec"] == shown["spec"]
