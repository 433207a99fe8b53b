"""Small traces written by hand, and the real ones where they are."""

import gzip
import os
from pathlib import Path

import pytest

from fenglin.simulator.readers.registry import read

ROOT = Path(__file__).parents[3]


@pytest.fixture
def put(tmp_path):
    """Write a file; a name that ends in .gz is compressed, and may be cut."""

    def write(name, body, *, cut=0):
        data = body.encode() if isinstance(body, str) else body
        if name.endswith(".gz"):
            data = gzip.compress(data, mtime=0)
        path = tmp_path / name
        path.write_bytes(data[: len(data) - cut])
        return path

    return write


@pytest.fixture
def put_table(tmp_path):
    """Write columns as Parquet."""
    pl = pytest.importorskip("polars", reason="Parquet needs the extra `simulate`")

    def write(name, columns):
        path = tmp_path / name
        pl.DataFrame(columns, strict=False).write_parquet(path)
        return path

    return write


@pytest.fixture
def jobs_of():
    """Read a file: its jobs and, by what they are, how often findings were met."""

    def run(path, kind="auto", **options):
        workload = read(path, kind, **options)
        jobs = list(workload.jobs())
        assert [job.number for job in jobs] == list(range(1, len(jobs) + 1))
        moments = [job.submitted_ms for job in jobs]
        assert moments == sorted(moments)
        # A second run sees the same jobs, and counts nothing again.
        counted = workload.findings.count
        assert list(workload.jobs()) == jobs
        assert workload.findings.count == counted
        return jobs, {one.what: one.count for one in workload.findings.found.values()}

    return run


@pytest.fixture
def archive():
    """Return a file of the reference data by its path; skip where there is none."""
    home = Path(os.environ.get("FENGLIN_TEST_DATA", ROOT.parent / "shared" / "data"))

    def find(name):
        path = home / name
        if not path.exists():
            pytest.skip(f"the reference data is not here: no {path} (FENGLIN_TEST_DATA names it)")
        return path

    return find
