"""Order, fair turns, quotas, limits and budgets."""

from __future__ import annotations

from collections import Counter

import pytest

from fenglin.planner import explain, plan
from fenglin.planner.policy import BALANCED, FCFS

ONE_NODE = "site s general 1×4,99 1 0\n"


def slots_by_job(result):
    counts = Counter()
    for start in result.starts:
        counts[start.job] += sum(share.slots for share in start.shares)
    return dict(counts)


def test_priority_then_submission_then_number(pool):
    text = """
        site s general 1×2,99 1 0
        job 1 1×1,1 submitted=50
        job 2 1×1,1 submitted=10
        job 3 1×1,1 submitted=10
        job 4 1×1,1 submitted=90 priority=5
    """
    result = plan(pool(text))
    assert result.order == (4, 2, 3, 1)
    assert slots_by_job(result) == {4: 1, 2: 1}


def test_equal_queues_share_equally(pool):
    text = "site s general 9×11,99 1 0\njob 1 9999×1,1 queue=a\njob 2 9999×1,1 queue=b"
    given = slots_by_job(plan(pool(text)))
    assert sorted(given.values()) == [49, 50]


def test_weights_divide_the_pool(pool):
    text = """
        site s general 10×10,999 1 0
        queue a weight=3000
        queue b weight=1000
        job 1 9999×1,1 queue=a
        job 2 9999×1,1 queue=b
    """
    assert slots_by_job(plan(pool(text))) == {1: 75, 2: 25}


def test_what_a_queue_already_holds_counts(pool):
    text = ONE_NODE + "live 9 s/n0 2×1,1 30 queue=a\njob 1 9×1,1 queue=a\njob 2 9×1,1 queue=b"
    assert slots_by_job(plan(pool(text))) == {2: 2}


def test_dominant_resource_decides(pool):
    """The classic example of the DRF paper: 9 CPUs, 18 GiB; A wants <1, 4>, B wants <3, 1>."""
    text = "site s general 1×9,18 1 0\njob 1 99×1,4 queue=a\njob 2 99×3,1 queue=b"
    assert slots_by_job(plan(pool(text))) == {1: 3, 2: 2}


def test_fcfs_lets_the_first_queue_take_all(pool):
    text = ONE_NODE + "job 1 9×1,1 queue=b\njob 2 9×1,1 queue=a submitted=1"
    assert slots_by_job(plan(pool(text), FCFS)) == {1: 4}


def test_quota_is_a_hard_cap(pool, why):
    text = ONE_NODE + "queue a quota=2,99\njob 1 9×1,1 queue=a"
    snapshot = pool(text)
    result = plan(snapshot)
    assert slots_by_job(result) == {1: 2}
    assert why(result) == {1: "queue_quota"}


def test_quota_evidence_names_what_is_short(pool):
    snapshot = pool(ONE_NODE + "queue a quota=0.5,1\njob 1 1,2 queue=a")
    receipt = explain(snapshot, BALANCED, plan(snapshot), 1)
    assert receipt.change == "queue a is short of 0.5 cores and 1GiB of memory of its quota"


@pytest.mark.parametrize(
    ("own", "change"),
    [
        ("9,99", "queue top, above a, is short of 1 core of its quota"),
        ("1,99", "queue top, above a, is short of 1 core of its quota"),
        ("", "queue top, above a, is short of 1 core of its quota"),
    ],
)
def test_quota_evidence_names_the_queue_that_binds(pool, own, change):
    """The one above is full by what another queue below it holds."""
    mine = f"quota={own}" if own else ""
    text = ONE_NODE + f"queue top quota=2,99\nqueue a parent=top {mine}\nqueue b parent=top\n"
    snapshot = pool(text + "live 9 s/n0 2×1,1 30 queue=b\njob 1 1,1 queue=a")
    receipt = explain(snapshot, BALANCED, plan(snapshot), 1)
    assert receipt.reason == "queue_quota"
    assert receipt.change == change


def test_quota_evidence_names_the_own_queue_where_the_one_above_has_room(pool):
    text = ONE_NODE + "queue top quota=9,99\nqueue a parent=top quota=1,99 borrow=0,0\n"
    snapshot = pool(text + "live 9 s/n0 1×1,1 30 queue=a\njob 1 1,1 queue=a")
    receipt = explain(snapshot, BALANCED, plan(snapshot), 1)
    assert receipt.change == "queue a is short of 1 core of its quota"


