"""Terms of the score: each figure worked by hand, and what unknown ones count."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fenglin.errors import InputError
from fenglin.planner import explain, plan
from fenglin.planner.policy import BALANCED, CHEAP, EquippedPolicy, equip
from fenglin.planner.terms import BUILT_IN, Rule
from fenglin.planner.terms.rule import normalised


def weighing(*names):
    """Return a policy that weighs these terms alike."""
    return replace(BALANCED, name="test", weights=tuple((name, 1.0) for name in names))


def receipt_of(snapshot, policy, job=1):
    return explain(snapshot, policy, plan(snapshot, policy), job)


def terms_by_site(snapshot, *names, job=1):
    """Return {site: {term: (value, raw)}} for the possible options of a job."""
    return {
        option.site: {term.name: (round(term.value, 3), term.raw) for term in option.terms}
        for option in receipt_of(snapshot, weighing(*names), job).options
        if option.terms
    }


def test_finish_counts_speed_slots_and_bringing_the_data(pool):
    """12 GiB at 1000 Mbit/s take 103.08 s; at the assumed 100 Mbit/s ten times as long."""
    snapshot = pool("""
site home general 1×1,8 1 0
site near general 1×4,8 1 0  links=home:1:1000:0
site afar general 1×4,8 2 0
job 1 4×1,1 estimate=100 data=12@home
""")
    found = {site: terms["finish"] for site, terms in terms_by_site(snapshot, "finish").items()}
    assert found == {
        "near": (0.0, "3m23s, 1m43s of it to bring 12GiB"),
        "home": (round(1 - 203_080 / 400_000, 3), "6m40s"),
        "afar": (
            round(1 - 203_080 / 1_080_793, 3),
            "18m, 17m10s of it to bring 12GiB at an assumed 100 Mbit/s",
        ),
    }


def test_the_job_does_not_bring_twice_what_it_brought(pool):
    """At `near` it runs already: nothing is moved, and nothing is paid for moving."""
    text = """
site home general 1×1,8 1 0
site near general 1×4,8 1 0
site afar general 1×4,8 1 0
job 1 4×1,1 estimate=100 data=12@home
"""
    live = "live 1 near/n0 1×1,1 50"
    before = terms_by_site(pool(text), "finish", "egress")
    after = terms_by_site(pool(text + live), "finish", "egress")
    assert before["near"]["finish"][1].endswith("Mbit/s")
    assert after["near"]["finish"][1] == "3m20s"
    assert after["near"]["egress"][1] == "0.00 CNY, the data is there"
    assert after["afar"] == before["afar"] | {"finish": after["afar"]["finish"]}


def test_money_and_egress(pool):
    """A core-hour for 1 CNY and 10 GiB of egress at 0.5; the price to be billed has no egress."""
    snapshot = pool("""
site home general 1×1,8 1 1   links=paid:1:100:0.5,free:1:100:0
site paid general 1×1,8 1 1
site free general 1×1,8 1 1
site dark general 1×1,8 1 1
job 1 1,0 estimate=3600 data=10@home
""")
    found = terms_by_site(snapshot, "money", "egress")
    assert {site: terms["money"] for site, terms in found.items()} == {
        "home": (0.0, "1.00 CNY"),
        "free": (0.0, "1.00 CNY"),
        "paid": (0.833, "6.00 CNY, 5.00 CNY of it egress"),
        "dark": (0.0, "1.00 CNY, egress unknown"),
    }
    # 1 − (0 + 1) / (5 + 1); the unknown one gets the mean of 0, 0 and 0.833.
    assert {site: terms["egress"] for site, terms in found.items()} == {
        "home": (0.0, "0.00 CNY, the data is there"),
        "free": (0.0, "0.00 CNY for 10GiB"),
        "paid": (0.833, "5.00 CNY for 10GiB"),
        "dark": (0.278, "unknown"),
    }
    options = receipt_of(snapshot, weighing("money")).options
    assert {option.price_micro for option in options} == {1_000_000}


def test_egress_stays_money_where_a_job_is_paid_in_hours(pool, in_hours):
    snapshot = in_hours(
        pool("""
site home general 1×1,8 1 1   links=paid:1:100:0.5
site paid general 1×1,8 1 1
job 1 1,0 estimate=3600 data=10@home
""")
    )
    assert terms_by_site(snapshot, "money", "egress") == {
        "home": {"money": (0.0, "1.00 CORE-HOUR"), "egress": (0.0, "0.00 CNY, the data is there")},
        "paid": {
            "money": (0.0, "1.00 CORE-HOUR, 5.00 CNY besides for egress"),
            "egress": (0.833, "5.00 CNY for 10GiB"),
        },
    }


def test_data_comes_from_where_it_is_cheapest_then_soonest(pool):
    snapshot = pool("""
