"""Batch logs, good and bad: what cannot be used is told with its place, never dropped silently."""

import gzip

import numpy as np
import pytest

from fenglin.errors import InputError, NotFoundError
from fenglin.simulator.swf import read_trace
from fenglin.simulator.trace import usable


def line(number, submit=0, run=10, procs=1, asked=60, **other):
    """Return one line of SWF."""
    words = [-1] * 18
    words[0], words[1], words[3], words[7], words[8], words[11] = (
        number, submit, run, procs, asked, 7,
    )  # fmt: skip
    for place, value in other.items():
        words[int(place.removeprefix("f")) - 1] = value
    return " ".join(map(str, words))


@pytest.fixture
def read(tmp_path):
    """Write lines into a file, read it, and keep what can be used on 4 processors."""

    def do(*lines, name="log.swf", needs_request=True):
        path = tmp_path / name
        data = "\n".join(lines).encode() + b"\n"
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return usable(read_trace(path), 4, needs_request=needs_request)

    return do


def found(trace):
    return {one.what: (one.count, one.lines, one.done) for one in trace.findings.found.values()}


@pytest.mark.parametrize("name", ["log.swf", "log.swf.gz", "log.gz", "no-ending"])
def test_a_good_log(read, name):
    trace = read("; MaxProcs: 128", "", line(3, 5, 9, 2, 60), line(4, 6, 8, 1, 50), name=name)
    assert trace.job_id.tolist() == [3, 4]
    assert trace.submit_s.tolist() == [5, 6]
    assert trace.run_s.tolist() == [9, 8]
    assert trace.procs.tolist() == [2, 1]
    assert trace.request_s.tolist() == [60, 50]
    assert trace.user_id.tolist() == [7, 7]
    assert trace.machine_procs == 128
    assert found(trace) == {}


def test_given_processors_where_none_were_asked_for(read):
    assert read(line(1, procs=-1, f5=3)).procs.tolist() == [3]
    assert read(line(1, procs=2, f5=3)).procs.tolist() == [2]


def test_whole_numbers_written_with_a_point_and_fields_behind_the_last(read):
    trace = read(line(1, run="12.0") + " {1,1} q_1d")
    assert trace.run_s.tolist() == [12]


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        ("1 2 3", "fewer than 18 fields"),
        (line(2, submit="soon"), "a field that is no whole number of reasonable size"),
        (line(2, run="1.5"), "a field that is no whole number of reasonable size"),
        (line(2, run="nan"), "a field that is no whole number of reasonable size"),
        (line(2, run=10**13), "a field that is no whole number of reasonable size"),
        (line(2, run="9" * 5_000), "a field that is no whole number of reasonable size"),
        ("\x00\x01\x02", "fewer than 18 fields"),
        (line(2, run=-1), "a negative runtime (never ran, or unknown)"),
        (line(2, procs=5), "more processors than the machine's 4"),
        (line(2, procs=0, f5=0), "no processors"),
        (line(2, submit=-1), "an arrival before time 0"),
        (line(2, asked=-1), "no requested time"),
        (line(1), "a job number seen before"),
    ],
)
def test_a_bad_line_is_told_with_its_number(read, bad, what):
    trace = read("; a comment", line(1), bad, line(9))
    assert trace.job_id.tolist() == [1, 9]
    assert found(trace) == {what: (1, [3], "skipped")}
    assert trace.findings.sentences() == [f"log.swf: {what}, 1 × (lines 3): skipped"]
    assert trace.findings.skipped == 1


def test_a_job_counts_once_however_bad_it_is(read):
    trace = read(line(1, run=-1, procs=9, asked=-1), line(2))
    assert trace.findings.count == 1


def test_a_request_is_not_needed_for_actual_times(read):
    assert read(line(1, asked=-1), needs_request=False).findings.count == 0


def test_arrivals_out_of_order_are_sorted_and_told(read):
    trace = read(line(1, 50), line(2, 10), line(3, 50), line(4, 20))
    assert trace.job_id.tolist() == [2, 4, 1, 3]
    assert found(trace) == {"an arrival before that of an earlier line": (2, [2, 4], "sorted")}
    assert trace.findings.skipped == 0


