"""The policy `balanced`: what it promises, and that it keeps it."""

import dataclasses

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fenglin.planner.backfill import easy, learned
from fenglin.planner.backfill.machine import FREE, NEVER, WAITING
from fenglin.planner.predict import Predictor, amount
from fenglin.simulator.columns import Columns
from fenglin.simulator.stepwise import LearnedDesk, drive
from fenglin.simulator.swf_run import BatchPolicy, Runtime, fares, simulate

PROCS = 6
HOUR = 3_600
# Hours and minutes, so that predictions spread over the whole way from none to all patience.
JOB = st.tuples(
    st.integers(0, 40).map(lambda x: x * 600),
    st.sampled_from([0, 5, 60, 900, 5 * HOUR, 20 * HOUR]),
    st.sampled_from([60, 600, HOUR, 24 * HOUR]),
    st.integers(1, PROCS),
)
USERS = st.integers(0, 2)
WORKLOADS = st.lists(st.tuples(JOB, USERS), min_size=1, max_size=30).map(sorted)
# The last, which is put back less than the widest, starts ahead of it in the step of its arrival.
OVERTAKEN = [
    *[((0, 0, 60, 1), 0)] * 4,
    ((0, 0, HOUR, 3), 0),
    ((0, 0, HOUR, PROCS), 0),
    ((0, 5, 600, 1), 0),
]
QUIET = settings(deadline=None, max_examples=120)


def trace_of(make_trace, pairs):
    users = np.array([user for _, user in pairs], dtype=np.int64)
    return dataclasses.replace(make_trace([row for row, _ in pairs]), user_id=users)


@pytest.fixture
def make(make_trace):
    return lambda pairs: trace_of(make_trace, pairs)


class Watched(LearnedDesk):
    """Looks at the head after each step: its shadow time never goes beyond what it was told."""

    def __init__(self, room, jobs, learner):
        super().__init__(room, jobs, learner)
        self.head, self.bound = NEVER, None
        self.room, self.jobs, self.learner = room, jobs, learner

    def arrive(self, job, now_s):
        return self.look(super().arrive(job, now_s), now_s)

    def finish(self, job, now_s):
        return self.look(super().finish(job, now_s), now_s)

    def look(self, begun, now_s):
        room, learner = self.room, self.learner
        assert room.state[FREE] >= 0
        if self.head in begun and self.bound is not None:
            assert now_s <= self.bound
        waiting = room.queue[: room.state[WAITING]]
        keys = [(learner.key_s[job], job) for job in waiting]
        assert keys == sorted(keys)
        expected = sum(amount(learner.guess[job]) * self.jobs.procs[job] for job in waiting)
        assert learner.backlog[0] == expected
        if not waiting:
            self.head = NEVER
        else:
            shadow_s, _ = easy.reservation(room, self.jobs, waiting[0])
            promise_s = learner.promise_s[waiting[0]]
            if waiting[0] != self.head or self.bound is None or self.overtaken(begun):
                # While nobody waits behind it, there is nothing to promise.
                self.head = waiting[0]
                self.bound = None if promise_s == NEVER else max(shadow_s, promise_s)
            assert now_s <= shadow_s
            assert self.bound is None or shadow_s <= self.bound
        return begun

    def overtaken(self, begun):
        """Return whether a job headed the queue before the head, and began in the same step."""
        key_s = self.learner.key_s
        return any((key_s[job], job) < (key_s[self.head], self.head) for job in begun)


def watched(trace, patience=100):
    columns = Columns(arrays=False)
    jobs = columns.jobs(trace.submit_s, trace.run_s, trace.request_s, trace.procs)
    room = columns.machine(len(trace), PROCS)
    desk = Watched(room, jobs, columns.learner(trace, PROCS, patience, learns=True))
    drive(desk, jobs)
    return desk


