"""Receipts tell when, behind whom, and what would start now instead."""

from __future__ import annotations

import gc
import random

import pytest
from msgspec import structs

from fenglin.errors import NotFoundError
from fenglin.planner import Explainer, explain, plan
from fenglin.planner.draft import Draft
from fenglin.planner.policy import BALANCED, Backfill

# n0 is free and kept for the gang of job 1, which waits for n1 until 30 s from now.
MEMORY = "; now with at most 7GiB of memory"
GANG = "site s super 2×2,9 1 0\nlive 9 s/n1 2×1,1 30\njob 1 2,1 nodes=2 estimate=60\n"


def receipt_of(snapshot, number, policy=BALANCED):
    return explain(snapshot, policy, plan(snapshot, policy), number)


def test_the_start_of_who_reserved_is_what_was_reserved(pool, now_ms):
    receipt = receipt_of(pool(GANG), 1)
    assert receipt.start_ms == now_ms + 30_000
    assert receipt.finish_ms == now_ms + 90_000
    assert receipt.position == 1
    assert receipt.options[0].start_ms == now_ms + 30_000


def test_the_start_of_the_rest_lies_behind_the_reservations(pool, now_ms):
    receipt = receipt_of(pool(GANG + "job 2 1,1 estimate=40"), 2)
    assert receipt.reason == "reserved_for_others"
    assert receipt.start_ms == now_ms + 90_000
    assert receipt.options[0].evidence == "2 slots are free, but kept for j1, which starts in 30s"
    assert receipt.change == (
        "starts when it is no longer kept for the jobs ahead, expected in 1m30s; "
        "now with a timeout ≤ 30s"
    )


def test_a_borrower_shows_what_it_borrowed(pool, now_ms):
    snapshot = pool(GANG + "job 2 1,1 estimate=20")
    receipt = receipt_of(snapshot, 2)
    assert (receipt.started, receipt.reason, receipt.change) == (1, None, "")
    (option,) = receipt.options
    assert (option.slots, option.tasks, option.start_ms) == (2, 1, now_ms)


def test_a_date_behind_an_array_waits_for_all_its_tasks(pool, now_ms):
    """Two slots, four more tasks of 10 s in turn behind the running ones: free after 30 s."""
    text = (
        "site s super 1×2,9 1 0\nlive 1 s/n0 2×1,1 10\n"
        "job 1 4×1,1 estimate=10 learned=10\njob 2 1,1 estimate=5\njob 3 1,1 estimate=5\n"
    )
    none = structs.replace(BALANCED, backfill=Backfill.NONE)
    for policy in (BALANCED, none):
        assert receipt_of(pool(text), 3, policy).start_ms == now_ms + 30_000


@pytest.mark.parametrize(
    ("site", "job", "now"),
    [
        ("", "job 2 1,9", MEMORY),
        ("", "job 2 4,1", "; now with at most 3 cores"),
        ("", "job 2 4,9", ""),  # either alone would not do
        ("site b super 1×4,9 1 2", "job 2 1,9 sites=a", MEMORY + ", or at b/std for 1.00 CNY more"),
        ("site b super 1×4,9 1 1", "job 2 4,9 sites=a", "; now at b/std for the same price"),
        ("site b super 1×4,9 1 0.5", "job 2 4,9 sites=a", "; now at b/std for 2.00 CNY less"),
        ("site b super 1×4,9 1 2\nlive 8 b/n0 1×1,1 9", "job 2 4,9 sites=a", ""),
        ("site b ai 1×4,9 1 1", "job 2 4,9 class=super", "; now at b/std for the same price"),
        ("site b super 1×4,8 1 2", "job 2 4,9 sites=a", ""),  # nor could b ever hold it
    ],
)  # fmt: skip
def test_smaller_or_elsewhere(pool, site, job, now):
    """On a/n0 three cores and 7 GiB are free; an hour of a core there costs 1 CNY."""
    text = f"site a super 1×4,9 1 1\nlive 9 a/n0 1×1,2 30\n{site}\n{job} estimate=3600"
    change = receipt_of(pool(text), 2).change
    assert change.endswith(f"expected in 30s{now}"), change


def test_elsewhere_is_told_in_what_the_job_is_paid_in(pool, in_hours):
    text = "site a super 1×4,9 2 1\nlive 9 a/n0 1×1,2 30\nsite b super 1×4,9 1 1\n"
    snapshot = in_hours(pool(text + "job 2 4,9 sites=a estimate=3600"))
    assert receipt_of(snapshot, 2).change.endswith("; now at b/std for 2.00 CORE-HOUR more")


def test_fewer_nodes(pool):
    text = "site s super 4×2,9 1 0\nlive 9 s/n1 1×1,1 30\njob 1 2,1 nodes=4 estimate=9"
    # Every node has a free core, three have two: nodes are the lesser sacrifice.
    assert receipt_of(pool(text), 1).change.endswith("expected in 30s; now with 3 nodes")