def test_only_the_first_places_are_listed(read):
    trace = read(*(line(i, run=-1) for i in range(1, 9)), line(9))
    (sentence,) = trace.findings.sentences()
    assert "8 × (lines 1, 2, 3, 4, 5, …)" in sentence


@pytest.mark.parametrize("cut", [-9, -40, 300])
def test_gz_that_ends_early_keeps_what_came_before(tmp_path, cut):
    random = np.random.default_rng(1).integers(1, 10**6, 500)
    lines = [line(i, i, int(run)) for i, run in enumerate(random, start=1)]
    path = tmp_path / "log.swf.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode())[:cut])
    trace = usable(read_trace(path), 4, needs_request=True)
    (finding,) = [one for one in trace.findings.found.values() if "ends early" in one.what]
    assert len(trace) < 500 or cut == -9
    assert trace.run_s.tolist() == random[: len(trace)].tolist()
    assert finding.lines[0] >= len(trace)


def test_gz_that_is_damaged_inside(tmp_path):
    data = bytearray(gzip.compress("\n".join(line(i) for i in range(2_000)).encode()))
    data[len(data) // 2 : len(data) // 2 + 8] = b"\xff" * 8
    path = tmp_path / "log.swf.gz"
    path.write_bytes(data)
    assert any("ends early" in what for what in found(read_trace(path)))


def test_no_file(tmp_path):
    with pytest.raises(NotFoundError):
        read_trace(tmp_path / "none.swf")


def test_an_empty_file_is_an_empty_trace(read):
    assert len(read("")) == 0


@pytest.fixture
def table(tmp_path):
    """Write columns as Parquet; return the path."""
    pl = pytest.importorskip("polars", reason="the extra `simulate` is not installed")

    def do(**columns):
        good = {"job_id": [1, 2], "submit_s": [0, 5], "run_s": [3, 4], "procs": [1, 2],
                "req_time_s": [9, 9], "user_id": [1, 1]}  # fmt: skip
        path = tmp_path / "log.parquet"
        kept = {name: values for name, values in (good | columns).items() if values is not None}
        pl.DataFrame(kept, strict=False).write_parquet(path)
        return path

    return do


def test_parquet(table):
    trace = read_trace(table())
    assert trace.job_id.tolist() == [1, 2]
    assert trace.request_s.tolist() == [9, 9]
    assert trace.findings.count == 0


def test_parquet_needs_no_users(table):
    assert read_trace(table(user_id=None)).user_id.tolist() == [-1, -1]


def test_parquet_with_a_missing_column(table):
    with pytest.raises(InputError, match="missing columns: run_s, procs"):
        read_trace(table(run_s=None, procs=None))


def test_parquet_with_text_for_numbers(table):
    with pytest.raises(InputError, match="column run_s holds no numbers"):
        read_trace(table(run_s=["3", "4"]))


@pytest.mark.parametrize("bad", [None, float("nan"), float("inf"), 1.5, 1e300])
def test_parquet_with_a_bad_value(table, bad):
    trace = read_trace(table(run_s=[bad, 4.0]))
    assert trace.job_id.tolist() == [2]
    what = "a field that is no whole number of reasonable size"
    assert found(trace) == {what: (1, [1], "skipped")}
    assert "(rows 1)" in trace.findings.sentences()[0]


def test_what_only_calls_itself_parquet(tmp_path):
    pytest.importorskip("polars", reason="the extra `simulate` is not installed")
    path = tmp_path / "log.parquet"
    path.write_bytes(b"not at all")
    with pytest.raises(InputError, match="no Parquet file"):
        read_trace(path)


def test_a_real_archive_log(archive):
    trace = read_trace(archive("SDSC-SP2-1998-4.2-cln.swf.gz"))
    assert trace.machine_procs == 128
    left = usable(trace, 128, needs_request=True)
    assert found(left).keys() == {"a negative runtime (never ran, or unknown)", "no requested time"}
    assert len(left) + left.findings.skipped == 59_715
