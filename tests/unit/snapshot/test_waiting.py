"""The table of waiting jobs: whatever happens to it, it gives the snapshot that its rows give."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fenglin.quantities.resources import Resources
from fenglin.snapshot import waiting
from fenglin.snapshot.builder import JobRow, build
from fenglin.snapshot.codec import to_bytes
from fenglin.snapshot.snapshot import Shape
from fenglin.snapshot.waiting import WaitingTable

SHAPES = [Shape(Resources(cpu), nodes=nodes) for cpu in (1, 2) for nodes in (1, 2, 3)]
ROWS = st.builds(
    JobRow,
    **dict.fromkeys(JobRow._fields, st.integers(0, 2**31 - 1))
    | {
        "number": st.integers(0, 30),
        "shape": st.sampled_from(SHAPES),
        "queue": st.sampled_from("ab"),
        "account": st.sampled_from("xyz"),
    },
)
SOME_ROWS = st.lists(ROWS, max_size=20, unique_by=lambda row: row.number)
ACTS = st.lists(st.one_of(ROWS, SOME_ROWS, st.integers(0, 30)), max_size=120)


def shot(jobs):
    return to_bytes(build(index=1, now_ms=2, sites=(), accounts={"x": 5}, jobs=jobs))


@given(ACTS)
def test_its_columns_are_those_of_its_rows(acts):
    table, rows = WaitingTable(), {}
    for act in acts:
        if isinstance(act, JobRow):
            table.put(act)
            rows[act.number] = act
        elif isinstance(act, list):
            table.put_all(act)
            rows |= {row.number: row for row in act}
        else:
            table.drop(act)
            rows.pop(act, None)
    assert len(table) == len(rows)
    assert sorted(table.values()) == sorted(rows.values())
    assert all(table.get(number) == rows.get(number) for number in range(31))
    assert shot(table.waiting()()) == shot(list(rows.values()))


@pytest.mark.parametrize("at_once", [1, 8, 40])
def test_a_long_queue_goes_through_it_in_the_room_of_those_that_wait(monkeypatch, at_once):
    monkeypatch.setattr(waiting, "_SPARE_CODES", 4)
    table = WaitingTable()
    for first in range(0, 5_000, at_once):
        numbers = range(first, first + at_once)
        # Queues and accounts come and go with their jobs.
        rows = [
            JobRow(at, SHAPES[at % 6], 1, queue=f"n{at // 7}", account=f"n{at // 7}")
            for at in numbers
        ]
        if at_once == 1:
            table.put(rows[0])
        else:
            table.put_all(rows)
        for at in numbers:
            table.drop(at - 40)
    columns = table.waiting()()
    assert columns.column("number").tolist() == list(range(4_960, 5_000))
    assert shot(columns) == shot(list(table.values()))
    # What is kept stays near 40 rows and their names, after 5,000 of them.
    assert columns.columns.base is None or columns.columns.base.shape[1] < 1_000
    assert table._table.shape[1] < 1_000
    assert len(columns.queues) < 100
    assert len(columns.accounts) < 100


def test_columns_do_not_follow_later_changes():
    table = WaitingTable()
    table.put(JobRow(3, SHAPES[0], 1))
    before = table.waiting()
    table.put(JobRow(3, SHAPES[1], 7))
    table.put(JobRow(4, SHAPES[2], 1))
    assert before().column("pending").tolist() == [1]
    assert before().shapes == (SHAPES[0],)
    table.drop(3)
    assert table.waiting()().column("number").tolist() == [4]


def test_a_row_beyond_64_bits_is_refused_and_leaves_no_trace():
    table = WaitingTable()
    table.put(JobRow(3, SHAPES[0], 1))
    for number in (3, 4):
        with pytest.raises(OverflowError):
            table.put(JobRow(number, SHAPES[0], 1, deadline_ms=2**63))
    with pytest.raises(OverflowError):
        table.put_all([JobRow(3, SHAPES[1], 2), JobRow(5, SHAPES[0], 1, deadline_ms=2**63)])
    assert list(table.values()) == [JobRow(3, SHAPES[0], 1)]
    assert table.waiting()().column("number").tolist() == [3]


def test_a_priority_beyond_its_column_is_refused_and_not_another_one():
    for rows in (
        [JobRow(1, SHAPES[0], 1, priority=2**31)],
        [JobRow(1, SHAPES[0], 1, priority=-(2**31) - 1)],
    ):
        with pytest.raises(OverflowError, match="32 bits"):
            shot(rows)