site dear  general 1×1,8 1 0  links=here:1:10000:1
site quick general 1×1,8 1 0  links=here:1:2000:0.1
site slow  general 1×1,8 1 0  links=here:1:1000:0.1
site here  general 1×1,8 1 0
job 1 1,0 estimate=10 data=10@dear+quick+slow,5@,3@here sites=here
""")
    terms = terms_by_site(snapshot, "finish", "egress")["here"]
    # 10 GiB at 2 Gbit/s; the copy that nobody declares is not counted, nor what is there.
    assert terms["finish"][1] == "52s, 42s of it to bring 10GiB"
    assert terms["egress"][1] == "1.00 CNY for 10GiB"


def test_carbon_is_part_of_the_node_times_time_times_pue_times_grid(pool):
    """1000 W × 1/4 × 2 h × 1.2 × 500 g/kWh = 300 g; the clean site needs twice as long."""
    snapshot = pool("""
site coal  general 1×4,8 1   0  power=1000 carbon=500 pue=1.2
site clean general 1×4,8 0.5 0  power=1000 carbon=10
site mute  general 1×4,8 1   0  power=1000
site dim   general 1×4,8 1   0  carbon=500
job 1 2×1,2 estimate=3600
""")
    found = {site: terms["carbon"] for site, terms in terms_by_site(snapshot, "carbon").items()}
    assert found == {
        "clean": (0.0, "10.00 g CO2 at 10 g/kWh"),
        "coal": (0.967, "300.00 g CO2 at 500 g/kWh"),
        "mute": (0.483, "unknown"),
        "dim": (0.483, "unknown"),
    }


def test_a_gang_emits_on_all_its_nodes(pool):
    text = "site s general 4×4,8 1 0 power=1000 carbon=500\njob 1 1,1 estimate=3600 nodes={}"
    one, three = (
        terms_by_site(pool(text.format(nodes)), "carbon")["s"]["carbon"][1] for nodes in (1, 3)
    )
    assert (one, three) == ("125.00 g CO2 at 500 g/kWh", "375.00 g CO2 at 500 g/kWh")


def test_latency_speaks_only_for_whom_somebody_waits(pool):
    text = """
site edge general 1×1,1 1 0
site town general 1×1,1 1 0  links=edge:30:0:0
site away general 1×1,1 1 0
job 1 1,1 {}
"""
    near = terms_by_site(pool(text.format("near=edge")), "latency", "finish")
    assert {site: terms["latency"] for site, terms in near.items()} == {
        "edge": (0.0, "0ms to edge"),
        "town": (0.75, "30ms to edge"),  # 1 − (0 + 10) / (30 + 10)
        "away": (0.375, "unknown"),
    }
    assert receipt_of(pool(text.format("near=edge")), BALANCED).options[0].site == "edge"
    assert list(terms_by_site(pool(text.format("")), "latency", "finish")["edge"]) == ["finish"]


def test_fragmentation_sends_cores_alone_away_from_cards(pool):
    """A task without cards takes 4 of 8 cores, with which 4 cards could have been used.

    On the node of cores alone nothing is lost. The mix is half such tasks (which use no card)
    and half tasks of a card and a core: (0 + 4 cards) / 2 of 8 cards are stranded.
    """
    snapshot = pool("""
site cards general 1×8,8,8 1 0  accelerator=A100-80
site cores general 1×8,8   1 0
job 1 4,0
""")
    found = terms_by_site(snapshot, "fragmentation")
    assert found["cores"]["fragmentation"] == (0.0, "0.0% of a node's cores stranded")
    assert found["cards"]["fragmentation"] == (
        round(1 - 100 / 350, 3), "25.0% of a node's cards stranded",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("waiting", "stranded"),
    [
        # Of the 7 cores left, tasks of a card and 2 cores use both cards: only the even task
        # (a card, 4 cores), half of the mix, loses one of two.
        ("99×2,0,1", "25.0%"),
        # Tasks of a card and 4 cores lose one too: (100 + 99) / 200 of a half.
        ("99×4,0,1", "49.7%"),
        # What cannot run there at all is none of its business.
        ("99×4,9,1", "25.0%"),
    ],
)
def test_fragmentation_asks_what_waiting_tasks_could_still_use(pool, waiting, stranded):
    text = f"site cards general 1×8,8,2 1 0 accelerator=A100-80\njob 1 1,0\njob 2 {waiting}"
    term = terms_by_site(pool(text), "fragmentation")["cards"]["fragmentation"]
    assert term[1] == f"{stranded} of a node's cards stranded"


def test_neutrality_compares_load_with_part(pool):
    """Each has half of the pool; all load (of cores and memory) lies on the first."""
    snapshot = pool("""
