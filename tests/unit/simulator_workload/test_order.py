"""Order of submission: exact, stable, and with no more memory than the disorder needs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fenglin.errors import InputError
from fenglin.simulator.readers.order import as_workload
from fenglin.simulator.readers.shapes import shape
from fenglin.simulator.trace import Findings
from fenglin.simulator.workload import WorkJob

NEEDS = shape(cpu_milli=1_000)


def drafts(moments):
    def make(_):
        for place, moment in enumerate(moments, start=1):
            yield WorkJob(place, moment, NEEDS, (1_000 + place,), deadline_ms=moment + 5)

    return make


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=60), st.integers(0, 70))
def test_jobs_come_by_submission_then_place(moments, limit):
    workload = as_workload(drafts(moments), Findings("made up"), rebase=True, limit=limit)
    found = [(job.submitted_ms, job.runtimes_ms[0] - 1_000) for job in workload.jobs()]
    zero = min(moments)
    wanted = sorted((moment - zero, place) for place, moment in enumerate(moments, start=1))
    assert found == wanted[: limit or None]
    late = sum(moment < max(moments[: i + 1]) for i, moment in enumerate(moments))
    assert workload.findings.count == late


def test_numbers_and_deadlines_follow_the_new_zero():
    workload = as_workload(drafts([1_000_000, 999_000]), Findings("made up"), rebase=True)
    assert [(job.number, job.submitted_ms, job.deadline_ms) for job in workload.jobs()] == [
        (1, 0, 5),
        (2, 1_000, 1_005),
    ]


def test_a_trace_that_counts_from_1970_gets_a_zero_of_its_own():
    unix_ms = 1_356_996_147_000
    moments = [unix_ms + 7_000, unix_ms]
    workload = as_workload(drafts(moments), Findings("made up"), rebase=False)
    found = [(job.submitted_ms, job.deadline_ms) for job in workload.jobs()]
    assert found == [(0, 5), (7_000, 7_005)]


def test_only_the_late_span_is_held_back():
    """Of 1000 jobs, 10 ms apart and at most 50 ms late, no more than a handful are read ahead."""
    moments = [i * 10 + (50 if i % 7 == 0 else 0) for i in range(1_000)]
    read_so_far = 0

    def make(_):
        nonlocal read_so_far
        for job in drafts(moments)(None):
            read_so_far += 1
            yield job

    workload = as_workload(make, Findings("made up"), rebase=False)
    stream = workload.jobs()
    read_so_far = 0
    for given_out, _ in enumerate(stream, start=1):
        assert read_so_far - given_out <= 12


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"submitted_ms": -1}, "an arrival before time 0"),
        ({"runtimes_ms": (5, -1)}, "a negative runtime (never ran, or unknown)"),
        ({"runtimes_ms": (10**16,)}, "a time of no reasonable size"),
        ({"submitted_ms": 10**16}, "a time of no reasonable size"),
        ({"tasks": 0}, "no tasks, or more than 10000000"),
    ],
)
def test_what_cannot_run_is_left_out(change, what):
    good = WorkJob(1, 10, NEEDS, (5,))

    def make(_):
        yield good._replace(**change)
        yield good._replace(number=2)

    workload = as_workload(make, Findings("made up"), rebase=False)
    assert [job.submitted_ms for job in workload.jobs()] == [10]
    assert list(workload.findings.found) == [what]


def test_nothing_left_says_why():
    with pytest.raises(InputError, match=r"no job is left.*negative runtime"):
        as_workload(
            lambda _: iter([WorkJob(1, 0, NEEDS, (-1,))]), Findings("made up"), rebase=False
        ).jobs()
