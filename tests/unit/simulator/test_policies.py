"""Each policy against its definition, worked out second by second on small workloads."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fenglin.simulator.swf_run import BatchPolicy, Runtime, fares, map_nodes, simulate

PROCS = 5
HORIZON = 400
JOB = st.tuples(st.integers(0, 12), st.integers(0, 9), st.integers(1, 12), st.integers(1, PROCS))
WORKLOADS = st.lists(JOB, min_size=1, max_size=9).map(sorted)
EASIES = [BatchPolicy.FCFS, BatchPolicy.EASY, BatchPolicy.EASY_SJBF]
QUIET = settings(deadline=None, max_examples=150)


class Slow:
    """One machine, second by second: `held[t]` processors are expected to be in use at t."""

    def __init__(self, rows, limits):
        self.rows, self.limits = rows, limits
        self.held = np.zeros(HORIZON, dtype=int)
        self.start, self.order, self.waiting = {}, [], []

    def begin(self, job, now):
        self.start[job] = now
        self.order.append(job)

    def hold(self, job, begin, sign=1):
        self.held[begin : begin + self.limits[job]] += sign * self.rows[job][3]

    def earliest(self, job, now):
        need, length = self.rows[job][3], max(1, self.limits[job])
        return next(
            t for t in itertools.count(now) if (self.held[t : t + length] + need <= PROCS).all()
        )

    def run(self):
        """Let one thing happen at a time: arrivals, then ends as started, then promises."""
        ended = set()
        for now in range(HORIZON // 2):
            for job, row in enumerate(self.rows):
                if row[0] == now:
                    self.arrive(job, now)
            while True:
                over = [
                    j
                    for j in self.order
                    if j not in ended and self.start[j] + self.rows[j][1] == now
                ]
                if over:
                    ended.add(over[0])
                    self.finish(over[0], now)
                elif not self.due(now):
                    break
        return [self.start[j] for j in range(len(self.rows))]

    def due(self, now):
        del now
        return False


class SlowEasy(Slow):
    """EASY by its definition: a later job may start if that does not move the head's start."""

    def __init__(self, rows, limits, policy):
        super().__init__(rows, limits)
        self.policy = policy

    def arrive(self, job, now):
        self.waiting.append(job)
        if self.policy is BatchPolicy.EASY_SJBF or self.held[now] + self.rows[job][3] <= PROCS:
            self.schedule(now)

    def finish(self, job, now):
        self.held[now : self.start[job] + self.limits[job]] -= self.rows[job][3]
        self.schedule(now)

    def schedule(self, now):
        while self.waiting and self.earliest_now(self.waiting[0], now):
            self.place(self.waiting[0], now)
        if not self.waiting or self.policy is BatchPolicy.FCFS:
            return
        head, *others = self.waiting
        if self.policy is BatchPolicy.EASY_SJBF:
            others.sort(key=lambda job: self.limits[job])
        promised = self.earliest(head, now)
        for job in others:
            if self.earliest_now(job, now):
                self.hold(job, now)
                delayed = self.earliest(head, now) > promised
                self.hold(job, now, -1)
                if not delayed:
                    self.place(job, now)

    def earliest_now(self, job, now):
        return self.held[now] + self.rows[job][3] <= PROCS

    def place(self, job, now):
        self.hold(job, now)
        self.waiting.remove(job)
        self.begin(job, now)


class SlowConservative(Slow):
    """Conservative backfilling by its definition: earliest place behind everybody's."""

    def __init__(self, rows, limits):
        super().__init__(rows, [max(1, one) for one in limits])
        self.place, self.first = {}, {}

    def arrive(self, job, now):
        self.place[job] = self.first[job] = self.earliest(job, now)
        self.hold(job, self.place[job])
        self.waiting.append(job)
        self.due(now)

    def finish(self, job, now):
        expected = self.start[job] + self.limits[job]
        if expected > now:
            self.held[now:expected] -= self.rows[job][3]
            for other in self.waiting:
                self.hold(other, self.place[other], -1)
                self.place[other] = self.earliest(other, now)
                self.hold(other, self.place[other])
        self.due(now)

    def due(self, now):
        begun = [job for job in self.waiting if self.place[job] == now]
        for job in begun:
            self.waiting.remove(job)
            self.begin(job, now)
        return bool(begun)


def limits_of(rows, runtime):
    return [row[1] if runtime is Runtime.ACTUAL else row[2] for row in rows]


@pytest.fixture(params=[True, False], ids=["plain", "compiled"])
def plain(request):
    if not request.param:
        pytest.importorskip("numba", reason="the extra `simulate` is not installed")
    return request.param


@pytest.mark.slow
@pytest.mark.parametrize("runtime", Runtime)
@pytest.mark.parametrize("policy", EASIES)
def test_easy_is_what_its_definition_says(make_trace, plain, policy, runtime):
    @QUIET
    @given(WORKLOADS)
    def check(rows):
        # By seconds, a job of no length holds nothing; it has a test of its own below.
        rows = [(submit, max(1, run), *others) for submit, run, *others in rows]
        expected = SlowEasy(rows, limits_of(rows, runtime), policy).run()
        done = simulate(make_trace(rows), PROCS, policy, runtime, plain=plain)
        assert done.start_s.tolist() == expected
        assert done.compiled is not plain

    check()


