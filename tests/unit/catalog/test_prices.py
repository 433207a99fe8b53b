"""Rating: exact, never negative, never less for more, and split without loss."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from fenglin.catalog.prices import (
    PriceItem,
    billed_ms,
    estimate_micro,
    rate_usage,
    total_micro,
)
from fenglin.model.allocation import Usage
from fenglin.model.site import Price
from fenglin.quantities.resources import Resources

PRICES = st.builds(
    Price,
    core_hour_micro=st.integers(0, 10**7),
    memory_gib_hour_micro=st.integers(0, 10**6),
    card_hour_micro=st.integers(0, 10**8),
    task_minimum_ms=st.integers(0, 60_000),
    task_minimum_micro=st.integers(0, 10**5),
    task_micro=st.integers(0, 10**5),
    node_hour_micro=st.integers(0, 10**8),
    node_day_micro=st.integers(0, 10**9),
    node_cpu_milli=st.sampled_from((0, 1_000, 64_000)),
)
HELD = st.builds(
    Resources,
    cpu_milli=st.integers(1, 256_000),
    memory_bytes=st.integers(0, 2**42),
    disk_bytes=st.just(0),
    accelerator_milli=st.integers(0, 8_000),
)
USED = st.builds(
    lambda tasks, ms: Usage(tasks=tasks, wall_ms=ms, billed_ms=ms),
    st.integers(0, 10**5),
    st.integers(0, 10**12),
)


def test_one_core_two_gib_and_a_card_for_an_hour_and_a_half() -> None:
    price = Price(core_hour_micro=120_000, memory_gib_hour_micro=10_000, card_hour_micro=2_400_000)
    held = Resources(cpu_milli=4_000, memory_bytes=2 * 2**30, accelerator_milli=500)
    lines = rate_usage(price, held, Usage(tasks=1, wall_ms=5_400_000, billed_ms=5_400_000))
    assert [(line.item, line.amount_micro) for line in lines] == [
        (PriceItem.CORE_HOUR, 720_000),
        (PriceItem.MEMORY_GIB_HOUR, 30_000),
        (PriceItem.CARD_HOUR, 1_800_000),
    ]


def test_the_task_minimum_is_what_the_other_lines_lack() -> None:
    price = Price(core_hour_micro=3_600, task_minimum_micro=100)
    held = Resources(cpu_milli=1_000)
    lines = rate_usage(price, held, Usage(tasks=3, wall_ms=40_000, billed_ms=40_000))
    assert [(line.item, line.amount_micro) for line in lines] == [
        (PriceItem.CORE_HOUR, 40),
        (PriceItem.TASK_MINIMUM, 260),
    ]
    assert total_micro(rate_usage(price, held, Usage(tasks=3, billed_ms=400_000))) == 400


def test_whole_nodes_by_the_hour_or_day_and_tasks() -> None:
    # Two nodes of 64 cores for 6 hours at 720 a day: 2 x 720 / 4 = 360; three tasks at 0.05.
    price = Price(node_day_micro=720_000_000, node_cpu_milli=64_000, task_micro=50_000)
    held = Resources(cpu_milli=128_000, memory_bytes=2**40, accelerator_milli=16_000)
    used = Usage(tasks=3, wall_ms=21_600_000, billed_ms=21_600_000)
    lines = rate_usage(price, held, used)
    assert [(line.item, line.quantity, line.per, line.amount_micro) for line in lines] == [
        (PriceItem.NODE_DAY, 43_200_000, 86_400_000, 360_000_000),
        (PriceItem.TASK, 3, 1, 150_000),
    ]
    # By the hour at 40: 2 x 6 x 40 = 480.
    (hours,) = rate_usage(Price(node_hour_micro=40_000_000, node_cpu_milli=64_000), held, used)
    assert (hours.item, hours.amount_micro) == (PriceItem.NODE_HOUR, 480_000_000)


def test_a_minimum_of_one_micro_is_still_a_line() -> None:
    lines = rate_usage(Price(task_minimum_micro=1), Resources(cpu_milli=1), Usage(tasks=1))
    assert [(line.item, line.amount_micro) for line in lines] == [(PriceItem.TASK_MINIMUM, 1)]


def test_a_task_is_billed_for_at_least_the_minimum_time() -> None:
    price = Price(core_hour_micro=3_600_000, task_minimum_ms=1_000)
    assert billed_ms(price, 1) == 1_000
    assert billed_ms(price, 2_000) == 2_000
    assert estimate_micro(price, Resources(cpu_milli=1_000), wall_ms=1, tasks=3) == 3_000


@given(PRICES, HELD, USED)
def test_lines_are_positive_exact_and_bounded_below(
    price: Price, held: Resources, used: Usage
) -> None:
    lines = rate_usage(price, held, used)
    assert all(line.amount_micro > 0 for line in lines)
    assert total_micro(lines) >= used.tasks * price.task_minimum_micro
    for line in lines:
        if line.item is not PriceItem.TASK_MINIMUM:
            exact = Fraction(line.quantity * line.price_micro, line.per)
            assert abs(exact - line.amount_micro) <= Fraction(1, 2)


@given(PRICES, HELD, USED, USED)
def test_more_use_never_costs_less(price: Price, held: Resources, used: Usage, more: Usage) -> None:
    small = total_micro(rate_usage(price, held, used))
    assert total_micro(rate_usage(price, held, used + more)) >= small
    assert total_micro(rate_usage(price, held + Resources(cpu_milli=1), used)) >= small


@given(PRICES, HELD, st.lists(USED, min_size=1, max_size=8))
def test_any_split_into_attempts_sums_within_half_a_micro_per_item_and_attempt(
    price: Price, held: Resources, parts: list[Usage]
) -> None:
    whole = sum(parts[1:], parts[0])
    for item in (PriceItem.CORE_HOUR, PriceItem.MEMORY_GIB_HOUR, PriceItem.CARD_HOUR):
        amounts = [
            sum(line.amount_micro for line in rate_usage(price, held, used) if line.item is item)
            for used in (*parts, whole)
        ]
        assert abs(sum(amounts[:-1]) - amounts[-1]) <= Fraction(len(parts) + 1, 2)
    # The minimum is due attempt by attempt, so splitting never makes a bill smaller.
    together = total_micro(rate_usage(price, held, whole))
    apart = sum(total_micro(rate_usage(price, held, used)) for used in parts)
    assert apart >= together - Fraction(3 * (len(parts) + 1), 2)


@given(PRICES, HELD, st.integers(0, 10**8), st.integers(0, 10**4))
def test_an_estimate_is_the_bill_of_such_a_use(
    price: Price, held: Resources, wall_ms: int, tasks: int
) -> None:
    each_ms = billed_ms(price, wall_ms)
    used = Usage(tasks=tasks, wall_ms=tasks * wall_ms, billed_ms=tasks * each_ms)
    estimate = estimate_micro(price, held, wall_ms, tasks)
    assert estimate == total_micro(rate_usage(price, held, used))
    assert estimate_micro(price, held, wall_ms, tasks + 1) >= estimate
