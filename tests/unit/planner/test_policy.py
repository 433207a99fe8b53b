"""The built-in policies: each chooses what its purpose says."""

from __future__ import annotations

import pytest
from msgspec import structs

from fenglin.errors import NotFoundError
from fenglin.planner import plan
from fenglin.planner.policy import BALANCED, BUILT_IN, Backfill, built_in

# Two equal slots everywhere; what differs is what a policy may care for.
POOL = """
site quick general 2×1,8   4 9   carbon=600 power=100 provider=p
site penny general 2×1,8   1 1   carbon=600 power=100 provider=p
site water general 2×1,8   1 3   carbon=20  power=100 provider=q
site cards ai      2×1,8,1 2 4   carbon=600 power=100 provider=q accelerator=A100-80
live 99 quick/n0 1×1,8 1000
live 98 penny/n0 1×1,8 1000
job 1 1,1 estimate=100
"""


@pytest.mark.parametrize(
    ("name", "site"),
    [
        ("balanced", "quick"),
        ("fast", "quick"),
        ("cheap", "penny"),
        ("green", "water"),
        ("easy", "quick"),
        ("conservative", "quick"),
        ("fcfs", "cards"),  # the first by name that fits
        ("fgd", "quick"),
    ],
)
def test_each_policy_goes_where_its_purpose_says(pool, name, site):
    assert plan(pool(POOL), built_in(name)).starts[0].site == site


def test_cheap_counts_what_bringing_the_data_costs(pool):
    text = POOL.replace("job 1 1,1", "job 1 1,1 data=100@water")
    links = ",".join(f"{site}:1:1000:0.5" for site in ("quick", "penny", "cards"))
    linked = text.replace("site water", f"site water links={links}")
    assert plan(pool(linked), built_in("cheap")).starts[0].site == "water"


def test_fair_policy_spares_the_provider_that_carries_the_load(pool):
    text = """
site a general 4×1,1 1 0  provider=p
site b general 4×1,1 1 0  provider=q
live 99 a/n0 1×1,1 1000
"""
    # Job 2's number gives the first turn to p: only the load speaks for q.
    snapshot = pool(text + "job 2 1,1 estimate=100")
    assert plan(snapshot, BALANCED).starts[0].site == "a"
    assert plan(snapshot, built_in("fair")).starts[0].site == "b"


def test_fgd_policy_keeps_cards_for_who_needs_them(pool):
    """The slower site without cards is taken, though the other is twice as fast."""
    text = """
site cards ai      1×8,8,8 2 0 accelerator=A100-80
site plain general 1×8,8   1 0
job 1 8,0 estimate=10
job 2 9×1,0,1 estimate=10
"""
    by_job = {start.job: start.site for start in plan(pool(text), built_in("fgd")).starts}
    assert by_job[1] == "plain"
    fast = structs.replace(built_in("fast"), improve_steps=0)
    assert plan(pool(text), fast).starts[0].site == "cards"


@pytest.mark.parametrize("name", ["fcfs", "easy", "conservative"])
def test_classic_policies_know_no_turns_and_interrupt_nobody(pool, name):
    """Both slots go to the queue that came first; fair turns would give one to each."""
    text = """
site s general 2×1,1 1 0
queue early
queue late
job 1 2×1,1 queue=early submitted=1
job 2 2×1,1 queue=late submitted=2
"""
    policy = built_in(name)
    assert {start.job for start in plan(pool(text), policy).starts} == {1}
    assert {start.job for start in plan(pool(text), BALANCED).starts} == {1, 2}
    assert not policy.preempt
    assert not policy.fair


def test_only_conservative_promises_something_to_everybody():
    kinds = {name: policy.backfill for name, policy in BUILT_IN.items()}
    assert kinds.pop("conservative") is Backfill.CONSERVATIVE
    assert kinds.pop("fcfs") is Backfill.NONE
    assert set(kinds.values()) == {Backfill.EASY}
    assert built_in("easy").reservations == 1


def test_unknown_name_is_told_the_known_ones():
    with pytest.raises(NotFoundError, match="'blue'") as caught:
        built_in("blue")
    assert all(name in caught.value.hint for name in BUILT_IN)
