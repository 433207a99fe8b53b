"""Changes of jobs in order: none is missed, none is told to those who may not see it."""

import asyncio
import sys

import pytest

from fenglin.engine.changes import Changes, Pick
from fenglin.errors import InputError

ALL = Pick()


@pytest.fixture
def jobs(world):
    """Return jobs 1 to 4; the labels and accounts tell them apart."""
    return [
        world.job(1, labels=(("run", "a"),)),
        world.job(2, labels=(("run", "b"), ("x", "1"))),
        world.job(3, labels=(("run", "a"), ("x", "1")), account="lab"),
        world.job(4),
    ]


def heard(changes, place, pick=ALL):
    return asyncio.run(changes.wait(place, pick, 0))


def test_a_job_is_told_once_at_its_newest_change(jobs):
    changes = Changes(7)
    start = heard(changes, "").place
    changes.note(jobs[:3])
    changes.note(jobs[:1])
    found = heard(changes, start)
    assert (found.numbers, found.reset) == ([2, 3, 1], False)
    assert heard(changes, found.place).numbers == []


def test_what_is_kept_is_not_the_job(jobs):
    """Fifty thousand jobs that have ended are as much as the hub has of those that wait."""
    before = [sys.getrefcount(job) for job in jobs]
    changes = Changes(7)
    changes.note(jobs)
    assert [sys.getrefcount(job) for job in jobs] == before
    assert heard(changes, "7.0").numbers == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        ([("label", "run=a")], [1, 3]),
        ([("label", "run=a"), ("label", "run=b")], [1, 2, 3]),
        ([("label", "run=a"), ("id", "j3"), ("id", "j4")], [3]),
        ([("label", "run=c")], []),
        ([("label", "run")], []),
        ([("id", "j2")], [2]),
    ],
)
def test_only_what_is_meant_is_told(jobs, filters, numbers):
    changes = Changes(7)
    changes.note(jobs)
    assert changes.since(0, Pick.of(filters, "", 9))[0] == numbers
    labs = [number for number in numbers if number == 3]
    assert changes.since(0, Pick.of(filters, "lab", 9))[0] == labs


def test_many_changes_come_in_parts_and_none_is_lost(jobs):
    changes = Changes(7)
    changes.note(jobs)
    place, found = "7.0", []
    while part := heard(changes, place, Pick(most=3)):
        if not part.numbers:
            break
        found, place = found + part.numbers, part.place
    assert found == [1, 2, 3, 4]


def test_whoever_waits_hears_at_once(jobs):
    changes = Changes(7)

    async def scene():
        waiting = asyncio.create_task(changes.wait("7.0", ALL, 60))
        await asyncio.sleep(0)
        changes.note(jobs[3:])
        return await waiting

    assert asyncio.run(scene()).numbers == [4]


@pytest.mark.parametrize("place", ["6.0", "8.1", "7.99"])
def test_a_place_of_another_hub_is_answered_with_a_reset(jobs, place):
    changes = Changes(7)
    changes.note(jobs)
    assert heard(changes, place) == ([], "7.4", True)


def test_a_place_before_what_was_dropped_is_answered_with_a_reset(jobs):
    changes = Changes(7, most=2)
    changes.note(jobs)
    assert heard(changes, "7.1").reset
    assert heard(changes, "7.2").numbers == [3, 4]


@pytest.mark.parametrize("place", ["7", "x.1", "7.-1", "7.1.1", "9" * 50 + ".1", "\u0667.1"])
def test_what_is_no_place_is_refused(place):
    with pytest.raises(InputError, match="no place"):
        heard(Changes(7), place)
