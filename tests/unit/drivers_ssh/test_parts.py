"""An attempt is divided over nodes without loss, and what they tell is joined without loss."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fenglin.drivers.ssh import gangs, joined
from fenglin.drivers.ssh.joined import Seen, Whole, whole
from fenglin.drivers.ssh.parts import Note, Notes, divide, note_in, part_lines
from fenglin.errors import DriverError
from fenglin.model.allocation import Share
from fenglin.model.reason import Reason
from fenglin.ports.driver import Presence, StartOrder
from fenglin.quantities.resources import Resources
from fenglin.quantities.taskset import TaskSet
from fenglin.runner.host.order import Order, decode, encode
from fenglin.runner.orders import order_lines

SLOTS = st.lists(st.integers(1, 5), min_size=1, max_size=6)
INDICES = st.sets(st.integers(0, 300), min_size=1, max_size=120)


def an_order(tasks="0", slots=(1,), nodes=1, **fields):
    shares = tuple(Share(f"n{at}", count) for at, count in enumerate(slots))
    values = {
        "key": "h-a1-1", "epoch": 1, "hub": "h", "job": "j1", "job_name": "n", "site": "s",
        "flavor": "f", "tasks": tasks, "task_count": 1, "tries": (), "shares": shares,
        "nodes": nodes, "resources": Resources(100), "command": ("true",), "script": "",
        "env": (), "workdir": "", "inputs": (), "artifacts": (), "artifacts_dir": "/a",
        "timeout_ms": 0,
    }  # fmt: skip
    return StartOrder(**{**values, **fields})


@given(INDICES, SLOTS)
def test_every_task_is_in_one_part(indices, slots):
    order = an_order(str(TaskSet.of(indices)), slots)
    parts = divide(order, "s").parts
    dealt = [task for part in parts for task in gangs_indices(part.tasks)]
    assert sorted(dealt) == sorted(indices)
    assert all(part.tasks for part in parts)
    assert divide(order, "s").parts == parts


def gangs_indices(text):
    return [i for start, stop in TaskSet.parse(text).runs for i in range(start, stop)]


@given(st.lists(st.integers(1, 8), min_size=2, max_size=6))
def test_parts_are_as_large_as_their_slots_say(slots):
    order = an_order("0-9999", slots)
    each = 10_000 / sum(slots)
    for part in divide(order, "s").parts:
        assert len(TaskSet.parse(part.tasks)) == pytest.approx(each * part.share.slots, rel=0.1)
        # From all over the array: neither end alone.
        assert len(TaskSet.parse(part.tasks).runs) > 4


def test_a_huge_array_is_divided_without_walking_it():
    parts = divide(an_order("0-99999999", (4, 4)), "s").parts
    assert sum(len(TaskSet.parse(part.tasks)) for part in parts) == 10**8


@given(INDICES, st.lists(st.integers(1, 4), min_size=2, max_size=5), st.integers(2, 4))
def test_gangs_stand_on_different_nodes_within_their_slots(indices, slots, nodes):
    order = an_order(str(TaskSet.of(indices)), slots, nodes)
    if len(slots) < nodes:
        with pytest.raises(DriverError, match="needs as many nodes"):
            divide(order, "s")
        return
    note = divide(order, "s")
    assert note.gang
    ranks = {}
    for part in note.parts:
        assert str(TaskSet.of(i for i, _, _ in part.ranks)) == part.tasks
        for index, rank, gang in part.ranks:
            assert gang[rank] == part.node
            ranks.setdefault(index, []).append((rank, gang))
    assert set(ranks) == set(indices)
    for told in ranks.values():
        assert sorted(rank for rank, _ in told) == list(range(nodes))
        assert len({gang for _, gang in told}) == 1
    # Different gangs that are used at once never need more slots than a node has.
    used = {gang for told in ranks.values() for _, gang in told}
    assert all(
        sum(node in gang for gang in used) <= count
        for node, count in ((f"n{at}", c) for at, c in enumerate(slots))
    )


def test_an_order_on_a_host_tells_of_all_parts_but_not_where_the_hub_writes():
    order = an_order("0-5", (2, 2), 2)
    note = divide(order, "s")
    lines = [*order_lines(order, 100, 0), *part_lines(note, {"n0": "10.0.0.1", "n1": "::1"})]
    data = encode(lines)
    found = note_in(order.key, data)
    assert found == Note(note.key, note.parts, True, "", note.grace_ms)
    assert Order(decode(data)).addresses == {"n0": "10.0.0.1", "n1": "::1"}
    assert note_in("k", data[:-9]) is None
    assert note_in("k", encode(order_lines(order, 100, 0))) is None


def test_notes_outlive_the_hub(tmp_path):
    note = divide(an_order("0-5", (2, 2)), "s")
    Notes(tmp_path).write(note)
    Notes(tmp_path).write(Note("h-a2-1"))
    again = Notes(tmp_path)
    assert again.find(note.key) == note
    assert again.find("h-a9-9") is None
    assert again.stopped() == ["h-a2-1"]
    again.forget(note.key)
    again.forget(note.key)
    assert Notes(tmp_path).is_kept(note.key)
    assert Notes(tmp_path).find(note.key) == note


@pytest.mark.parametrize("key", ["", ".", "../x", "a/b", "a\0", "a\n", "x" * 201])
def test_a_key_is_no_path(tmp_path, key):
    with pytest.raises(DriverError, match="not an attempt key"):
        Notes(tmp_path).find(key)


ABSENT, PREPARED, UNKNOWN = Seen("absent"), Seen("prepared"), Seen("unknown")
COMING = Seen("running")
RUNS, OVER = Seen("running", claimed=True), Seen("ended", claimed=True)
VOID = Seen("ended", "cancelled")


@pytest.mark.parametrize(
    ("parts", "state"),
    [
        ([ABSENT, ABSENT], Whole.ABSENT),
        ([PREPARED, ABSENT], Whole.ABSENT),
        ([PREPARED, PREPARED], Whole.ABSENT),
        ([RUNS, None], Whole.UNKNOWN),
        ([ABSENT, None], Whole.UNKNOWN),
        ([OVER, UNKNOWN], Whole.UNKNOWN),
        ([RUNS, PREPARED], Whole.HALF_STARTED),
        ([COMING, PREPARED], Whole.HALF_STARTED),
        ([OVER, PREPARED], Whole.HALF_STARTED),
        ([VOID, PREPARED], Whole.HALF_STOPPED),
        ([RUNS, OVER], Whole.RUNNING),
        ([RUNS, ABSENT], Whole.RUNNING),
        ([OVER, ABSENT], Whole.ENDED),
        ([VOID, ABSENT], Whole.ENDED),
        ([OVER, OVER], Whole.ENDED),
        ([OVER, VOID], Whole.ENDED),
    ],
)
def test_what_parts_make_together(parts, state):
    assert whole(parts) is state
    assert whole(parts[::-1]) is state


S0, E0 = b"S 0 9 100 .\n", b"E 0 100 5 0 - 1 10 .\n"
S1, E1 = b"S 1 9 90 .\n", b"E 1 90 7 3 exit_code 2 20 .\n"


def test_ends_of_all_nodes_are_told_once():
    parts = {"a": Seen("running", claimed=True, data=S0 + E0), "b": None}
    first = joined.join("k", "", parts)
    assert (first.presence, [e.index for e in first.ends]) == (Presence.UNKNOWN, [0])
    parts = {
        "a": Seen("ended", claimed=True, data=b"D - 9 .\n"),
        "b": Seen("ended", "runner_lost", claimed=True, data=S1 + E1 + b"D runner_lost 9 .\n"),
    }
    second = joined.join("k", first.cursor, parts)
    assert [e.index for e in second.ends] == [1]
    assert (second.presence, second.reason) == (Presence.ENDED, Reason.RUNNER_LOST)
    assert (second.started, second.first_start_ms) == (2, 90)


def test_a_host_that_lost_its_memory_ends_its_part():
    seen = joined.join("k", "", {"a": Seen("absent"), "b": Seen("ended", claimed=True, data=E1)})
    assert (seen.presence, seen.reason) == (Presence.ENDED, Reason.SITE_LOST)


def test_an_end_waits_for_its_artifacts_and_those_after_it_too():
    data = S0 + E1 + E0 + b"D - 9 .\n"
    part = Seen("ended", claimed=True, data=data, withheld=frozenset({0}))
    seen = joined.join("k", "", {"a": part})
    assert ([e.index for e in seen.ends], seen.presence) == ([1], Presence.RUNNING)
    rest = data[len(S0 + E1) :]
    part = Seen("ended", claimed=True, data=rest, spoiled=frozenset({0}))
    seen = joined.join("k", seen.cursor, {"a": part})
    assert [(e.index, e.reason) for e in seen.ends] == [(0, Reason.STAGING_FAILED)]
    assert seen.presence is Presence.ENDED


@pytest.mark.parametrize("cursor", ["x", "a=", "a=1", "a=1:2:3;b", "a=x:y:z"])
def test_a_cursor_of_others_is_refused(cursor):
    with pytest.raises(ValueError, match=r"."):
        joined.join("k", cursor, {"a": RUNS})


def test_a_reason_that_no_host_may_invent():
    seen = joined.join("k", "", {"a": Seen("ended", "no such reason", claimed=True)})
    assert seen.reason is Reason.START_FAILED


GANG = divide(an_order("0-1", (1, 1), 2), "s")


def gang(a, b, cursor=""):
    return gangs.join(GANG, cursor, {"n0": a, "n1": b})


def claimed(presence, data, **more):
    return Seen(presence, claimed=True, data=data, **more)


def test_a_gang_ends_with_its_last_rank():
    seen, broken = gang(claimed("running", S0 + E0), claimed("running", S0))
    assert (seen.ends, seen.started, broken) == ((), 1, {})
    late = b"E 0 101 50 0 - 4 40 .\n"
    seen, _ = gang(claimed("running", S0 + E0), claimed("running", S0 + late), seen.cursor)
    (end,) = seen.ends
    assert (end.exit_code, end.started_ms, end.wall_ms, end.cpu_ms) == (0, 100, 50, 5)
    again, _ = gang(claimed("running", S0 + E0), claimed("running", S0 + late), seen.cursor)
    assert again.ends == ()


def test_a_rank_that_fails_ends_the_others_and_names_the_cause():
    bad = b"E 0 100 5 7 exit_code 1 10 .\n"
    seen, broken = gang(claimed("running", S0 + bad), claimed("running", S0))
    assert (seen.ends, broken) == ((), {"n1": frozenset({0})})
    # Its clock is behind: the consequence looks earlier than the cause, and is told apart.
    peer = b"E 0 90 1 143 peer 1 10 .\n"
    seen, broken = gang(claimed("running", S0 + bad), claimed("running", S0 + peer))
    assert [(e.exit_code, e.reason) for e in seen.ends] == [(7, Reason.EXIT_CODE)]
    assert broken == {}


def test_a_rank_whose_host_is_gone_is_lost():
    seen, _ = gang(claimed("ended", S0 + E0 + b"D - 9 .\n"), Seen("absent"))
    assert [(e.exit_code, e.reason) for e in seen.ends] == [(137, Reason.RUNNER_LOST)]
    assert (seen.presence, seen.reason) == (Presence.ENDED, Reason.SITE_LOST)
    seen, _ = gang(claimed("running", S0 + E0), None)
    assert (seen.ends, seen.presence) == ((), Presence.UNKNOWN)
