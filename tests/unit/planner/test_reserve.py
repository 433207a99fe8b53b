"""Reservations: who waits at the head is not delayed by those behind, and nobody idles for it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from fenglin.model.job import Topology
from fenglin.model.site import Flavor, Node, Site
from fenglin.model.states import ComputeClass
from fenglin.planner import plan
from fenglin.planner.policy import BALANCED, Backfill
from fenglin.quantities.resources import Resources
from fenglin.snapshot.builder import JobRow, ShareRow, build
from fenglin.snapshot.fork import job_rows
from fenglin.snapshot.snapshot import Shape

NONE = structs.replace(BALANCED, backfill=Backfill.NONE)
EASY = structs.replace(BALANCED, backfill=Backfill.EASY)
CONSERVATIVE = structs.replace(BALANCED, backfill=Backfill.CONSERVATIVE, reservations=50)

# Two cores each; n0 is free, n1 is full for 30 s: the gang waits for it, and n0 waits with it.
GANG = "site s super 2×2,9 1 0\nlive 9 s/n1 2×1,1 30\njob 1 2,1 nodes=2 estimate=60\n"


def reserved(result, now_ms):
    """Return the reservations as `job site nodes start_s-finish_s`."""
    return [
        f"{r.job} {r.site} {','.join(share.node for share in r.shares)} "
        f"{(r.start_ms - now_ms) // 1_000}-{(r.finish_ms - now_ms) // 1_000}"
        for r in result.reservations
    ]


def test_the_head_reserves_named_nodes_at_the_first_date(pool, why, now_ms):
    result = plan(pool(GANG))
    assert reserved(result, now_ms) == ["1 s n0,n1 30-90"]
    assert result.next_ms == now_ms + 30_000
    assert why(result) == {1: "gang_waits"}


@pytest.mark.parametrize(
    ("job", "starts_now"),
    [
        ("estimate=30", True),  # ends as the reservation begins
        ("estimate=31", False),
        ("", False),  # nobody knows, and the head must not wait for a guess
        ("timeout=30", True),  # a limit is a promise
        ("estimate=9 timeout=31", False),  # by its limit it could outstay
        ("learned=30", True),
        ("estimate=31 learned=9", False),  # its user asked for more than it took so far
    ],
)
def test_lent_only_to_what_surely_ends_in_time(pool, why, starts, job, starts_now):
    result = plan(pool(GANG + f"job 2 1,1 {job}"))
    assert starts(result) == (["2 s n0:1 1"] if starts_now else [])
    assert why(result)[2] == (None if starts_now else "reserved_for_others")


def test_what_the_reservation_leaves_over_is_for_everybody(pool, starts):
    """The gang needs one core of each node's two: the other is free for ever."""
    text = GANG.replace("job 1 2,1", "job 1 1,1") + "job 2 1,1\njob 3 1,1"
    assert starts(plan(pool(text))) == ["2 s n0:1 1"]


def test_releases_before_the_reservation_count_for_it(pool, starts):
    """n0's running core ends first and serves the head, so that the free core may be used."""
    text = "site s super 1×3,9 1 0\nlive 8 s/n0 2×1,1 10\njob 1 2,1 estimate=60\njob 2 1,1"
    assert starts(plan(pool(text))) == ["2 s n0:1 1"]


