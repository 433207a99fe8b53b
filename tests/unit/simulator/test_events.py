"""Events come out in one total order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fenglin.errors import InputError
from fenglin.simulator.events import EventQueue


def test_time_then_priority_then_sequence():
    queue = EventQueue()
    for time, priority, what in [(5, 1, "d"), (5, 0, "b"), (3, 9, "a"), (5, 1, "e"), (5, 0, "c")]:
        queue.push(time, priority, what)
    assert "".join(queue.pop().what for _ in range(5)) == "abcde"
    assert queue.now == 5


def test_payloads_are_never_compared():
    queue = EventQueue()
    queue.push(1, 1, object())
    queue.push(1, 1, object())
    assert [queue.pop().sequence, queue.pop().sequence] == [0, 1]


def test_the_past_is_closed():
    queue = EventQueue(start=10)
    queue.push(10, 0, "still now")
    with pytest.raises(InputError, match="before the present, 10"):
        queue.push(9, 0, "too late")


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2))))
def test_order_is_that_of_sorting(keys):
    queue = EventQueue()
    for time, priority in keys:
        queue.push(time, priority, None)
    came = [queue.pop()[:3] for _ in range(len(queue))]
    assert came == sorted((time, priority, i) for i, (time, priority) in enumerate(keys))
