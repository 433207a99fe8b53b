"""The published schedules (pyss, SC'15 "predictsim"), job by job."""

import numpy as np
import pytest

from fenglin.simulator.swf import read_trace
from fenglin.simulator.swf_run import BatchPolicy, Runtime, fares, map_nodes, simulate
from fenglin.simulator.trace import usable

pl = pytest.importorskip("polars", reason="the extra `simulate` is not installed")
pytest.importorskip("numba", reason="the extra `simulate` is not installed")

SMALL = [("KTH-SP2", 100, 28_481), ("SDSC-SP2", 128, 54_006)]
LOGS = [*SMALL, ("CEA-curie", 80_640, 295_540)]
CELLS = [
    (BatchPolicy.EASY, Runtime.REQUESTED, "wait_easy_s", "EASY(requested time)"),
    (BatchPolicy.EASY, Runtime.ACTUAL, "wait_easy_clairvoyant_s", "EASY(actual time)"),
    (BatchPolicy.EASY_SJBF, Runtime.ACTUAL, "wait_easy_sjbf_clairvoyant_s",
     "EASY-SJBF(actual time)"),
]  # fmt: skip


@pytest.fixture(params=LOGS, ids=lambda log: log[0])
def log(request, archive):
    """Return the table of a log, its machine and its jobs."""
    name, procs, count = request.param
    path = archive(f"{name}.easy_reference.parquet")
    trace = usable(read_trace(path), procs, needs_request=True)
    assert len(trace) == count
    assert trace.findings.count == 0
    return name, procs, trace, pl.read_parquet(path)


@pytest.fixture(params=SMALL, ids=lambda log: log[0])
def small(request, archive):
    """Return the machine and the jobs of a small log."""
    name, procs, _ = request.param
    path = archive(f"{name}.easy_reference.parquet")
    return procs, usable(read_trace(path), procs, needs_request=True)


@pytest.mark.slow
@pytest.mark.parametrize(("policy", "runtime", "column", "published"), CELLS)
def test_every_wait_is_the_published_one(log, archive, policy, runtime, column, published):
    name, procs, trace, table = log
    found = fares(trace, simulate(trace, procs, policy, runtime).start_s)
    wrong = np.flatnonzero(found.wait_s != table[column].to_numpy())
    assert wrong.size == 0, f"{wrong.size} waits differ, first that of job {trace.job_id[wrong[0]]}"
    metrics = pl.read_csv(archive("easy_reference_metrics.csv")).row(
        by_predicate=(pl.col("log") == name) & (pl.col("policy") == published), named=True
    )
    assert found.mean_bounded_slowdown == pytest.approx(metrics["avg_bsld_tau10"], abs=6e-5)
    assert found.max_bounded_slowdown == pytest.approx(metrics["max_bsld"], rel=1e-5)
    assert found.mean_wait_s == pytest.approx(metrics["mean_wait_s"], abs=6e-3)


def test_conservative_keeps_every_promise(small):
    procs, trace = small
    for runtime in Runtime:
        done = simulate(trace, procs, BatchPolicy.CONSERVATIVE, runtime)
        assert (done.start_s <= done.first_s).all()
        assert (done.start_s >= trace.submit_s).all()
    # With requests many jobs end early, so that some start before they were promised to.
    assert (done.start_s < done.first_s).any()


@pytest.mark.slow
@pytest.mark.parametrize("policy", BatchPolicy)
def test_plain_and_compiled_agree_on_a_part(small, policy):
    procs, trace = small
    part = trace.only(np.arange(2_500))
    for runtime in Runtime:
        ours = simulate(part, procs, policy, runtime)
        plain = simulate(part, procs, policy, runtime, plain=True)
        assert (ours.compiled, plain.compiled) == (True, False)
        assert np.array_equal(ours.start_s, plain.start_s)


def test_no_node_has_two_jobs(small):
    procs, trace = small
    start_s = simulate(trace, procs, BatchPolicy.EASY, Runtime.REQUESTED).start_s
    given = map_nodes(trace, procs, start_s)
    counts = np.zeros(len(trace), dtype=np.int64)
    np.add.at(counts, given.job, given.length)
    assert np.array_equal(counts, trace.procs)
    assert given.first.min() == 0
    assert (given.first + given.length).max() <= procs
    node = np.concatenate(
        [np.arange(a, a + n) for a, n in zip(given.first, given.length, strict=True)]
    )
    job = np.repeat(given.job, given.length)
    # By node and start: each use of a node ends before the next one begins.
    order = np.lexsort((start_s[job], node))
    node, job = node[order], job[order]
    same = node[1:] == node[:-1]
    end_s = start_s[job] + trace.run_s[job]
    assert (end_s[:-1] <= start_s[job][1:])[same].all()
