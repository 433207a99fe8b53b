"""The mock site keeps the contract until told otherwise, and then breaks it exactly so."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fenglin.drivers.mock import Fault, Outcome, Rule, driver
from fenglin.errors import DriverError, InputError
from fenglin.model.allocation import Share, Usage
from fenglin.model.reason import Reason
from fenglin.ports.driver import DriverContext, Presence, StartOrder
from fenglin.quantities.resources import Resources
from fenglin.quantities.taskset import TaskSet

KEY = "h1-a1-1"
NOW_MS = 1_000_000


class Site:
    """A mock site and the clock it goes by."""

    def __init__(self, path, **settings):
        self.now_ms = NOW_MS
        self.wakes = 0
        context = DriverContext("h1", "m", path, self._wake, lambda: self.now_ms)
        self.driver = driver(context, settings)

    def _wake(self):
        self.wakes += 1

    def order(self, tasks="0-3", epoch=1):
        return StartOrder(
            key=KEY, epoch=epoch, hub="h1", job="j1", job_name="t", site="m", flavor="f",
            tasks=tasks, task_count=4, tries=(), shares=(Share("n", 2),), nodes=1,
            resources=Resources(1_000), command=("true",), script="", env=(), workdir="",
            inputs=(), artifacts=(), artifacts_dir="/nowhere", timeout_ms=0,
        )  # fmt: skip

    def start(self, **fields):
        asyncio.run(self.driver.start(self.order(**fields)))

    def look(self, cursor=""):
        return asyncio.run(self.driver.observe({KEY: cursor}))[0]


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path, task_ms=100)


def test_tasks_end_as_the_clock_moves(site):
    site.start()
    site.start()
    assert site.driver.runs == {KEY: 1}
    assert (site.look().started, site.look().ends) == (2, ())
    assert site.driver.next_ms() == NOW_MS + 100
    site.now_ms += 100
    half = site.look()
    assert ([e.index for e in half.ends], half.started) == ([0, 1], 4)
    site.now_ms += 100
    rest = site.look(half.cursor)
    assert [(e.index, e.started_ms, e.wall_ms) for e in rest.ends] == [
        (i, NOW_MS + 100, 100) for i in (2, 3)
    ]
    assert (rest.presence, rest.reason) == (Presence.ENDED, None)
    assert asyncio.run(site.driver.usage(KEY)) == Usage(4, 400, 400)
    assert site.driver.next_ms() is None


def test_behaviour_decides_how_tasks_go(site):
    site.driver.behaviour = lambda _, index: Outcome(10 * (index + 1), exit_code=index)
    site.start(tasks="0-1")
    site.now_ms += 20
    assert [(e.exit_code, e.reason) for e in site.look().ends] == [
        (0, None),
        (1, Reason.EXIT_CODE),
    ]


def test_stop_cancels_what_runs_and_forbids_a_late_start(site):
    site.start()
    site.now_ms += 30
    asyncio.run(site.driver.stop(KEY, 0))
    seen = site.look()
    assert [(e.index, e.wall_ms, e.reason) for e in seen.ends] == [
        (i, 30, Reason.CANCELLED) for i in (0, 1)
    ]
    assert (seen.presence, seen.started) == (Presence.ENDED, 2)


def test_stop_before_start(site):
    asyncio.run(site.driver.stop(KEY, 0))
    site.start()
    assert site.driver.runs == {}
    assert site.look().reason is Reason.CANCELLED


@pytest.mark.parametrize(
    ("fault", "unknown", "runs"),
    [
        (Fault.START_REFUSED, False, {}),
        (Fault.CALL_LOST, True, {}),
        (Fault.UNREACHABLE, True, {}),
        (Fault.ANSWER_LOST, True, {KEY: 1}),
    ],
)
def test_faults_of_start_strike_once(site, fault, unknown, runs):
    site.driver.inject(Rule(fault, key="h1-a1"))
    with pytest.raises(DriverError) as caught:
        site.start()
    assert caught.value.effect_unknown is unknown
    assert site.driver.runs == runs
    site.start()
    assert site.driver.runs == {KEY: 1}


def test_a_rule_for_another_key_does_not_strike(site):
    site.driver.inject(Rule(Fault.START_REFUSED, key="h1-a2"))
    site.start()
    assert site.driver.runs == {KEY: 1}


def test_faults_of_observe(site):
    site.start()
    site.now_ms += 100
    cursor = site.look().cursor
    site.driver.inject(
        Rule(Fault.UNKNOWN), Rule(Fault.ABSENT), Rule(Fault.REPEATED), Rule(Fault.RUNNER_LOST)
    )
    assert site.look(cursor).presence is Presence.UNKNOWN
    assert site.look(cursor).presence is Presence.ABSENT
    again = site.look(cursor)
    assert [e.index for e in again.ends][:2] == [0, 1]
    assert (again.presence, again.reason) == (Presence.ENDED, Reason.RUNNER_LOST)


def test_a_site_that_loses_its_memory_changes_its_generation(site):
    site.start()
    before = asyncio.run(site.driver.inventory()).generation
    site.driver.inject(Rule(Fault.FORGOTTEN))
    assert site.look().presence is Presence.ABSENT
    assert asyncio.run(site.driver.inventory()).generation != before


def test_a_hanging_call_waits_for_release(site):
    async def scenario():
        site.driver.inject(Rule(Fault.HANG))
        call = asyncio.create_task(site.driver.start(site.order()))
        await asyncio.sleep(0)
        assert site.driver.runs == {}
        site.driver.release()
        await call

    asyncio.run(scenario())
    assert site.driver.runs == {KEY: 1}


def test_forget_keeps_the_usage(site):
    site.start()
    with pytest.raises(DriverError, match="still runs"):
        asyncio.run(site.driver.forget(KEY))
    site.now_ms += 200
    asyncio.run(site.driver.forget(KEY))
    assert asyncio.run(site.driver.keys()) == frozenset()
    assert asyncio.run(site.driver.usage(KEY)).tasks == 4


def test_a_former_leader_is_refused(site):
    site.start(epoch=3)
    with pytest.raises(DriverError, match="epoch 2 is over"):
        site.start(epoch=2)


def test_a_pause_shifts_all_that_follows(site):
    site.start()
    site.now_ms += 40
    for _ in range(2):
        asyncio.run(site.driver.suspend(KEY, paused=True))
        site.now_ms += 500
    assert (site.look().started, site.look().ends, site.driver.next_ms()) == (2, (), None)
    asyncio.run(site.driver.suspend(KEY, paused=False))
    assert site.driver.next_ms() == NOW_MS + 1_100
    site.now_ms += 160
    assert [(e.index, e.started_ms, e.wall_ms) for e in site.look().ends] == [
        (0, NOW_MS, 1_100),
        (1, NOW_MS, 1_100),
        (2, NOW_MS + 1_100, 100),
        (3, NOW_MS + 1_100, 100),
    ]


def test_signals_reach_what_runs(site):
    asyncio.run(site.driver.signal(KEY, 10))
    site.start()
    asyncio.run(site.driver.signal(KEY, 10))
    site.now_ms += 200
    asyncio.run(site.driver.signal(KEY, 10))
    assert site.driver.signals == [(KEY, 10)]


def test_output_and_faults_of_a_test_kind(tmp_path):
    site = Site(tmp_path, nodes=[{"name": "a1", "flavor": "f"}, {"name": "b1", "flavor": "f"}])
    site.driver.behaviour = lambda _, index: Outcome(10, output=b"\xff" * index)
    site.start()
    site.now_ms += 20
    assert asyncio.run(site.driver.read_log(KEY, 3, 1, 9)).data == b"\xff\xff"
    site.driver.inject(Rule(Fault.NODE_DOWN, key="a", times=-1), Rule(Fault.UNKNOWN, times=-1))
    assert [n.up for n in asyncio.run(site.driver.inventory()).nodes] == [False, True]
    site.driver.heal()
    assert [n.up for n in asyncio.run(site.driver.inventory()).nodes] == [True, True]
    assert site.look().presence is Presence.ENDED


def test_settings(tmp_path):
    scripted = Site(tmp_path, faults=[{"fault": "start_refused", "times": -1}])
    for _ in range(3):
        with pytest.raises(DriverError):
            scripted.start()
    with pytest.raises(InputError, match="unknown setting 'colour'"):
        Site(tmp_path, colour="red")
    with pytest.raises(InputError, match="faults"):
        Site(tmp_path, faults=[{"fault": "no such fault"}])


def test_a_lean_site_keeps_nothing_of_what_is_forgotten(tmp_path):
    for lean, found in ((False, 1), (True, 0)):
        site = Site(tmp_path, task_ms=100, lean=lean)
        site.start()
        site.now_ms += 1_000
        assert site.look().presence is Presence.ENDED
        asyncio.run(site.driver.forget(KEY))
        assert (len(site.driver.runs), bool(site.driver.calls)) == (found, bool(found))
        if lean:
            with pytest.raises(DriverError):
                asyncio.run(site.driver.usage(KEY))


ACTS = st.one_of(
    st.tuples(st.just("pass"), st.integers(-40, 120)),
    st.tuples(st.just("stop"), st.none()),
    st.tuples(st.just("drop"), st.sampled_from(["0", "1-2", "3"])),
    st.tuples(st.just("suspend"), st.booleans()),
    st.tuples(st.just("hide"), st.none()),
    st.tuples(st.just("heal"), st.none()),
)


@given(st.lists(st.tuples(ACTS, st.booleans()), max_size=20))
def test_a_lean_site_tells_the_same(acts):
    """It remembers what it told; whatever is done, that must be what it would find."""
    whole, lean = Site(Path("nowhere"), task_ms=100), Site(Path("nowhere"), task_ms=100, lean=True)
    told = []
    for site in (whole, lean):
        site.start()
        seen = [site.look()]
        cursor = seen[0].cursor
        seen.append(site.look(cursor))
        for (act, what), goes_on in acts:
            do(site, act, what)
            seen.append(site.look(cursor))
            # What is not taken in is told again.
            cursor = seen[-1].cursor if goes_on else cursor
        told.append([*seen, asyncio.run(site.driver.usage(KEY))])
    assert told[0] == told[1]


def do(site, act, what):
    if act == "pass":
        site.now_ms += what
    elif act == "stop":
        asyncio.run(site.driver.stop(KEY, 0))
    elif act == "drop":
        asyncio.run(site.driver.stop_tasks(KEY, TaskSet.parse(what), 0))
    elif act == "suspend":
        asyncio.run(site.driver.suspend(KEY, paused=what))
    elif act == "hide":
        site.driver.inject(Rule(Fault.UNKNOWN))
    else:
        site.driver.heal()
