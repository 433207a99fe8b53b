"""Whatever stands in a file: jobs in order, findings, or an error of ours. Nothing else."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fenglin.errors import InputError, NotFoundError, UnavailableError
from fenglin.simulator.readers.lines import LONGEST_LINE
from fenglin.simulator.readers.registry import KINDS, read
from fenglin.simulator.readers.shapes import MAX_AMOUNT, spread

WORDS = (
    "", "0", "1", "-1", "7.5", "1e400", "nan", "NULL", "99999999999999999999", "1000000000000",
    "999999999989", "2020-06-09 18:41:01", "0001-01-01", "x", '"', '"a,b"', "\x00", "\ufffd", "H20",
    "LS", "Spot", "A|B", "{}", "[", "1000", "500",
)  # fmt: skip


def outcome(path, kind, **options):
    """Read a file; return its jobs, or None when it was refused."""
    workload = read(path, kind, **options)
    try:
        jobs = list(workload.jobs())
    except InputError:
        return None
    moments = [(job.submitted_ms, job.number) for job in jobs]
    assert moments == sorted(moments)
    for job in jobs:
        assert job.submitted_ms >= 0
        assert min(job.runtimes_ms) >= 0
        assert max(job.shape.resources.values()) <= MAX_AMOUNT
    return jobs


@pytest.mark.parametrize("name", sorted(name for name, one in KINDS.items() if one.columns))
def test_tables_of_nonsense(put, put_table, name):
    if name == "sia":
        put_table("validation.parquet", {"model": ["1"], "batch_size": [1], "iteration": [5]})
        put_table(
            "scalability.parquet",
            {"model": ["1"], "gpu_type": ["aws"], "num_replicas": [1], "local_bsz": [0.0],
             "step_time": [1.0], "sync_time": [0.1]},
        )  # fmt: skip
    dice = random.Random(name)
    columns = KINDS[name].columns
    rows = [",".join(dice.choice(WORDS) for _ in columns) for _ in range(400)]
    path = put("t.csv", "\n".join([",".join(columns), *rows]))
    jobs = outcome(path, name)
    workload = read(path, name)
    if jobs is not None:
        list(workload.jobs())
        lost = [one for one in workload.findings.found.values() if one.done == "skipped"]
        assert len(jobs) + sum(one.count for one in lost) == 400 or name in {"gavel", "sia"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["swf", "history", "workload", "philly"])
@given(body=st.binary(max_size=300))
def test_texts_of_noise(tmp_path_factory, kind, body):
    path = tmp_path_factory.mktemp("noise") / "noise"
    path.write_bytes(body)
    outcome(path, kind)


def test_every_line_of_swf_is_a_job_or_a_finding(put):
    dice = random.Random(5)
    lines = [
        " ".join(dice.choices(["1", "0", "-1", "7.0", "x", "1e30", "40"], k=count))
        for count in dice.choices([5, 18, 19], k=2_000)
    ]
    workload = read(put("log.swf", "\n".join(lines)))
    jobs = list(workload.jobs())
    told = workload.findings.found
    late = told["an arrival before that of an earlier one"].count
    assert len(jobs) + workload.findings.count - late == 2_000
    assert len(jobs) > 10


def test_a_stray_quote_costs_one_line(put, jobs_of):
    body = 'arrival_time,length,cpus\n1,1,1\n2,"1,1\n3,1,1\n4,1,1,1\n5,"1",1\n'
    jobs, found = jobs_of(put("a.csv", body))
    assert [job.submitted_ms // 3_600_000 for job in jobs] == [1, 3, 5]
    assert found == {"broken quoting": 1, "another number of fields than the header has": 1}


def test_a_line_without_end_costs_one_line(put, jobs_of):
    good = "1 {} 0 60 4 -1 -1 4 90 -1 1 7 1 1 1 1 -1 -1\n"
    body = good.format(1) + "9" * (2 * LONGEST_LINE + 5) + "\n" + good.format(2)
    jobs, found = jobs_of(put("log.swf", body))
    assert [job.submitted_ms for job in jobs] == [1_000, 2_000]
    assert found == {"a line of more than 1 MiB": 1}


def test_made_up_devices_do_not_fill_the_findings(put):
    head = "organization,gpu_model,cpu_request,gpu_request,worker_num,submit_time,duration,job_type"
    rows = [f"1,card{i},1,1,1,{i},5,HP" for i in range(500)]
    workload = read(put("jobs.csv", "\n".join([head, *rows])))
    assert sum(1 for _ in workload.jobs()) == 500
    assert len(workload.findings.found) <= 40
    assert workload.findings.count == 500


def test_a_prime_number_of_processors_does_not_hang(put, jobs_of):
    good = "1 0 0 60 4 -1 -1 4 90 -1 1 7 1 1 1 1 -1 -1\n"
    bad = "2 0 0 60 4 -1 -1 999999999989 90 -1 1 7 1 1 1 1 -1 -1\n"
    jobs, found = jobs_of(put("log.swf", good + bad), procs_per_node=8)
    assert (len(jobs), found) == (1, {"needs of no reasonable size": 1})
    assert spread(100_000, 1) == (100_000, 1)


def test_places_that_are_no_files(tmp_path):
    with pytest.raises(NotFoundError):
        read(tmp_path / "none.swf")
    with pytest.raises(NotFoundError):
        read(tmp_path / "none.swf", "swf")
    with pytest.raises(UnavailableError, match="Is a directory"):
        read(tmp_path)


def test_a_damaged_parquet_file(put):
    with pytest.raises((InputError, UnavailableError)):
        read(put("x.parquet", b"PAR1" + b"\x00" * 100))


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("swf", {"procs_per_nod": 1}, "swf has no option 'procs_per_nod'"),
        ("swf", {"procs_per_node": "many"}, "procs_per_node is 'many'"),
        ("swf", {"procs_per_node": -1}, "procs_per_node is -1"),
        ("swf", {"queues": 1}, "queues is 1"),
        ("none", {}, "no kind of workload 'none'"),
    ],
)
def test_wrong_options_are_told(put, kind, options, said):
    with pytest.raises(InputError, match=said):
        read(put("log.swf", "1\n"), kind, **options)
