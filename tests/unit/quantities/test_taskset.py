"""Task sets against Python's own sets, and the one form that runs may have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fenglin.errors import InputError
from fenglin.quantities.taskset import EMPTY, TaskSet, check_runs

INDICES = st.sets(st.integers(0, 60))


@given(INDICES, INDICES)
def test_algebra_is_that_of_sets(a, b):
    x, y = TaskSet.of(a), TaskSet.of(b)
    for made, wanted in ((x | y, a | b), (x - y, a - b), (x & y, a & b)):
        assert set(made) == wanted
        assert list(made) == sorted(wanted)
        assert len(made) == len(wanted)
        assert bool(made) == bool(wanted)
        assert check_runs(made.runs)
    assert (x == y) == (a == b)
    assert hash(x | y) == hash(y | x)
    assert x.runs == TaskSet.of(a).runs  # operations leave their operands alone


@given(INDICES, st.integers(-2, 70))
def test_first_and_contains(a, count):
    tasks = TaskSet.of(a)
    assert list(tasks.first(count)) == sorted(a)[: max(0, count)]
    assert check_runs(tasks.first(count).runs)
    assert (count in tasks) == (count in a)


@given(INDICES)
def test_text_and_back(a):
    assert TaskSet.parse(str(TaskSet.of(a))) == TaskSet.of(a)


@given(st.lists(st.integers(0, 30), min_size=1))
def test_any_order_and_repeats_are_read(indices):
    assert TaskSet.parse(",".join(map(str, indices))) == TaskSet.of(indices)


def test_a_hundred_million_tasks_are_one_run():
    whole = TaskSet.span(0, 10**8)
    assert len(whole - TaskSet.span(5, 6)) == 10**8 - 1
    assert str(whole - TaskSet.span(5, 6)) == "0-4,6-99999999"
    assert TaskSet.span(3, 3) == EMPTY


def test_touching_runs_are_joined():
    assert TaskSet.parse("0-3,4-9").runs == ((0, 10),)


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "-1",
        "1-",
        "3-1",
        "1,,2",
        "1 2",
        "٣",
        "0-²",
        "0-٣",
        "1.5",
        "0-" + "9" * 5000,
        "9" * 5000,
    ],
)
def test_refused_without_a_traceback(text):
    with pytest.raises(InputError):
        TaskSet.parse(text)


@pytest.mark.parametrize("runs", [((3, 3),), ((2, 1),), ((0, 2), (2, 4)), ((4, 5), (0, 1))])
def test_runs_that_are_none(runs):
    assert not check_runs(runs)