@pytest.mark.slow
@pytest.mark.parametrize("runtime", Runtime)
def test_conservative_is_what_its_definition_says(make_trace, plain, runtime):
    @QUIET
    @given(WORKLOADS)
    def check(rows):
        slow = SlowConservative(rows, limits_of(rows, runtime))
        expected = slow.run()
        done = simulate(make_trace(rows), PROCS, BatchPolicy.CONSERVATIVE, runtime, plain=plain)
        assert done.start_s.tolist() == expected
        assert done.first_s.tolist() == [slow.first[job] for job in range(len(rows))]
        assert (done.start_s <= done.first_s).all()

    check()


@pytest.mark.slow
@pytest.mark.parametrize("policy", BatchPolicy)
def test_processors_are_never_given_twice(make_trace, policy):
    """No job outlives its request here, so what is held is what is in use."""

    @QUIET
    @given(WORKLOADS)
    def check(rows):
        rows = [(submit, min(run, limit), limit, procs) for submit, run, limit, procs in rows]
        trace = make_trace(rows)
        for runtime in Runtime:
            start_s = simulate(trace, PROCS, policy, runtime, plain=True).start_s
            assert (start_s >= trace.submit_s).all()
            check_nodes(trace, start_s, map_nodes(trace, PROCS, start_s, plain=True))

    check()


def check_nodes(trace, start_s, given_nodes):
    """Each job has as many nodes as it needs, and nobody else has them meanwhile."""
    owner = np.full((HORIZON, PROCS), -1)
    counts = np.zeros(len(trace), dtype=int)
    ranges = zip(given_nodes.job, given_nodes.first, given_nodes.length, strict=True)
    for job, first, length in ranges:
        counts[job] += length
        mine = owner[start_s[job] : start_s[job] + trace.run_s[job], first : first + length]
        assert (mine == -1).all()
        assert first + length <= PROCS
        mine[:] = job
    assert (counts == trace.procs).all()


def test_nodes_of_a_job_of_no_length_that_starts_with_the_whole_machine(make_trace):
    trace = make_trace([(1, 8, 9, 1), (2, 1, 1, 5), (9, 0, 1, 1)])
    start_s = simulate(trace, PROCS, BatchPolicy.EASY, Runtime.REQUESTED, plain=True).start_s
    assert start_s.tolist() == [1, 9, 9]
    check_nodes(trace, start_s, map_nodes(trace, PROCS, start_s, plain=True))


def test_fcfs_never_overtakes(make_trace):
    @QUIET
    @given(WORKLOADS)
    def check(rows):
        start_s = simulate(
            make_trace(rows), PROCS, BatchPolicy.FCFS, Runtime.REQUESTED, plain=True
        ).start_s
        assert (np.diff(start_s) >= 0).all()

    check()


def test_backfilling_worked_out_by_hand(make_trace):
    # Head B needs all 5 at 10; C ends by then and overtakes it, D would not and has no room.
    rows = [(0, 10, 10, 3), (1, 5, 5, 5), (2, 8, 8, 2), (3, 8, 8, 2)]
    start_s = {
        policy: simulate(make_trace(rows), PROCS, policy, Runtime.ACTUAL, plain=True).start_s
        for policy in BatchPolicy
    }
    assert start_s[BatchPolicy.FCFS].tolist() == [0, 10, 15, 15]
    assert start_s[BatchPolicy.EASY].tolist() == [0, 10, 2, 15]
    assert start_s[BatchPolicy.CONSERVATIVE].tolist() == [0, 10, 2, 15]


def test_a_job_past_its_request_holds_nothing(make_trace):
    rows = [(0, 100, 10, 5), (20, 1, 1, 5)]
    for policy in BatchPolicy:
        start_s = simulate(make_trace(rows), PROCS, policy, Runtime.REQUESTED, plain=True).start_s
        assert start_s.tolist() == [0, 20]


def test_a_job_of_no_length_holds_its_processors_until_its_end_is_heard_of(make_trace):
    # At 2 the second job starts and ends; the third has to wait for that end, as the fourth does
    # not: it has no length either, and fits beside the second.
    rows = [(0, 2, 2, 2), (1, 0, 1, 4), (1, 1, 1, 5), (2, 0, 1, 1)]
    done = simulate(make_trace(rows), PROCS, BatchPolicy.EASY, Runtime.ACTUAL, plain=True)
    assert done.start_s.tolist() == [0, 2, 2, 2]


def test_fares_are_means_over_all_jobs(make_trace):
    found = fares(make_trace([(0, 5, 5, 1), (0, 20, 20, 1)]), np.array([0, 80]))
    assert found.wait_s.tolist() == [0, 80]
    assert found.mean_wait_s == 40
    assert found.mean_bounded_slowdown == (1 + 100 / 20) / 2
    assert found.max_bounded_slowdown == 5


def test_a_trace_without_jobs(make_trace, plain):
    for policy in BatchPolicy:
        done = simulate(make_trace([]), PROCS, policy, Runtime.ACTUAL, plain=plain)
        assert fares(make_trace([]), done.start_s).mean_wait_s == 0
