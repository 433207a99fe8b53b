"""Figures become text: medians, goals, ratios, failures."""

import pytest
from bench.effort import BenchError, in_turns
from bench.figures import Figure, Report, Row, percentile
from bench.program import ROWS, chosen
from bench.report import markdown


def row(**more):
    figures = [
        Figure("ours", "tasks/s", [300.0, 500.0, 420.0], ours=True, goal=400.0),
        Figure("peer", "tasks/s", [200.0, 210.0, 190.0]),
        Figure("start", "ms", [120.0], ours=True, goal=100.0, at_most=True),
        Figure("their start", "ms", [480.0]),
    ]
    return Row("tasks", "Tasks", figures, rounds=3, **more)


def text_of(measured, *, quick=False):
    return markdown(
        Report(
            "2026-01-02T03:04Z",
            {"processor": "a chip"},
            {"dask": "1"},
            [70, 71.4],
            [measured],
            quick,
        )
    )


def test_median_and_goal():
    text = text_of(row())
    assert "| **ours** | 420 tasks/s | 300 · 500 · 420 | ≥ 400 tasks/s | met |" in text
    assert "| **start** | 120 ms | 120 | ≤ 100 ms | **missed** |" in text
    assert "| peer | 200 tasks/s | 200 · 210 · 190 |  |  |" in text


@pytest.mark.parametrize(
    ("ours", "theirs", "goal", "percent", "line"),
    [
        ("ours", "peer", 1.2, False, "ours : peer: 2.10 × (goal ≥ 1.2 ×, met)"),
        ("ours", "peer", 2.5, False, "ours : peer: 2.10 × (goal ≥ 2.5 ×, **missed**)"),
        ("start", "their start", None, False, "start : their start: 4.00 ×"),
        ("ours", "peer", None, True, "ours : peer: 210%"),
    ],
)
def test_ratio_is_above_one_where_we_are_better(ours, theirs, goal, percent, line):
    measured = row()
    measured.compare(ours, theirs, goal=goal, percent=percent)
    assert f"- {line}\n" in text_of(measured)


def test_no_ratio_to_what_was_not_measured():
    measured = row()
    measured.compare("ours", "nobody")
    assert measured.ratios == []


def test_failure_keeps_its_line():
    text = text_of(row(failed={"parsl": "exit code 1:\nno | module"}))
    assert "| parsl | – | exit code 1: no \\| module | | |" in text


def test_file_is_complete():
    text = text_of(row(), quick=True)
    for part in ("2026-01-02", "a chip", "dask 1", "70 · 71", "quick run", "What holds us back"):
        assert part in text


def test_quick_warning_only_for_quick_runs():
    assert "quick run" not in text_of(row())


def test_contenders_take_turns_and_the_failed_one_is_left_out():
    measured, calls = row(), []

    def good():
        calls.append("good")
        return 1.0

    def bad():
        calls.append("bad")
        if len(calls) > 2:
            raise BenchError("the peer broke")
        return 2.0

    values = in_turns(measured, {"good": good, "bad": bad}, rounds=3, budget_s=3600.0)
    assert calls == ["good", "bad", "good", "bad", "good"]
    assert values == {"good": [1.0] * 3}
    assert measured.failed == {"bad": "the peer broke"}
    assert measured.rounds == 3


def test_no_round_begins_without_time():
    measured = row()
    values = in_turns(measured, {"one": lambda: 1.0}, rounds=5, budget_s=0.0)
    assert values == {"one": [1.0]}
    assert measured.rounds == 1
    assert measured.notes == ["time allowed 1 of 5 rounds"]


@pytest.mark.parametrize(("percent", "wanted"), [(50, 2.0), (95, 4.0), (1, 1.0), (100, 4.0)])
def test_percentile(percent, wanted):
    assert percentile([4.0, 1.0, 3.0, 2.0], percent) == wanted


@pytest.mark.parametrize(
    ("only", "names"),
    [
        ("", list(ROWS)),
        ("c", ["commands"]),
        ("b, tasks", ["tasks", "submits", "reads"]),
    ],
)
def test_rows_by_name_or_letter(only, names):
    assert chosen(only) == names