site a general 1×4,4 1 0  provider=p
site b general 1×4,4 1 0  provider=q
live 9 a/n0 2×1,1 30
job 1 1,1
""")
    found = {site: t["neutrality"] for site, t in terms_by_site(snapshot, "neutrality").items()}
    assert found == {
        "b": (0.0, "q carries 0% of the load with 50% of the pool"),
        "a": (round(1 - 1 / 3, 3), "p carries 100% of the load with 50% of the pool"),
    }


def test_neutrality_of_an_idle_pool_says_nothing(pool):
    snapshot = pool("site a general 1×4,4 1 0\nsite b general 1×9,9 1 0\njob 1 1,1")
    found = [t["neutrality"] for t in terms_by_site(snapshot, "neutrality").values()]
    assert found == [(0.0, "nothing is in use")] * 2


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_term_alone_makes_a_plan(pool, name):
    snapshot = pool("""
site a general 2×4,4 1 1  links=b:5:100:0.1 carbon=300 power=100
site b ai 2×4,4,2 2 2     accelerator=A100-80
live 9 a/n0 1×1,1 30
job 1 3×1,1 data=1@a near=b
job 2 2×1,1,1
""")
    receipt = receipt_of(snapshot, weighing(name))
    assert [term.name for term in receipt.options[0].terms] == [name]
    assert receipt.options[0].score == min(option.score for option in receipt.options)


figures = st.lists(
    st.none() | st.integers(0, 10**15) | st.floats(0, 1e15) | st.just(math.nan) | st.just(-1.0),
    min_size=1,
    max_size=8,
)


@given(figures, st.sampled_from([0.0, 1.0, 10_000.0]))
def test_normalised_values_keep_the_order_and_their_range(raw, floor):
    values = normalised(raw, floor)
    assert all(0.0 <= value <= 1.0 for value in values)
    known = [
        (max(0.0, one), value)
        for one, value in zip(raw, values, strict=True)
        if one is not None and not math.isnan(one)
    ]
    unknown = [
        value for one, value in zip(raw, values, strict=True) if one is None or math.isnan(one)
    ]
    if not known:
        assert set(values) == {0.0}
        return
    assert min(value for _, value in known) == 0.0
    for one, value in known:
        for other, its in known:
            assert one >= other or value <= its
    # An unknown one is neither best nor worst.
    assert all(0.0 <= value <= max(its for _, its in known) + 1e-12 for value in unknown)


def test_unknown_counts_the_mean_and_nothing_known_counts_nothing():
    assert normalised([1.0, None, 4.0], 0.0) == [0.0, 0.375, 0.75]
    assert normalised([None, None], 0.0) == [0.0, 0.0]
    assert normalised([0, 0], 0.0) == [0.0, 0.0]


def test_policy_with_an_unregistered_term_is_refused(pool):
    with pytest.raises(InputError, match="unknown term 'mood'") as caught:
        plan(pool("job 1 1,1"), weighing("mood"))
    assert "finish" in caught.value.hint


MOOD = Rule(
    purpose="Names late in the alphabet.",
    raw=lambda option: 200 - ord(option.view.site.name[0]),
    show=lambda raw, option: f"{option.view.site.name}: {raw:g}",
)
SITES = "site a general 1×1,1 1 0\nsite z general 1×1,1 1 0\njob 1 1,1"


def test_registered_term_decides_and_is_shown(pool):
    policy = equip(weighing("mood", "money"), {"mood": MOOD, "other": MOOD})
    assert isinstance(policy, EquippedPolicy)
    assert set(policy.rules) == {*BUILT_IN, "mood"}
    first = receipt_of(pool(SITES), policy).options[0]
    assert first.site == "z"
    assert first.terms[0].raw == "z: 78"
    # A copy with another limit keeps its terms.
    assert plan(pool(SITES), replace(policy, patience=3.0)).starts[0].site == "z"


def test_policy_that_weighs_no_foreign_term_stays_plain():
    assert equip(CHEAP, {"mood": MOOD}) is CHEAP


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, None])
def test_term_that_gives_no_number_counts_as_unknown(pool, bad):
    rule = MOOD._replace(raw=lambda option: bad if option.view.site.name == "a" else 5)
    policy = equip(weighing("mood"), {"mood": rule})
    raw = {option.site: option.terms[0].raw for option in receipt_of(pool(SITES), policy).options}
    assert raw == {"a": "unknown", "z": "z: 5"}


@pytest.mark.parametrize("number", [1, 2, 3])
def test_by_default_work_without_cards_leaves_them_to_who_needs_them(pool, number):
    """Else equal options take turns by job number, and one of these would take the cards."""
    text = f"""
        site a ai 1×4,99,2 1 0 accelerator=A100-80
        site b general 1×4,99 1 0
        job {number} 1×4,1 submitted=1
        job 9 1×4,1,2 submitted=2
    """
    in_turn = replace(BALANCED, improve_steps=0)
    sites = {start.job: start.site for start in plan(pool(text), in_turn).starts}
    assert sites == {number: "b", 9: "a"}
