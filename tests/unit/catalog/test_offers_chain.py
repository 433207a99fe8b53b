"""A chain costs what the best of all its placements costs, data moved included."""

from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fenglin.catalog.offers.catalogue import build
from fenglin.catalog.offers.chain import ChainTask, plan_chain
from fenglin.catalog.offers.egress import EgressTable, matrix
from fenglin.catalog.offers.need import OfferNeed, parse_bound
from fenglin.catalog.offers.read import read_skypilot_csv
from fenglin.errors import InputError

HEADER = (
    "cloud,InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,SpotPrice,Region\n"
)
PLACES = [("a", "r1"), ("a", "r2"), ("b", "r1")]
PRICES = st.integers(1, 30).map(lambda tenths: f"0.{tenths:02d}")
ROWS = st.lists(
    st.tuples(st.sampled_from(PLACES), st.sampled_from([2, 4, 8]), PRICES), min_size=1, max_size=8
)
TASKS = st.lists(
    st.tuples(st.sampled_from([2, 4]), st.integers(1, 9_999), st.integers(0, 50_000)),
    min_size=1,
    max_size=4,
)
EGRESS = st.dictionaries(
    st.tuples(st.sampled_from(PLACES), st.sampled_from(PLACES)), st.integers(0, 200_000), min_size=1
)


def catalogue(rows):
    lines = [f"{p},m{c}-{i},,,{c},{c},{price},,{r}\n" for i, ((p, r), c, price) in enumerate(rows)]
    return build([read_skypilot_csv(HEADER + "".join(lines), "", "prices.csv")])


def chain_task(name, cpus, runtime_s, out, nodes=1):
    need = OfferNeed(cpus=parse_bound(f"{cpus}+", "cpus"))
    return ChainTask(
        name=name, needs=(need,), runtime_s=runtime_s, nodes=nodes, output_milli_gb=out
    )


def move_price(egress, src, dest):
    """What the rule for unknown pairs says, put otherwise."""
    if src == dest:
        return 0
    if (src, dest) in egress:
        return egress[src, dest]
    for like in (lambda s: s == src, lambda s: s[0] == src[0], lambda _: True):
        known = [price for (s, _), price in egress.items() if like(s)]
        if known:
            return max(known)
    raise AssertionError("the table is not empty")


@settings(max_examples=50, deadline=None)
@given(ROWS, TASKS, EGRESS)
def test_same_as_trying_everything(rows, tasks, egress):
    offers = catalogue(rows)
    chain = [chain_task(str(i), *task) for i, task in enumerate(tasks)]
    plan = plan_chain(offers, chain, EgressTable(egress))
    options = [[row for row in rows if row[1] >= cpus] for cpus, _, _ in tasks]
    if not all(options):
        assert plan.stuck == str(next(i for i, one in enumerate(options) if not one))
        assert plan.steps == ()
        return
    best = min(total(choice, tasks, egress) for choice in product(*options))
    assert plan.total_micro == best
    assert plan.total_micro == sum(s.cost_micro + s.egress_micro for s in plan.steps)
    places = [(step.offer.provider, step.offer.region) for step in plan.steps]
    for i, step in enumerate(plan.steps[1:]):
        price = move_price(egress, places[i], places[i + 1])
        assert step.egress_micro == round(Fraction(price * tasks[i][2], 1_000))
        assert step.egress_assumed is (
            step.egress_micro > 0 and (places[i], places[i + 1]) not in egress
        )


def total(choice, tasks, egress):
    """What one placement costs; `round` of a fraction rounds half to even."""
    cost = sum(
        round(Fraction(price) * 1_000_000 * seconds / 3_600)
        for (_, _, price), (_, seconds, _) in zip(choice, tasks, strict=True)
    )
    for i in range(len(choice) - 1):
        price = move_price(egress, choice[i][0], choice[i + 1][0])
        cost += round(Fraction(price * tasks[i][2], 1_000))
    return cost


ROWS_TWO = [(("a", "r1"), 2, "0.08"), (("b", "r1"), 4, "0.11"), (("a", "r1"), 4, "0.12")]


def test_data_keeps_tasks_together_when_moving_is_dear():
    egress = EgressTable({(("a", "r1"), ("b", "r1")): 90_000})
    tasks = [chain_task("one", 2, 3_600, 1_000), chain_task("two", 4, 3_600, 0)]
    plan = plan_chain(catalogue(ROWS_TWO), tasks, egress)
    assert [step.offer.provider for step in plan.steps] == ["a", "a"]
    assert plan.total_micro == 200_000
    plan = plan_chain(catalogue(ROWS_TWO), tasks)
    assert [step.offer.provider for step in plan.steps] == ["a", "b"]
    assert plan.total_micro == 190_000


def test_nodes_multiply_the_price():
    plan = plan_chain(catalogue(ROWS_TWO), [chain_task("one", 2, 1_800, 0, nodes=4)])
    assert plan.total_micro == 160_000


def test_equal_costs_take_the_first_place():
    rows = [(place, 2, "0.10") for place in reversed(PLACES)]
    plan = plan_chain(catalogue(rows), [chain_task(str(i), 2, 60, 5) for i in range(3)])
    assert {(s.offer.provider, s.offer.region) for s in plan.steps} == {("a", "r1")}


def test_empty_chain_costs_nothing():
    assert plan_chain(catalogue(ROWS_TWO), []).total_micro == 0


def test_assumed_prices_are_the_highest_known():
    table = EgressTable({(("a", "r1"), ("a", "r2")): 5, (("a", "r2"), ("a", "r1")): 9})
    prices, assumed = matrix(table, [*PLACES, ("A", "R9")])
    assert prices.tolist() == [[0, 5, 5, 5], [9, 0, 9, 9], [9, 9, 0, 9], [9, 9, 9, 0]]
    assert int(assumed.sum()) == 10


def test_absurd_sums_are_refused():
    with pytest.raises(InputError, match="trillion"):
        plan_chain(catalogue(ROWS_TWO), [chain_task("one", 2, 10**18, 0)])


def test_alternatives_must_be_of_one_market():
    needs = (OfferNeed(), OfferNeed(spot=True))
    with pytest.raises(InputError, match="all be spot"):
        plan_chain(catalogue(ROWS_TWO), [ChainTask(name="x", needs=needs, runtime_s=1)])