@pytest.mark.slow
@QUIET
@given(pairs=WORKLOADS, patience=st.sampled_from([0, 100, 400]))
@example(pairs=OVERTAKEN, patience=100)
def test_a_head_starts_by_its_promise_and_nobody_is_lost(make_trace_once, pairs, patience):
    # A job that outlives its request holds nothing, and nothing happens when it should end.
    within = [((at, min(run, limit), limit, size), user) for (at, run, limit, size), user in pairs]
    trace = trace_of(make_trace_once, within)
    desk = watched(trace, patience)
    assert min(desk.room.start_s) >= 0
    put_back = np.array(desk.learner.key_s) - trace.submit_s
    assert (put_back >= 0).all()
    assert (put_back <= learned.MOST_PATIENCE_S * patience // 100).all()


@pytest.fixture(scope="module")
def make_trace_once():
    """As `make_trace`, which Hypothesis does not take since it is made anew for each test."""
    from fenglin.simulator.trace import Findings, Trace  # noqa: PLC0415 - for this fixture only

    def make(rows):
        submit_s, run_s, request_s, procs = np.array(rows, dtype=np.int64).reshape(-1, 4).T.copy()
        number = np.arange(1, len(rows) + 1)
        return Trace(
            number, submit_s, run_s, request_s, procs, number, number, 0, Findings("made up")
        )

    return make


@QUIET
@given(pairs=WORKLOADS, runtime=st.sampled_from(Runtime))
def test_plain_and_compiled_agree(make_trace_once, pairs, runtime):
    pytest.importorskip("numba", reason="the extra `simulate` is not installed")
    trace = trace_of(make_trace_once, pairs)
    both = [
        simulate(trace, PROCS, BatchPolicy.BALANCED, runtime, plain=plain)
        for plain in (True, False)
    ]
    assert [one.compiled for one in both] == [False, True]
    assert np.array_equal(both[0].start_s, both[1].start_s)


def test_the_order_is_learned(make):
    """Both ask for ten hours; only the past tells that user 1's jobs take a minute."""
    past = [
        ((1_000 * i, (9 * HOUR, 60)[user], 10 * HOUR, 1), user) for i in range(3) for user in (0, 1)
    ]
    later = 100 * HOUR
    blocker = ((later, HOUR, HOUR, PROCS), 2)
    long_first = ((later + 1, 9 * HOUR, 10 * HOUR, PROCS), 0)
    short_next = ((later + 2, 60, 10 * HOUR, PROCS), 1)
    trace = make([*sorted(past), blocker, long_first, short_next])
    start_s = simulate(trace, PROCS, BatchPolicy.BALANCED, Runtime.REQUESTED).start_s
    assert start_s[-1] < start_s[-2]
    in_order = simulate(
        trace, PROCS, BatchPolicy.BALANCED, Runtime.REQUESTED, patience_percent=0
    ).start_s
    assert in_order[-1] > in_order[-2]


def test_a_wide_job_in_an_endless_stream_of_short_ones_starts(make):
    """Short jobs fill the machine for ever; a long wide one waits no longer than its patience."""
    stream = [((200 * i, 1_190, 1_200, 1), 1) for i in range(6_000)]
    wide = ((50_100, 10 * HOUR, 10 * HOUR, PROCS), 2)
    pairs = sorted([*stream, wide])
    trace, place = make(pairs), pairs.index(wide)
    start_s = simulate(trace, PROCS, BatchPolicy.BALANCED, Runtime.REQUESTED).start_s
    waited = start_s[place] - trace.submit_s[place]
    # Its key is at most the patience away; then the head's promise, here some slack of 1,200 s.
    assert waited <= learned.PATIENCE_S + HOUR + 4 * 1_200


def test_the_classes_are_those_of_the_planners_predictor(make):
    """One job after another, so that each sees all that came before."""
    chance = np.random.default_rng(2)
    pairs = [
        (
            (
                i * 100 * HOUR,
                int(chance.integers(10, 9_000)),
                int(chance.choice([9_000, 20_000, 90_000])),
                int(chance.integers(1, 3)),
            ),
            int(chance.integers(0, 3)),
        )
        for i in range(60)
    ]
    desk, ours = watched(make(pairs)), Predictor()
    for job, ((_, run, request, procs), user) in enumerate(pairs):
        # Without its error, which moves what it says but not the order, it says the same.
        factor = ours.errors()[ours.predict(str(user), request_ms=request, procs=procs).evidence][1]
        said = ours.predict(str(user), request_ms=request, procs=procs)
        assert said.ms / factor == pytest.approx(amount(desk.learner.guess[job]), rel=0.1)
        ours.observe(str(user), request_ms=request, procs=procs, runtime_ms=run)


def test_who_knows_the_runtimes_need_not_learn(make):
    rows = [((0, 100, 200, PROCS), 0), ((1, 9_000, 9_000, PROCS), 0), ((2, 30, 9_999, PROCS), 0)]
    trace = make(rows)
    start_s = simulate(trace, PROCS, BatchPolicy.BALANCED, Runtime.ACTUAL).start_s
    assert start_s.tolist() == [0, 130, 100]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "procs"), [("KTH-SP2", 100), ("SDSC-SP2", 128), ("CEA-curie", 80_640)]
)
def test_slowdown_falls_by_two_fifths_and_the_worst_treated_wait_no_longer(archive, name, procs):
    pytest.importorskip("polars", reason="the extra `simulate` is not installed")
    pytest.importorskip("numba", reason="the extra `simulate` is not installed")
    from fenglin.simulator.swf import read_trace  # noqa: PLC0415 - after the skips
    from fenglin.simulator.trace import usable  # noqa: PLC0415 - after the skips

    trace = usable(read_trace(archive(f"{name}.easy_reference.parquet")), procs, needs_request=True)
    before, after = (
        fares(trace, simulate(trace, procs, policy, Runtime.REQUESTED).start_s)
        for policy in (BatchPolicy.EASY, BatchPolicy.BALANCED)
    )
    assert after.mean_bounded_slowdown <= 0.6 * before.mean_bounded_slowdown
    assert after.worst_wait_s <= before.worst_wait_s
    assert after.mean_wait_s <= 0.75 * before.mean_wait_s