def test_one_explainer_answers_as_many_would(pool):
    text = GANG + "job 2 1,1 estimate=40\njob 3 9×1,1 estimate=4\njob 4 1,1 not_before=5"
    snapshot = pool(text)
    made = plan(snapshot)
    explainer = Explainer(snapshot, BALANCED, made)
    for number in (4, 2, 1, 3, 2):
        assert explainer.receipt(number) == explain(snapshot, BALANCED, made, number)


def test_a_job_that_does_not_wait_has_no_receipt(pool):
    snapshot = pool(GANG)
    with pytest.raises(NotFoundError, match="job j7 had no waiting tasks at index 7"):
        explain(snapshot, BALANCED, plan(snapshot), 7)


def test_prediction_stands_between_what_was_learned_and_the_estimate(pool):
    snapshot = pool("site s super 1×2,9 1 0\njob 1 1,1 estimate=100")
    for learned, predicted, expected in ((0, 0, 100), (0, 20, 20), (5, 20, 5)):
        columns = {
            "job_learned_ms": snapshot.job_learned_ms * 0 + learned * 1_000,
            "job_predicted_ms": snapshot.job_predicted_ms * 0 + predicted * 1_000,
        }
        (start,) = plan(replaced(snapshot, columns)).starts
        assert start.task_ms == expected * 1_000


def replaced(snapshot, columns):
    """Return the snapshot with other columns."""
    fields = {name: getattr(snapshot, name) for name in type(snapshot).__dataclass_fields__}
    return type(snapshot)(**(fields | columns))


@pytest.mark.slow
@pytest.mark.parametrize("backfill", list(Backfill))
def test_plans_and_receipts_leave_nothing_to_the_collector(pool, backfill):
    snapshot = pool(GANG + "job 2 1,1 estimate=40\njob 3 9,9 priority=9\n")
    policy = structs.replace(BALANCED, backfill=backfill)
    gc.collect()
    gc.disable()
    try:
        made = plan(snapshot, policy)
        assert not _drafts(snapshot)
        explainer = Explainer(snapshot, policy, made)
        explainer.receipt(2)
        assert len(_drafts(snapshot)) == 1
        del explainer
        assert not _drafts(snapshot)
    finally:
        gc.enable()


def _drafts(snapshot):
    found = (one for one in gc.get_objects() if type(one) is Draft)
    return [id(one) for one in found if one.snapshot is snapshot]


@pytest.mark.parametrize("backfill", list(Backfill))
def test_many_receipts_of_one_plan_are_those_asked_for_alone(pool, backfill):
    """What jobs share of the profile does not leak from one receipt into the next."""
    gangs = {4: "2,1 nodes=2 estimate=30", 6: "2,1 nodes=2 estimate=50"}
    waiting = (f"job {n} {gangs.get(n, f'2,1 estimate={n}00')}\n" for n in range(2, 10))
    other = "site t super 2×2,9 1 0\nlive 8 t/n0 2×1,1 20\nlive 7 t/n1 2×1,1 50\n"
    snapshot = pool(other + GANG + "".join(waiting))
    policy = structs.replace(BALANCED, backfill=backfill, reservations=3)
    made = plan(snapshot, policy)
    explainer = Explainer(snapshot, policy, made)
    for number in (9, 1, 2, 5, 9, 8, 1, 3):
        assert explainer.receipt(number) == explain(snapshot, policy, made, number)


@pytest.mark.parametrize("seed", range(12))
def test_receipts_of_jobs_that_start_wait_and_go_on_share_nothing_untrue(pool, seed):
    """Between them lie starts, jobs with more tasks than slots, and reservations."""
    rng = random.Random(seed)
    lines = ["site s super 4×3,9 1 0", "site t ai 2×4,9 1 1"]
    lines += [
        f"live {20 + n} {site}/n{n} {rng.randint(1, 2)}×1,1 {rng.randint(10, 90)}"
        for site in "st"
        for n in range(2)
    ]
    for number in range(1, 13):
        width = f"nodes={rng.choice((2, 3))}" if rng.random() < 0.3 else ""
        tasks = "" if width else f"{rng.choice((1, 1, 7))}×"
        need = f"{tasks}{rng.randint(1, 3)},1 {width}".strip()
        lines.append(f"job {number} {need} estimate={rng.randint(1, 9)}0 priority={number % 3}")
    snapshot = pool("\n".join(lines))
    policy = structs.replace(BALANCED, reservations=3)
    made = plan(snapshot, policy)
    assert made.starts
    explainer = Explainer(snapshot, policy, made)
    order = [*range(1, 13), *range(1, 13)]
    rng.shuffle(order)
    for number in order:
        assert explainer.receipt(number) == explain(snapshot, policy, made, number)
