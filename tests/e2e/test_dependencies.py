"""Jobs that wait for others: which endings free them, which doom them."""

import pytest

# One hub serves the whole module.
pytestmark = pytest.mark.xdist_group("e2e-dependencies")

SMALL = {"resources": {"cpu": 0.1, "memory": "16MiB"}}


@pytest.mark.parametrize(
    ("script", "condition", "state"),
    [
        ("true", "ok", "succeeded"),
        ("exit 1", "ok", "cancelled"),
        ("true", "any", "succeeded"),
        ("exit 1", "any", "succeeded"),
        ("exit 1", "fail", "succeeded"),
        ("true", "fail", "cancelled"),
    ],
)
@pytest.mark.parametrize("late", [False, True], ids=["parent runs", "parent has ended"])
def test_condition(client, script, condition, state, late):
    parent = client.submit({"name": "parent", "script": f"sleep 0.1; {script}", **SMALL}).id
    if late:
        client.wait(parent, 30)

    after = [{"job": parent, "condition": condition}]
    child = client.submit({"name": "child", "command": ["true"], "after": after, **SMALL}).id

    view = client.wait(child, 30)
    assert view.state == state
    assert view.reason == ("" if state == "succeeded" else "dependency_failed")


def test_child_starts_after_its_parent_has_ended(client, truth):
    parent = client.submit(truth.job("parent", tasks=3, sleep_s=0.2)).id
    child = client.submit(truth.job("child", after=[parent])).id

    assert client.job(child).reason in {"", "dependency_pending"}
    assert client.wait(child, 30).state == "succeeded"
    ends = [run.ended_s for run in truth.runs(parent)]
    assert len(ends) == 3
    assert truth.runs(child)[0].began_s >= max(ends)


def test_failure_cancels_all_generations(client):
    ids = [client.submit({"name": "root", "script": "sleep 0.2; exit 1", **SMALL}).id]
    for name in ("child", "grandchild"):
        document = {"name": name, "command": ["true"], "after": [ids[-1]], **SMALL}
        ids.append(client.submit(document).id)

    states = [client.wait(job, 30).state for job in ids]

    assert states == ["failed", "cancelled", "cancelled"]


def test_cancelled_parent_dooms_its_child(client):
    parent = client.submit({"name": "p", "command": ["true"], "not_before": "1h", **SMALL}).id
    child = client.submit({"name": "c", "command": ["true"], "after": [parent], **SMALL}).id

    client.cancel(parent)

    assert client.wait(child, 30).state == "cancelled"


def test_per_task(client, truth):
    # Task 1 fails: of the child only task 1 is lost, and task 0 starts before all have ended.
    fail = 'if [ "$FENGLIN_TASK_INDEX" = 1 ]; then exit 1; fi'
    wait = f'if [ "$FENGLIN_TASK_INDEX" = 2 ]; then sleep 1; fi; {fail}'
    parent = client.submit(truth.job("parent", tasks=3, script=wait)).id
    after = [{"job": parent, "per_task": True}]
    child = client.submit(truth.job("child", tasks=3, after=after)).id

    view = client.wait(child, 30)

    assert view.state == "cancelled"
    assert (view.tasks.succeeded, view.tasks.cancelled) == (2, 1)
    assert [run.task for run in truth.runs(child)] == [0, 2]


def test_parent_must_exist(fenglin, job_file):
    path = job_file({"name": "orphan", "command": ["true"], "after": ["j999999"]})

    done = fenglin("submit", path)

    assert done.code == 2
    assert "j999999" in done.err
