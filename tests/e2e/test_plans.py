"""Kept cycles of a real hub, planned again, and the present moment planned otherwise."""

import pytest

from fenglin.client.requests import Filter

ONE_CORE = {"resources": {"cpu": 1, "memory": "16MiB"}}
pytestmark = [pytest.mark.xdist_group("e2e-plans"), pytest.mark.usefixtures("worked")]


@pytest.fixture(scope="module")
def worked(hub):
    """Let the hub run an array, so that there are cycles to look at."""
    client = hub.client()
    job = client.submit({"name": "a", "command": ["true"], "tasks": 20, "resources": {"cpu": 1}})
    assert client.wait(job.id, 60).state == "succeeded"
    return job.id


def test_every_kept_cycle_comes_out_the_same_byte_for_byte(fenglin):
    listed = fenglin("plan", "list", "--all", "-o", "json").json["items"]
    assert sum(one["starts"] for one in listed) >= 1
    done = fenglin("plan", "replay", "--last", str(len(listed)), "-o", "json")
    assert done.code == 0
    assert [one["index"] for one in done.json] == [one["index"] for one in listed]
    assert all(one["same"] for one in done.json)


def test_a_cycle_is_saved_shown_and_planned_again_without_the_hub(fenglin, tmp_path):
    newest = fenglin("plan", "list", "-o", "json").json["items"][0]
    file = tmp_path / "one.cycle"
    assert fenglin("plan", "save", str(newest["index"]), "--out", str(file)).code == 0
    shown = fenglin("plan", "show", "--file", str(file), "-o", "json").json
    assert shown["index"] == newest["index"]
    assert shown["sites"] == 3
    assert shown["filled_slots"] <= shown["bound_slots"]
    tight = fenglin("plan", "show", "--file", str(file), "--bound", "-o", "json").json
    assert shown["filled_slots"] <= tight["bound_slots"] <= shown["bound_slots"]
    assert "byte for byte" in fenglin("plan", "replay", "--file", str(file)).out
    data = bytearray(file.read_bytes())
    file.write_bytes(data[:-3])
    broken = fenglin("plan", "replay", "--file", str(file))
    assert (broken.code, "cut short" in broken.err) == (7, True)


def test_a_past_decision_is_explained_from_its_cycle(fenglin, worked):
    story = fenglin("job", "explain", worked, "-o", "json").json["story"]
    first = next(event["text"] for event in story if event["kind"] == "committed")
    index = first.rpartition("plan ")[2]
    receipt = fenglin("plan", "explain", index, worked, "-o", "json").json
    assert (receipt["index"], receipt["started"] > 0) == (int(index), True)
    assert worked in fenglin("plan", "explain", index, worked).out
    missing = fenglin("plan", "explain", index, "j999")
    assert (missing.code, "j999 had no waiting tasks" in missing.err) == (3, True)


def test_what_if_changes_nothing_and_tells_the_difference(fenglin, client, eventually, tmp_path):
    full = client.submit({**ONE_CORE, "name": "full", "tasks": 6, "command": ["sleep", "60"]}).id
    eventually(lambda: client.job(full).tasks.running == 6)
    blocked = client.submit({**ONE_CORE, "name": "blocked", "command": ["true"]}).id
    more = tmp_path / "more.toml"
    more.write_text(
        '[site.big]\ndriver = "local"\nprovider = "else"\n[site.big.flavor.c]\ncpu = 16\n'
    )
    answer = fenglin("what-if", "--add", str(more), "-o", "json").json
    assert answer["before"]["started_tasks"] == 0
    assert answer["after"]["started_tasks_by_site"] == {"big": 1}
    assert answer["jobs"] == [{"job": blocked, "before": 0, "after": 1}]
    assert {site.name for site in client.sites(Filter()).items} == {"ai", "general", "super"}
    table = fenglin("what-if", "--add", str(more)).out
    assert f"{blocked}: 0 -> 1 tasks start now" in table
    client.cancel(blocked)
    client.cancel(full)


@pytest.mark.parametrize(("words", "code", "said"), [
    ((), 2, "nothing is to be different"),
    (("--drop", "moon"), 3, "no site is named 'moon'"),
    (("--weight", "luck=1"), 3, "no term is named 'luck'"),
    (("--weight", "money"), 2, "NAME=VALUE"),
    (("--weight", "money=much"), 2, "not a number"),
    (("--queue-weight", "nobody=2"), 3, "no queue is named 'nobody'"),
    (("--credit", "nobody=2"), 3, "no account is named 'nobody'"),
    (("--drop", "ai", "--drop", "general", "--drop", "super"), 2, "no site would be left"),
])  # fmt: skip
def test_what_if_refuses_what_makes_no_sense(fenglin, words, code, said):
    done = fenglin("what-if", *words)
    assert (done.code, said in done.err) == (code, True), done.err


def test_a_cycle_that_is_not_kept(fenglin):
    done = fenglin("plan", "show", "999999")
    assert (done.code, "cycle 999999 is not kept" in done.err) == (3, True)
    done = fenglin("plan", "show", "x1")
    assert (done.code, "not the index of a cycle" in done.err) == (2, True)
