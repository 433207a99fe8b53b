"""Axes and words that people read."""

from __future__ import annotations

import pytest

from fenglin.simulator.reports.scales import MOST_TICKS, number, spoken, step, tick, time_unit
from fenglin.simulator.reports.shapes import label, visible
from fenglin.simulator.reports.words import figure_rows


@pytest.mark.parametrize(("longest_s", "name"), [
    (5, "s"), (600, "s"), (601, "min"), (10_800, "min"), (10_801, "h"), (72 * 3_600, "h"),
    (73 * 3_600, "days"), (10**9, "days"),
])  # fmt: skip
def test_the_unit_follows_the_range(longest_s, name):
    assert time_unit(longest_s).name == name


@pytest.mark.parametrize("longest_s", [0.004, 1, 59, 600, 4_000, 86_400, 10**6, 10**8, 10**11])
def test_few_ticks_whatever_the_range(longest_s):
    unit = time_unit(longest_s)
    ticks = longest_s / unit.seconds / step(unit, longest_s)
    assert 1 <= ticks <= MOST_TICKS


@pytest.mark.parametrize(("seconds", "text"), [
    (0, "0 s"), (52.34, "52.3 s"), (485, "8.08 min"), (12_424, "3.45 h"), (864_000, "10.0 days"),
])  # fmt: skip
def test_durations_as_people_say_them(seconds, text):
    assert spoken(seconds) == text


@pytest.mark.parametrize(("value", "text"), [
    (0.0, "0"), (12.0, "12"), (0.01061, "0.0106"), (3.694, "3.69"), (484.71, "484.7"),
    (1_234_567.8, "1,234,568"),
])  # fmt: skip
def test_numbers_with_the_places_that_help(value, text):
    assert number(value) == text


def test_ticks_without_noise():
    assert tick(0.1 + 0.2) == "0.3"
    assert tick(2_000.0) == "2,000"


def test_long_names_are_cut_in_their_middle():
    name = "a-very-long-queue-name-of-a-large-institute"
    assert len(label(name)) == 28
    assert label(name).startswith("a-very-long")
    assert label(name).endswith("institute")
    assert label("short") == "short"
    assert label("高能物理" * 8) == "高能物理高能物理高…高能物理"


def test_what_cannot_be_seen_is_shown():
    assert visible("a\x1b[31m\nb\u202e") == "a\\x1b[31m\\nb\\u202e"
    assert visible("队列") == "队列"


def test_figures_have_names_units_and_scales():
    rows = list(figure_rows({"seconds": 1.0, "mean_wait_s": 7_200.0, "cost_micro": 2_500_000,
                             "used": {"Memory": 0.5}, "mean_wait_s_by_queue": {}}, 5))  # fmt: skip
    assert [(row.name, row.value, row.unit) for row in rows] == [
        ("Mean wait", "7,200", "s"), ("Cost", "2.50", "CNY"), ("Used: Memory", "50", "%"),
    ]  # fmt: skip
    assert rows[0].meaning.startswith("2 h")


def test_of_many_parts_the_largest_are_shown_and_the_rest_is_told():
    rows = list(figure_rows({"slot_h_by_site": {f"s{at}": float(at) for at in range(9)}}, 3))
    assert [row.name for row in rows[:3]] == [f"Slots held: s{at}" for at in (8, 7, 6)]
    assert rows[3].value == "3 of 9 shown"
