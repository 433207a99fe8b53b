"""The stream reader of SWF: what it takes, what it reports, and how little it keeps."""

import tracemalloc

import pytest

from fenglin.errors import InputError
from fenglin.simulator.readers.registry import read

HEAD = "; Version: 2.2\n; MaxProcs: 64\n\n"
FIRST = "1 100 5 60 4 -1 -1 8 90 512 1 7 1 3 2 1 -1 -1\n"
LATER = "2 200 -1 0 2 -1 2.5 -1 -1 -1 1 -1 -1 -1 -1 -1 -1 -1 1:ppn=2:x86\n"


def test_every_told_field_is_taken(put, jobs_of):
    (job, other), found = jobs_of(put("log.swf", HEAD + FIRST + LATER), queues=True)
    assert found == {}
    assert (job.submitted_ms, job.runtimes_ms, job.estimate_ms) == (100_000, (60_000,), 90_000)
    # Asked for, not given; memory is KiB for each processor.
    assert job.shape.resources.cpu_milli == 8_000
    assert job.shape.resources.memory_bytes == 8 * 512 * 1_024
    assert (job.user, job.name, job.queue, job.tasks) == ("7", "3", "2", 1)
    # Given, where nothing was asked for; unknown stays empty; a runtime of 0 is one.
    assert other.shape.resources.cpu_milli == 2_000
    assert other.shape.resources.memory_bytes == 0
    assert (other.estimate_ms, other.user, other.name, other.queue) == (0, "", "", "default")
    assert other.runtimes_ms == (0,)


@pytest.mark.parametrize(
    ("wish", "per_node", "nodes", "cores", "memory"),
    [
        ("q_1d 2:ppn=12:x86_64", 8, 2, 12, 100),
        ("q_1d 2:ppn=12:x86_64", 0, 1, 24, 200),
        ("1:ppn=16+1:ppn=8", 12, 2, 12, 100),
        ("2:ppn=10", 12, 2, 12, 100),  # 20 cannot be 24
        ("{7,7} q_1d 3:brno", 0, 1, 24, 300),
        ("3", 0, 1, 24, 24 * 100 * 1_024),  # some other number
        ("q_1d host7.site.cz:ppn=24", 30, 1, 24, 100),
    ],
)
def test_a_node_request_behind_the_fields(put, jobs_of, wish, per_node, nodes, cores, memory):
    line = f"1 0 0 9 24 -1 -1 24 9 100 1 1 1 1 1 1 -1 -1 {wish}\n"
    (job,), _ = jobs_of(put("log.swf", line), procs_per_node=per_node)
    assert (job.shape.nodes, job.shape.resources.values()) == (nodes, (cores * 1_000, memory, 0, 0))


def test_queues_are_left_alone_unless_asked_for(put, jobs_of):
    (job,), _ = jobs_of(put("log.swf", FIRST))
    assert job.queue == "default"


@pytest.mark.parametrize(
    ("per_node", "procs", "nodes", "each"),
    [(0, 100, 1, 100), (1, 100, 100, 1), (8, 8, 1, 8), (8, 12, 2, 6), (8, 11, 11, 1)],
)
def test_processors_are_spread_evenly_over_the_fewest_nodes(
    put, jobs_of, per_node, procs, nodes, each
):
    line = f"1 0 0 9 {procs} -1 -1 {procs} 9 -1 1 1 1 1 1 1 -1 -1\n"
    (job,), _ = jobs_of(put("log.swf", line), procs_per_node=per_node)
    assert (job.shape.nodes, job.shape.resources.cpu_milli) == (nodes, each * 1_000)


def test_all_that_is_wrong_is_counted_with_its_lines(put):
    lines = [
        "1 100 0 60 4 -1 -1 4 90 -1 1 7 1 1 1 1 -1 -1",
        "2 100 0 60 4",  # 2: cut
        "3 100 zero 60 4 -1 -1 4 90 -1 1 7 1 1 1 1 -1 -1",  # wrong only where nobody looks
        "4 100 0 sixty 4 -1 -1 4 90 -1 1 7 1 1 1 1 -1 -1",  # 4: no number
        "5 100 0 -1 4 -1 -1 4 90 -1 5 7 1 1 1 1 -1 -1",  # 5: never ran
        "6 100 0 60 0 -1 -1 -1 90 -1 1 7 1 1 1 1 -1 -1",  # 6: no processors
        "7 -5 0 60 4 -1 -1 4 90 -1 1 7 1 1 1 1 -1 -1",  # 7: before 0
        "8 50 0 60.0 4 -1 -1 4 90 -1 1 7 1 1 1 1 -1 -1",  # 8: late
        "9 90 0 60 4 -1 -1 4 90 -1 3 7 1 1 1 1 -1 -1",  # 9: a part
        "10 1e40 0 60 4 -1 -1 4 90 -1 1 7 1 1 1 1 -1 -1",  # 10: absurd
    ]
    workload = read(put("log.swf", "\n".join(lines)))
    jobs = list(workload.jobs())
    assert [job.submitted_ms for job in jobs] == [50_000, 100_000, 100_000]
    seen = {one.what: (one.count, one.lines) for one in workload.findings.found.values()}
    assert seen == {
        "fewer than 18 fields": (1, [2]),
        "a field that is no whole number of reasonable size": (2, [4, 10]),
        "a negative runtime (never ran, or unknown)": (1, [5]),
        "no processors": (1, [6]),
        "an arrival before time 0": (1, [7]),
        "an arrival before that of an earlier one": (1, [8]),
        "a part of a job (status 2 to 4)": (1, [9]),
    }
    assert workload.findings.skipped == 6


def test_strict_refuses_before_any_job(put):
    with pytest.raises(InputError, match=r"1 faults.* fewer than 18 fields.*lines 2"):
        read(put("log.swf", FIRST + "2 100\n"), strict=True)
    assert next(read(put("good.swf", FIRST), strict=True).jobs()).number == 1


def test_a_cut_gz_keeps_what_came_before_and_says_so(put, jobs_of):
    body = "".join(
        f"{i} {i} 0 {i * 7919 % 1000} 1 -1 -1 1 9 -1 1 1 1 1 1 1 -1 -1\n" for i in range(5000)
    )
    jobs, found = jobs_of(put("log.swf.gz", body, cut=4_000))
    assert 1_000 < len(jobs) < 5_000
    assert found == {"the compressed file ends early or is damaged: what follows is lost": 1}
    with pytest.raises(InputError, match="ends early"):
        read(put("log.swf.gz", body, cut=4_000), strict=True)


@pytest.mark.parametrize("body", ["", "; only a head\n", "\n\n", "1 2 3\n"])
def test_a_log_without_jobs_is_an_error(put, body):
    with pytest.raises(InputError, match="no job is left"):
        read(put("log.swf", body)).jobs()


@pytest.mark.slow
def test_memory_does_not_grow_with_the_trace(put):
    def log(count):
        lines = (
            f"{i} {i * 7} -1 {i % 5000} {1 + i % 64} -1 -1 {1 + i % 64} {i % 900} -1 1 {i % 100}"
            f" 1 {i % 30} 1 1 -1 -1\n"
            for i in range(count)
        )
        return put(f"{count}.swf", "".join(lines))

    def peak(path):
        workload = read(path)
        tracemalloc.start()
        try:
            assert sum(1 for _ in workload.jobs()) == int(path.stem)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    short, long = log(2_000), log(10_000)
    peak(short)  # whatever is made once
    small, large = peak(short), peak(long)
    assert large < small * 1.2 + 20_000
    # A job kept of each line would be megabytes.
    assert large < 500_000
