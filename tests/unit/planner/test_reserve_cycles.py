"""Reservations from cycle to cycle, in virtual time: promises are kept, and nobody starves."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from fenglin.model.reason import Reason
from fenglin.model.site import Flavor, Node, Site
from fenglin.model.states import ComputeClass
from fenglin.planner import explain, plan
from fenglin.planner.policy import BALANCED, Backfill
from fenglin.quantities.resources import Resources
from fenglin.snapshot.builder import JobRow, ShareRow, build
from fenglin.snapshot.codec import from_bytes, to_bytes
from fenglin.snapshot.snapshot import Shape

START_MS = 1_000_000_000
NONE = structs.replace(BALANCED, backfill=Backfill.NONE)
EASY = structs.replace(BALANCED, backfill=Backfill.EASY)
CONSERVATIVE = structs.replace(BALANCED, backfill=Backfill.CONSERVATIVE, reservations=50)


class Work(NamedTuple):
    """A job of one-task pieces and how long each of its tasks takes at most, in seconds.

    Really it takes `spared` less; the estimate knows nothing of that.
    """

    number: int
    cores: int
    lasts: int
    arrives: int = 0
    nodes: int = 1
    tasks: int = 1
    estimate: int | None = None
    timeout: int = 0
    priority: int = 0
    cards_milli: int = 0
    spared: int = 0
    predicted: int = 0


class Run(NamedTuple):
    """A start that was carried out."""

    job: int
    site: str
    nodes: tuple[str, ...]
    start_s: int
    end_s: int
    promised_s: int


class Cycles:
    """Plans at each arrival and each end; every start is checked by plain bookkeeping."""

    def __init__(self, nodes, cores, policy, jobs, cards=0, sites=1, remembers=True):
        size = Resources(cores * 1_000, 0, 0, cards * 1_000)
        self.flavor = Flavor("f", ComputeClass.GENERAL, size, accelerator="A100-80")
        self.sites = [
            Site(
                f"s{i}", "p", "mock", flavors=(self.flavor,),
                nodes=tuple(Node(f"n{j}", "f") for j in range(nodes)),
            )
            for i in range(sites)
        ]  # fmt: skip
        self.policy = policy
        # Whether each plan knows what the one before promised.
        self.remembers = remembers
        self.jobs = {job.number: job for job in jobs}
        self.left = {job.number: job.tasks for job in jobs}
        self.live = []
        self.runs = []
        self.now_s = 0
        self.plans = []
        self.most_cores = cores

    def snapshot(self):
        """Return what the planner is shown now."""
        rows = [self._row(job) for job in self.jobs.values() if self._waits(job)]
        shares = [share for _, shares in self.live for share in shares]
        return build(
            index=len(self.plans), now_ms=START_MS + 1_000 * self.now_s, sites=self.sites,
            accounts={"default": 10**15}, jobs=rows, shares=shares,
            reservations=self.plans[-1][1].reservations if self.remembers and self.plans else (),
        )  # fmt: skip

    def cycle(self):
        """End what is over, plan, and carry the plan out."""
        self.live = [one for one in self.live if one[0] > self.now_s]
        made = plan(self.snapshot(), self.policy)
        self.plans.append((self.now_s, made))
        for start in made.starts:
            self._carry_out(start)
        self._check()
        return made

    def run(self, most=500):
        """Go from event to event until nothing is left to start."""
        for _ in range(most):
            next_ms = self.cycle().next_ms
            ends = [end for end, _ in self.live]
            arrivals = [j.arrives for j in self.jobs.values() if j.arrives > self.now_s]
            if not any(self.left.values()):
                return self
            # By the alarm alone only where there is no news: what is idle waits for a promise.
            alarm = [] if ends or arrivals or not next_ms else [(next_ms - START_MS) // 1_000]
            assert ends or arrivals or alarm, "nothing runs or comes, and yet something waits"
            self.now_s = min(ends + arrivals + alarm)
        return self

    def began(self, job):
        """Return when a job's first task began, in seconds; None for not."""
        return min((run.start_s for run in self.runs if run.job == job), default=None)

    def promises(self):
        """Yield (time, {job: reserved start}) of each cycle, in seconds."""
        for now_s, made in self.plans:
            yield now_s, {r.job: (r.start_ms - START_MS) // 1_000 for r in made.reservations}

    def _waits(self, job):
        return self.left[job.number] > 0 and job.arrives <= self.now_s

    def _row(self, job):
        estimate = job.lasts if job.estimate is None else job.estimate
        return JobRow(
            number=job.number,
            shape=Shape(Resources(job.cores * 1_000, 0, 0, job.cards_milli), nodes=job.nodes),
            pending=self.left[job.number],
            tasks=job.tasks,
            priority=job.priority,
            submitted_ms=START_MS + 1_000 * job.arrives,
            estimate_ms=estimate * 1_000,
            predicted_ms=job.predicted * 1_000,
            timeout_ms=job.timeout * 1_000,
        )

    def _carry_out(self, start):
        job = self.jobs[start.job]
        self.left[start.job] -= start.tasks
        assert self.left[start.job] >= 0
        slots = sum(share.slots for share in start.shares)
        if job.nodes > 1:
            assert slots == job.nodes == len({share.node for share in start.shares})
        turns = -(-start.tasks // (slots // job.nodes))
        end_s = self.now_s + max(1, job.lasts - job.spared) * turns
        self.live.append((end_s, [
            ShareRow(
                start.job, start.site, share.node, share.slots, start.finish_ms,
                Resources(job.cores * 1_000, 0, 0, job.cards_milli), nodes=job.nodes,
                allocation=len(self.runs) + 1, cards=share.cards,
            )
            for share in start.shares
        ]))  # fmt: skip
        promised_s = (start.finish_ms - START_MS) // 1_000
        names = tuple(share.node for share in start.shares)
        self.runs.append(Run(start.job, start.site, names, self.now_s, end_s, promised_s))

    def _check(self):
        """No node holds more than it has, and no card more than one whole of work."""
        used, cards = {}, {}
        for _, shares in self.live:
            for share in shares:
                place = (share.site, share.node)
                used[place] = used.get(place, 0) + share.slots * share.resources.cpu_milli
                for card in share.cards:
                    part = min(1_000, share.resources.accelerator_milli)
                    cards[place, card] = cards.get((place, card), 0) + part
        assert max(used.values(), default=0) <= self.most_cores * 1_000
        assert max(cards.values(), default=0) <= 1_000


def test_two_halves_are_no_whole_card_and_still_nobody_starves():
    """Without a reservation the halves would pass the whole card's job for ever."""
    halves = [Work(i, 1, 8, arrives=2 * i, cards_milli=500, estimate=0) for i in range(2, 60)]
    whole = Work(1, 1, 10, arrives=12, cards_milli=1_000)
    stream = [whole, *halves]
    starved = Cycles(1, 99, NONE, stream, cards=2).run(400)
    assert starved.began(1) > 100
    assert Cycles(1, 99, EASY, stream, cards=2).run(400).began(1) <= 30


def test_lent_cards_are_whole_and_single():
    """A gang waits for n1's cards; short jobs sit on n0's until then, each on a card of its own."""
    jobs = [
        Work(1, 1, 50, nodes=1, cards_milli=2_000),
        Work(2, 1, 60, nodes=2, cards_milli=2_000, arrives=1),
        *(Work(i, 1, 20, cards_milli=1_000, arrives=2) for i in range(3, 6)),
        Work(9, 1, 28, cards_milli=500, arrives=3),
    ]
    cycles = Cycles(2, 99, EASY, jobs, cards=2).run()
    assert [cycles.began(i) for i in (1, 2, 3, 4, 5, 9)] == [0, 50, 2, 2, 22, 22]


@pytest.mark.slow
@pytest.mark.parametrize(("policy", "most_s"), [(NONE, None), (EASY, 30), (CONSERVATIVE, 30)])
def test_a_gang_does_not_starve_behind_an_endless_stream(policy, most_s):
    """A small job arrives every second and runs for ten: the three nodes are never free at once."""
    stream = [Work(i, 1, 10, arrives=i) for i in range(2, 70)]
    cycles = Cycles(3, 4, policy, [Work(1, 4, 50, arrives=12, nodes=3), *stream]).run(400)
    if most_s is None:
        assert cycles.began(1) >= 70, "this stream is meant to starve a gang"
    else:
        assert cycles.began(1) <= most_s


def test_a_limit_keeps_the_promise_though_the_estimate_was_wrong():
    """Job 3 runs four times as long as its user thought, but never longer than its timeout."""
    jobs = [Work(1, 2, 40), Work(2, 4, 10, arrives=1), Work(3, 2, 36, 1, estimate=9, timeout=36)]
    assert Cycles(1, 4, EASY, jobs).run().began(2) == 40
    without = [job._replace(timeout=0) for job in jobs]
    assert Cycles(1, 4, EASY, without).run().began(2) == 40
    late = [job._replace(arrives=6) if job.number == 3 else job for job in jobs]
    cycles = Cycles(1, 4, EASY, late).run()
    assert cycles.began(2) == 40
    assert cycles.began(3) == 50, "by its timeout it could not have ended in time"


@st.composite
def streams(draw, *, arrays=False, early=False):
    """Draw jobs in order of arrival, so that nobody new gets ahead of who waits.

    With `early` they do get ahead, by priority, and work ends before its time.
    """
    jobs = [
        Work(
            number, draw(st.integers(1, 4)), draw(st.integers(1, 30)),
            arrives=draw(st.integers(0, 20)),
            nodes=draw(st.sampled_from([1, 1, 1, 2, 3])),
            tasks=draw(st.integers(1, 9)) if arrays else 1,
            estimate=draw(st.sampled_from([None, 0, 7, 90])) if arrays else None,
            timeout=draw(st.sampled_from([0, 0, 30])) if arrays else 0,
            cards_milli=draw(st.sampled_from([0, 0, 500, 1_000, 2_000])) if arrays else 0,
            spared=draw(st.integers(0, 29)) if early else 0,
            priority=draw(st.sampled_from([0, 0, 0, 1])) if early else 0,
        )
        for number in range(draw(st.integers(2, 12)))
    ]  # fmt: skip
    jobs.sort(key=lambda job: (job.arrives, job.number))
    return [job._replace(number=number + 1) for number, job in enumerate(jobs)]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(streams(), st.integers(3, 4), st.sampled_from([1, 2]))
def test_easy_never_delays_the_head(jobs, nodes, sites):
    cycles = Cycles(nodes, 4, EASY, jobs, sites=sites).run()
    assert not any(cycles.left.values())
    promised = {}
    for now_s, starts_s in cycles.promises():
        for job, start_s in list(starts_s.items())[:1]:
            assert now_s < start_s <= promised.get(job, start_s), (job, now_s)
            promised[job] = start_s
    assert all(cycles.began(job) <= start_s for job, start_s in promised.items())


@pytest.mark.slow
@settings(max_examples=120, deadline=None)
@given(streams(early=True), st.integers(3, 4), st.sampled_from([1, 2]))
def test_conservative_delays_nobody(jobs, nodes, sites):
    """Whoever is promised a start has it by then, though work ends early and jobs get ahead."""
    cycles = Cycles(nodes, 4, CONSERVATIVE, jobs, sites=sites).run()
    assert not any(cycles.left.values())
    assert broken_promises(cycles) == []
    for now_s, made in cycles.plans:
        assert most_booked(cycles, now_s, made) <= 4


def most_booked(cycles, now_s, made):
    """Return how many cores of a node are promised at once, to what runs and what is to run."""
    changes = {}
    for run in cycles.runs:
        if run.start_s <= now_s < run.end_s:
            for node in run.nodes:
                cores = cycles.jobs[run.job].cores
                held = (now_s, cores), (run.promised_s, -cores)
                changes.setdefault((run.site, node), []).extend(held)
    for booking in made.reservations:
        cores = cycles.jobs[booking.job].cores
        begin_s, end_s = ((ms - START_MS) // 1_000 for ms in (booking.start_ms, booking.finish_ms))
        for share in booking.shares:
            held = (begin_s, cores), (end_s, -cores)
            changes.setdefault((booking.site, share.node), []).extend(held)
    most = 0
    for events in changes.values():
        level = 0
        for _, step in sorted(events):
            level += step
            most = max(most, level)
    return most


def broken_promises(cycles):
    """Return (job, promised start) of what a later plan or the start itself did not keep."""
    promised, broken = {}, []
    for now_s, starts_s in cycles.promises():
        for job, start_s in starts_s.items():
            assert now_s < start_s, "who could start now has no reservation"
            if start_s > promised.setdefault(job, start_s):
                broken.append((job, promised[job]))
            promised[job] = start_s
    late = [(job, at_s) for job, at_s in promised.items() if cycles.began(job) > at_s]
    return broken + late


# n0 has three cores free from 10 s on, n1 four from 20 s on; job 3 ends there at 8 s already.
FREED_EARLY = [
    Work(1, 1, 99),
    Work(2, 3, 10),
    Work(3, 4, 20, spared=12),
    Work(4, 3, 15, arrives=1),
    Work(5, 4, 5, arrives=1),
]
# Job 3 comes after the promise to job 2 and goes before it by priority.
OVERTAKEN = [Work(1, 4, 20), Work(2, 4, 5, arrives=1), Work(3, 4, 9, arrives=2, priority=1)]


@pytest.mark.parametrize(
    ("nodes", "jobs", "kept", "forgotten"),
    [
        (2, FREED_EARLY, {4: 10, 5: 8}, {4: 8, 5: 23}),
        (1, OVERTAKEN, {2: 20, 3: 25}, {3: 20, 2: 29}),
    ],
)
def test_a_plan_keeps_what_the_one_before_promised(nodes, jobs, kept, forgotten):
    cycles = Cycles(nodes, 4, CONSERVATIVE, jobs).run()
    assert {job: cycles.began(job) for job in kept} == kept
    assert broken_promises(cycles) == []
    careless = Cycles(nodes, 4, CONSERVATIVE, jobs, remembers=False).run()
    assert {job: careless.began(job) for job in forgotten} == forgotten
    assert broken_promises(careless)


def test_what_overstays_makes_promises_slip_in_their_order():
    """Job 1 takes 13 s of 10: job 2 slips, job 3 behind it too, and job 4 does not get between."""
    jobs = [
        Work(1, 4, 13, estimate=10),
        Work(2, 4, 5, arrives=1),
        Work(3, 4, 5, arrives=1),
        Work(4, 4, 5, arrives=2, priority=1),
        Work(5, 4, 1, arrives=11),
    ]
    cycles = Cycles(1, 4, CONSERVATIVE, jobs).run()
    assert [cycles.began(job) for job in (2, 3, 4, 5)] == [13, 18, 23, 28]
    assert (11, {2: 12, 3: 17, 4: 22, 5: 27}) in list(cycles.promises())


def test_a_promise_falls_with_its_node_and_is_made_anew():
    jobs = [Work(1, 4, 9), Work(2, 4, 30), Work(3, 4, 5, arrives=1), Work(4, 4, 5, arrives=1)]
    cycles = Cycles(2, 4, CONSERVATIVE, jobs)
    assert [cycles.now_s, cycles.cycle().reservations] == [0, ()]
    cycles.now_s = 1
    cycles.cycle()
    site = cycles.sites[0]
    broken = structs.replace(site.nodes[0], up=False)
    cycles.sites[0] = structs.replace(site, nodes=(broken, *site.nodes[1:]))
    cycles.now_s = 2
    cycles.cycle()
    assert [starts_s for _, starts_s in cycles.promises()] == [{}, {3: 9, 4: 14}, {3: 30, 4: 35}]


def test_who_may_overstay_starts_in_its_own_place_all_the_same():
    """Job 2 is expected to take 5 s and asked for 50: what is booked behind it must not stop it."""
    jobs = [
        Work(1, 4, 10),
        Work(2, 4, 5, arrives=1, estimate=50, predicted=5, nodes=2),
        Work(3, 4, 5, arrives=1, nodes=2),
    ]
    cycles = Cycles(2, 4, CONSERVATIVE, jobs).run()
    assert [cycles.began(2), cycles.began(3)] == [10, 15]
    assert broken_promises(cycles) == []


def test_an_array_whose_tasks_end_late_goes_on_though_something_is_promised_behind_it():
    """Each of job 1's two tasks takes 8 s of 7: job 2 is promised a start one task later."""
    jobs = [Work(1, 4, 8, tasks=2, estimate=7), Work(2, 4, 5, arrives=1)]
    cycles = Cycles(1, 4, structs.replace(CONSERVATIVE, split_divisor=9.0), jobs).run()
    assert [run[0] for run in cycles.runs] == [1, 1, 2]
    assert [run.start_s for run in cycles.runs] == [0, 8, 16]
    assert dict(cycles.promises())[1] == {2: 21}


def test_a_receipt_names_the_promise_to_a_job_behind():
    """Job 3 comes first by priority; the core that is free was promised to job 2 from 20 s on."""
    one = structs.replace(CONSERVATIVE, reservations=1)
    jobs = [Work(1, 3, 20), Work(2, 4, 5, arrives=1), Work(3, 1, 30, arrives=2, priority=1)]
    cycles = Cycles(1, 4, one, jobs)
    for cycles.now_s in (0, 1):
        cycles.cycle()
    cycles.now_s = 2
    snapshot = cycles.snapshot()
    receipt = explain(snapshot, one, plan(snapshot, one), 3)
    assert receipt.reason is Reason.RESERVED_FOR_OTHERS
    assert "kept for j2, which starts in 18s" in receipt.options[0].evidence
    assert receipt.start_ms == START_MS + 25_000


def test_the_number_of_promises_is_bounded_and_the_rest_delays_none():
    """Two are promised; the third has no date, and passes only where it is in nobody's way."""
    two = structs.replace(CONSERVATIVE, reservations=2)
    jobs = [
        Work(1, 3, 20),
        *(Work(i, 4, 5, arrives=1) for i in (2, 3, 4)),
        Work(5, 1, 9, arrives=2),
    ]
    cycles = Cycles(1, 4, two, jobs).run()
    assert dict(cycles.promises())[1] == {2: 20, 3: 25}
    assert [cycles.began(job) for job in (2, 3, 4, 5)] == [20, 25, 30, 2]


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(streams(arrays=True), st.sampled_from([EASY, CONSERVATIVE]), st.sampled_from([1, 2]))
def test_whatever_users_say_all_is_done_and_no_plan_is_unlawful(jobs, policy, sites):
    """Arrays, cards, missing and wrong estimates: `Cycles` checks each start as it is made."""
    cycles = Cycles(3, 4, policy, jobs, cards=2, sites=sites)
    cycles.run()
    assert not any(cycles.left.values())
    for now_s, made in cycles.plans:
        assert len({r.job for r in made.reservations}) == len(made.reservations)
        for booking in made.reservations:
            job = cycles.jobs[booking.job]
            assert START_MS + 1_000 * now_s < booking.start_ms < booking.finish_ms
            assert len(booking.shares) == len({s.node for s in booking.shares}) == job.nodes


@settings(max_examples=15, deadline=None)
@given(streams(arrays=True), st.sampled_from([EASY, CONSERVATIVE]), st.integers(0, 3))
def test_same_snapshot_same_reservations(jobs, policy, steps):
    cycles = Cycles(3, 4, policy, jobs, cards=2)
    for _ in range(steps):
        cycles.cycle()
        cycles.now_s += 7
    snapshot = cycles.snapshot()
    first = msgspec.msgpack.encode(plan(snapshot, policy))
    assert msgspec.msgpack.encode(plan(from_bytes(to_bytes(snapshot)), policy)) == first


@settings(max_examples=40, deadline=None)
@given(streams(early=True), st.sampled_from([NONE, EASY, CONSERVATIVE]), st.integers(1, 8))
def test_room_is_left_idle_only_for_a_reservation(jobs, policy, cycles_most):
    """Whoever waits although its nodes are free is told that they are kept for somebody."""
    cycles = Cycles(3, 4, policy, jobs)
    for _ in range(cycles_most):
        made = cycles.cycle()
        free = {f"n{i}": 4_000 for i in range(3)}
        for _, shares in cycles.live:
            for share in shares:
                free[share.node] -= share.slots * share.resources.cpu_milli
        for number, reason in zip(made.order, made.reasons, strict=True):
            job = cycles.jobs[number]
            fits = sum(left >= job.cores * 1_000 for left in free.values()) >= job.nodes
            if reason is Reason.RESERVED_FOR_OTHERS:
                assert made.reservations
                assert fits or number in {r.job for r in made.reservations}
            elif reason is not None:
                assert not fits
        cycles.now_s += 3
