"""The pieces of backfilling, each against a plain model of what it stands for."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fenglin.planner.backfill import conservative, easy, learned, nodes, profile, twins
from fenglin.planner.backfill.machine import Jobs, Machine
from fenglin.planner.backfill.nodes import Nodes, give_back, take
from fenglin.planner.backfill.profile import Profile, change, earliest, forget

FAR = 10_000


def room(running, waiting, procs):
    """Return a machine on which (end, procs) jobs run and (limit, procs) jobs wait."""
    jobs = [*((end, size) for end, size in running), *waiting]
    limits, sizes = ([one[k] for one in jobs] for k in (0, 1))
    order = sorted(range(len(running)), key=lambda j: -running[j][0])
    blank = [0] * len(jobs)
    queue = [*range(len(running), len(jobs)), *blank]
    start = [0 if j < len(running) else -1 for j in range(len(jobs))]
    free = procs - sum(size for _, size in running)
    state = [free, len(running), len(waiting), 0]
    ends = [running[j][0] for j in order] + blank
    machine = Machine(ends, order + blank, queue, queue[:], blank[:], start, state)
    return machine, Jobs(blank[:], limits, limits, sizes)


def test_the_reservation_of_the_head():
    machine, jobs = room([(10, 2), (20, 3), (20, 1), (30, 4)], [(5, 5)], 10)
    # 2 are free at 10, 6 at 20: one more than the head needs.
    assert easy.reservation(machine, jobs, 4) == (20, 1)


@pytest.mark.parametrize(
    ("waiting", "begun"),
    [
        ([(5, 8), (20, 2)], [3]),  # ends just when the head starts
        ([(5, 8), (21, 2)], []),  # would end too late, and there are none to spare
        ([(5, 7), (99, 1)], [3]),  # takes what the head leaves over
        ([(5, 7), (99, 2)], []),  # takes more than that
        ([(5, 7), (99, 1), (99, 1)], [3]),  # the second one finds none left over
        ([(5, 7), (20, 1), (99, 1)], [3, 4]),  # a short one uses up none of them
        ([(5, 2), (5, 8), (20, 1)], [2]),  # the head itself fits
    ],
)
def test_who_may_overtake(waiting, begun):
    machine, jobs = room([(20, 6), (40, 2)], waiting, 10)
    easy.schedule(machine, jobs, 0, easy.ARRIVAL_ORDER)
    assert machine.begun[: machine.state[3]] == begun
    left = [j for j in range(2, 2 + len(waiting)) if j not in begun]
    assert machine.queue[: machine.state[2]] == left


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 10), st.integers(-3, 3)), max_size=12),
    st.integers(0, 25),
    st.integers(1, 6),
    st.integers(1, 12),
    st.integers(0, 60),
)
def test_the_profile_against_a_list_of_seconds(changes, now, procs, length, until):
    room_for = 2 * len(changes) + 3
    ours = Profile([0] * room_for, [6] * room_for, [1])
    seconds = [6] * 200
    for begin, during, by in changes:
        change(ours, begin, begin + during, by)
        for t in range(begin, begin + during):
            seconds[t] += by
    forget(ours, now)
    steps = ours.steps[0]
    assert ours.from_s[0] == now
    assert all(a != b for a, b in zip(ours.free, ours.free[1:steps], strict=False))
    found = [0] * 200
    for t in range(now, 200):
        found[t] = ours.free[max(i for i in range(steps) if ours.from_s[i] <= t)]
    assert found[now:] == seconds[now:]
    until = max(until, now)
    expected = next(
        t
        for t in range(now, 200)
        if t == until or all(free >= procs for free in seconds[t : min(t + length, until)])
    )
    assert earliest(ours, procs, length, until) == expected


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(1, 9)), max_size=40))
def test_nodes_against_a_set(steps):
    count = 12
    spare = [-1, *range(2, count + 1), -1]
    ours = Nodes(
        [0] * (count + 1), [count] + [0] * count, spare, [-1] * 8, [0] * 999, [0] * 999, [0] * 999,
        [0, 1, 0],
    )  # fmt: skip
    free, held = set(range(count)), {}
    for job, size in steps:
        if job in held:
            give_back(ours, job)
            free |= held.pop(job)
        elif size <= len(free):
            before = ours.state[2]
            assert take(ours, job, size)
            held[job] = set(sorted(free)[:size])
            free -= held[job]
            mine = set()
            for r in range(before, ours.state[2]):
                mine |= {*range(ours.log_first[r], ours.log_first[r] + ours.log_length[r])}
            assert mine == held[job]
    pieces = [[n for n in sorted(free) if n - 1 not in free]]
    place, firsts = ours.state[0], []
    while place != -1:
        firsts.append(ours.first[place])
        place = ours.after[place]
    assert [firsts] == pieces, "free ranges are sorted and joined"


def test_too_few_nodes():
    ours = Nodes([0] * 3, [2, 0, 0], [-1, 2, -1], [-1], [], [], [], [0, 1, 0])
    assert not take(ours, 0, 3)


def test_without_numba_there_are_no_twins(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    assert twins.compiled(easy.KERNELS) is None


def test_a_twin_computes_the_same_and_is_found_in_the_cache():
    np = pytest.importorskip("numpy")
    pytest.importorskip("numba", reason="the extra `simulate` is not installed")
    ours = twins.compiled(profile.KERNELS)
    plain = Profile([0] * 9, [4] * 9, [1])
    fast = Profile(*(np.array(column, dtype=np.int64) for column in plain))
    for begin, end, by in [(3, 9, -2), (5, 7, -1), (3, 5, 2)]:
        change(plain, begin, end, by)
        ours["change"](fast, begin, end, by)
    assert [column.tolist() for column in fast] == list(plain)
    assert ours["earliest"](fast, 3, 4, FAR) == earliest(plain, 3, 4, FAR) == 0


def test_a_change_in_a_callee_changes_the_names_of_its_callers():
    pytest.importorskip("numba", reason="the extra `simulate` is not installed")
    scope, other = {"__name__": "made_up"}, {"__name__": "made_up"}
    exec("def low(x):\n    return x + 1\ndef high(x):\n    return low(x)\n", scope)  # noqa: S102 - ours
    exec("def low(x):\n    return x + 2\ndef high(x):\n    return low(x)\n", other)  # noqa: S102 - ours
    names = []
    for made in (scope, other):
        found = twins.compiled((made["low"], made["high"]))
        names.append(found["high"].py_func.__qualname__)
    assert names[0] != names[1]
    assert (found["high"](1), scope["high"](1)) == (3, 2)


def test_a_constant_of_another_file_changes_the_name():
    pytest.importorskip("numba", reason="the extra `simulate` is not installed")
    names, results = [], []
    for value in (1, 2):
        scope = {"__name__": "made_up", "STEP": value}
        exec("def high(x):\n    return x + STEP\n", scope)  # noqa: S102 - ours
        twin = twins.compiled((scope["high"],))["high"]
        names.append(twin.py_func.__qualname__)
        results.append(twin(1))
    assert results == [2, 3]
    assert names[0] != names[1], "machine code on disk would be that of the old constant"


@pytest.mark.parametrize(
    "kernels", [easy.KERNELS, conservative.KERNELS, learned.KERNELS, nodes.KERNELS]
)
def test_callees_stand_before_their_callers(kernels):
    known = set()
    everything = {kernel.__name__ for kernel in kernels}
    for kernel in kernels:
        called = set(kernel.__code__.co_names) & everything
        assert called <= known, f"{kernel.__name__} calls what is not compiled yet"
        known.add(kernel.__name__)