def test_cohort_lends_what_others_leave_unused(pool):
    text = ONE_NODE + "queue a quota=1,99 cohort=x\nqueue b quota=2,99 cohort=x\n"
    assert slots_by_job(plan(pool(text + "job 1 9×1,1 queue=a"))) == {1: 3}
    both = text + "live 9 s/n0 1×1,1 30 queue=b\njob 1 9×1,1 queue=a"
    assert slots_by_job(plan(pool(both))) == {1: 2}


def test_full_quota_of_one_job_does_not_stop_another_queue(pool, why):
    text = ONE_NODE + "queue a quota=0,0\njob 1 9×1,1 queue=a\njob 2 1,1 queue=a\njob 3 1,1"
    result = plan(pool(text))
    assert slots_by_job(result) == {3: 1}
    assert why(result) == {1: "queue_quota", 2: "queue_quota", 3: None}


def test_concurrency_counts_what_runs(pool, why):
    text = ONE_NODE + "live 1 s/n0 1×1,1 30\njob 1 9×1,1 concurrency=3 estimate=60"
    result = plan(pool(text))
    assert slots_by_job(result) == {1: 2}
    assert why(result) == {1: "concurrency_limit"}


def test_earliest_start_sets_the_alarm(pool, why, now_ms):
    snapshot = pool(ONE_NODE + "job 1 1,1 not_before=40\njob 2 1,1 not_before=90")
    result = plan(snapshot)
    assert result.starts == ()
    assert result.next_ms == now_ms + 40_000
    assert why(result) == {1: "not_before", 2: "not_before"}
    receipt = explain(snapshot, BALANCED, result, 1)
    assert receipt.change == "starts at its earliest start, in 40s"
    assert receipt.start_ms == now_ms + 40_000


def test_blocked_tasks_wait_for_parents(pool, why):
    snapshot = pool(ONE_NODE + "job 1 0×1,1 blocked=3\njob 2 1×1,1 blocked=1")
    result = plan(snapshot)
    assert slots_by_job(result) == {2: 1}
    assert why(result) == {1: "dependency_pending", 2: "dependency_pending"}
    assert explain(snapshot, BALANCED, result, 1).waiting == 3


def test_job_that_does_not_fit_does_not_block_the_next(pool, why):
    text = "site s general 1×4,8 1 0\nlive 9 s/n0 1×1,1 30\njob 1 4,1\njob 2 1,1 estimate=9"
    result = plan(pool(text))
    assert slots_by_job(result) == {2: 1}
    assert why(result) == {1: "cpu_busy", 2: None}


BUDGET = "site s general 1×4,99 1 3.6\nmoney poor {}\n"


def test_budget_limits_slots_and_pieces(pool, why):
    # 3.6 CNY per core-hour is 0.001 CNY per core-second: 10 s with margin 1.5 hold 0.015 CNY.
    text = BUDGET.format("0.045") + "job 1 9×1,0 account=poor estimate=10"
    result = plan(pool(text))
    assert slots_by_job(result) == {1: 3}
    assert sum(start.hold_micro for start in result.starts) == 45_000
    assert why(result) == {1: "budget_exhausted"}


def test_short_account_says_by_how_much(pool):
    snapshot = pool(BUDGET.format("0.005") + "job 1 1,0 account=poor estimate=10\njob 2 1,0")
    result = plan(snapshot)
    assert slots_by_job(result) == {2: 1}
    receipt = explain(snapshot, BALANCED, result, 1)
    assert receipt.reason == "budget_exhausted"
    assert receipt.change == "account poor is short of 0.01 CNY for one task on s/std"
    assert receipt.options[0].evidence == (
        "holds 0.015 CNY per task, the account has 0.005 CNY left"
    )


def test_unknown_runtime_holds_the_whole_timeout(pool):
    text = BUDGET.format(0) + "job 1 1,0 timeout=100"
    assert plan(pool(text)).starts[0].hold_micro == 100_000
    known = plan(pool(text + " estimate=90")).starts[0]
    assert known.hold_micro == 100_000  # 90 s × 1.5, but never more than the timeout


def test_two_jobs_of_one_account_share_its_money(pool, why):
    text = BUDGET.format("0.020") + "job 1 1,0 account=poor estimate=10\n"
    result = plan(pool(text + "job 2 1,0 account=poor estimate=10"))
    assert slots_by_job(result) == {1: 1}
    assert why(result) == {1: None, 2: "budget_exhausted"}


@pytest.mark.parametrize("hold", [0, 1])
def test_free_tasks_need_no_money(pool, hold):
    price = 0.0 if not hold else 0.000001
    snapshot = pool(f"site s general 1×4,9 1 {price}\nmoney poor 0\njob 1 1,0 account=poor")
    assert len(plan(snapshot).starts) == 1 - hold