def test_a_lent_array_takes_no_more_turns_than_fit(pool):
    text = GANG + "job 2 99×1,1 learned=4 estimate=4"
    (start,) = plan(pool(text)).starts
    assert [(share.node, share.slots) for share in start.shares] == [("n0", 2)]
    assert start.tasks == 2 * (30 // 4)


def test_between_two_bookings_of_a_node_there_is_room_for_what_fits(pool, starts):
    """One core is booked from 10 s, both from 20 s: one core for 20 s is there, two are not."""
    text = (
        "site s super 1×4,9 1 0\nlive 8 s/n0 2×1,1 10\nlive 9 s/n0 1×1,1 20\n"
        "job 1 3,1 estimate=5\njob 2 4,1 estimate=5\n"
    )
    one = plan(pool(text + "job 3 1,1 estimate=20"), CONSERVATIVE)
    assert starts(one) == []
    short = plan(pool(text + "job 3 1,1 estimate=10"), CONSERVATIVE)
    assert starts(short) == ["3 s n0:1 1"]
    less = plan(pool(text.replace("3,1", "2,1") + "job 3 1,1 estimate=20"), CONSERVATIVE)
    assert starts(less) == ["3 s n0:1 1"]


FULL = (
    "site s super 2×2,9 1 0\nlive 8 s/n0 2×1,1 10\nlive 9 s/n1 2×1,1 20\n"
    "job 1 2,1 estimate=7\njob 2 2,1 estimate=7\njob 3 1,1 estimate=7\n"
)


def test_easy_knows_one_head_and_conservative_all(pool, now_ms):
    snapshot = pool(FULL)
    assert reserved(plan(snapshot, NONE), now_ms) == []
    assert reserved(plan(snapshot, EASY), now_ms) == ["1 s n0 10-17"]
    everybody = ["1 s n0 10-17", "2 s n0 17-24", "3 s n1 20-27"]
    assert reserved(plan(snapshot, CONSERVATIVE), now_ms) == everybody
    two = structs.replace(CONSERVATIVE, reservations=2)
    assert reserved(plan(snapshot, two), now_ms) == everybody[:2]


def test_each_site_has_a_head_of_its_own(pool, now_ms):
    text = (
        "site a super 1×2,9 1 0\nsite b super 1×2,9 1 0\n"
        "live 8 a/n0 2×1,1 10\nlive 9 b/n0 2×1,1 20\n"
        "job 1 2,1 sites=a estimate=7\njob 2 2,1 sites=a estimate=7\njob 3 1,1 estimate=7\n"
    )
    assert reserved(plan(pool(text)), now_ms) == ["1 a n0 10-17", "3 b n0 20-27"]


def test_an_earlier_date_beats_a_better_site(pool, now_ms):
    text = (
        "site fast super 1×2,9 2 0\nsite slow super 1×2,9 1 0\n"
        "live 8 fast/n0 2×1,1 {0}\nlive 9 slow/n0 2×1,1 10\njob 1 2,1 estimate=8"
    )
    assert reserved(plan(pool(text.format(11))), now_ms) == ["1 slow n0 10-18"]
    assert reserved(plan(pool(text.format(10))), now_ms) == ["1 fast n0 10-14"]


def test_late_work_is_trusted_for_as_long_as_it_is_late(pool, now_ms):
    late = FULL.replace("n0 2×1,1 10", "n0 2×1,1 -5")
    assert reserved(plan(pool(late)), now_ms) == ["1 s n0 5-12"]


def test_an_array_that_runs_holds_no_reservation_and_keeps_its_slots(pool, now_ms):
    """Its slots come back to it until its four tasks are done; then it is the gang's turn."""
    text = (
        "site s super 1×2,9 1 0\nlive 1 s/n0 2×1,1 10\n"
        "job 1 4×1,1 estimate=10 learned=10\njob 2 2,1 estimate=60"
    )
    assert reserved(plan(pool(text)), now_ms) == ["2 s n0 30-90"]


def test_who_cannot_pay_or_has_no_quota_reserves_nothing(pool):
    queue = "queue a quota=1,1\n" + GANG.replace("nodes=2", "nodes=2 queue=a")
    assert plan(pool(queue)).reservations == ()
    poor = "money poor 0\n" + GANG.replace("1 0\n", "1 9\n").replace(
        "nodes=2", "nodes=2 account=poor"
    )
    assert plan(pool(poor)).reservations == ()
    rich = poor + "job 2 2,1 nodes=2 estimate=60"
    assert [r.job for r in plan(pool(rich)).reservations] == [2]


def test_licences_are_kept_with_the_nodes(pool, why, starts):
    text = GANG.replace("1 0\n", "1 0 licences=m:1\n").replace("nodes=2", "nodes=2 licences=m:1")
    result = plan(pool(text + "job 2 1,1 estimate=9 licences=m:1\njob 3 1,1 estimate=9"))
    assert starts(result) == ["3 s n0:1 1"]
    assert why(result)[2] == "reserved_for_others"


def test_a_gang_reserves_inside_one_block(now_ms):
    """n0 and n3 are free, but lie apart: the first block that is free is that of n2 and n3."""
    flavor = Flavor("f", ComputeClass.SUPER, Resources(1_000))
    nodes = tuple(Node(f"n{i}", "f", block="ab"[i // 2]) for i in range(4))
    shape = Shape(Resources(1_000), nodes=2, topology=Topology.BLOCK)
    snapshot = build(
        index=1, now_ms=now_ms, accounts={},
        sites=[Site("s", "p", "mock", flavors=(flavor,), nodes=nodes)],
        jobs=[JobRow(1, shape, 1, estimate_ms=60_000)],
        shares=[
            ShareRow(9, "s", "n1", 1, now_ms + 20_000, Resources(1_000)),
            ShareRow(9, "s", "n2", 1, now_ms + 10_000, Resources(1_000)),
        ],
    )  # fmt: skip
    assert reserved(plan(snapshot), now_ms) == ["1 s n2,n3 10-70"]


def test_an_assumption_is_no_limit(pool, why):
    """Nothing is known of job 2; the minute that is assumed of it would end in time."""
    text = GANG.replace("n1 2×1,1 30", "n1 2×1,1 90") + "job 2 1,1"
    assert why(plan(pool(text)))[2] == "reserved_for_others"


def test_two_halves_are_not_lent_as_a_whole_card(now_ms):
    """Half of each of n0's cards is free; a gang that needs a half waits there for n1."""
    flavor = Flavor("f", ComputeClass.AI, Resources(9_000, 0, 0, 2_000), accelerator="A100-80")
    half, whole = Resources(1_000, 0, 0, 500), Resources(1_000, 0, 0, 1_000)
    snapshot = build(
        index=1, now_ms=now_ms, accounts={"default": 10**9},
        sites=[Site("s", "p", "mock", flavors=(flavor,), nodes=(Node("n0", "f"), Node("n1", "f")))],
        jobs=[
            JobRow(1, Shape(half, nodes=2), 1, estimate_ms=60_000),
            JobRow(2, Shape(whole), 1, estimate_ms=9_000),
            JobRow(3, Shape(half), 1, estimate_ms=9_000),
        ],
        shares=[
            ShareRow(7, "s", "n0", 1, now_ms + 40_000, half, allocation=1, cards=(0,)),
            ShareRow(7, "s", "n0", 1, now_ms + 40_000, half, allocation=2, cards=(1,)),
            ShareRow(7, "s", "n1", 2, now_ms + 30_000, whole, allocation=3, cards=(0, 1)),
        ],
    )  # fmt: skip
    result = plan(snapshot)
    assert reserved(result, now_ms) == ["1 s n0,n1 30-90"]
    assert [start.job for start in result.starts] == [3]


def again(pool, text, before, later_s):
    """Plan `text` with what a plan of `before` promised, so many seconds after it."""
    promised = plan(pool(before), CONSERVATIVE).reservations
    moved = [
        structs.replace(one, start_ms=one.start_ms - later_s * 1_000,
                        finish_ms=one.finish_ms - later_s * 1_000)
        for one in promised
    ]  # fmt: skip
    snapshot = pool(text)
    columns = build(
        index=snapshot.index, now_ms=snapshot.now_ms, sites=snapshot.sites, accounts={},
        jobs=job_rows(snapshot), reservations=moved,
    )  # fmt: skip
    held = {name: getattr(columns, name) for name in HELD}
    return plan(replace(snapshot, **held), CONSERVATIVE)


HELD = ("held_job", "held_node", "held_start_ms", "held_end_ms")
# Job 1 holds the only licence until 10 s; job 2 is expected to take 5 s and asked for 50.
LICENSED = (
    "site s super 1×2,9 1 0 licences=m:1\n{live}"
    "job 2 2,1 licences=m:1 estimate=50 learned=5\njob 3 2,1 estimate=5\n"
)


def test_a_promised_place_keeps_its_licence_and_is_started_with_it(pool, starts, now_ms):
    before = LICENSED.format(live="live 1 s/n0 2×1,1 10\n")
    assert reserved(plan(pool(before), CONSERVATIVE), now_ms) == ["2 s n0 10-15", "3 s n0 15-20"]
    other = "job 4 1,1 licences=m:1 estimate=1 priority=1\n"
    due = again(pool, LICENSED.format(live="") + other, before, 10)
    assert starts(due) == ["2 s n0:1 1"]
    assert reserved(due, now_ms) == ["3 s n0 5-10"]
    early = again(pool, before + other, before, 0)
    assert starts(early) == []
    assert reserved(early, now_ms) == ["2 s n0 10-15", "3 s n0 15-20"]


def test_a_promise_is_void_for_who_can_no_longer_have_it(pool, now_ms):
    """Its quota, its money, its date or its needs are others now; those behind move up."""
    before = FULL.replace("job 1 2,1", "job 1 2,1 account=a queue=q") + "money a 9\n"
    assert reserved(plan(pool(before), CONSERVATIVE), now_ms)[0] == "1 s n0 10-17"
    for text in (
        before + "queue q quota=1,1\n",
        before.replace("1 0\n", "1 9\n", 1).replace("money a 9", "money a 0")
        + "money default 99\n",
        before.replace("job 1 2,1", "job 1 2,1 not_before=5"),
    ):
        moved_up = ["2 s n0 10-17", "3 s n0 17-24"]
        assert reserved(again(pool, text, before, 0), now_ms) == moved_up
    two = before.replace("job 1 2,1", "job 1 2,1 nodes=2")
    assert reserved(again(pool, two, before, 0), now_ms) == [
        "1 s n0,n1 27-34", "2 s n0 10-17", "3 s n0 17-24",
    ]  # fmt: skip
