"""The published traces: how many jobs, and what is wrong in them, to the last line."""

import pytest

from fenglin.errors import InputError
from fenglin.simulator.readers.registry import read, recognise
from fenglin.simulator.swf import read_trace
from fenglin.simulator.trace import usable

NEVER_RAN = "a negative runtime (never ran, or unknown)"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind", "options", "jobs", "found"),
    [
        ("fgd/pods_default.csv.gz", "openb", {}, 7_255, {NEVER_RAN: 897}),
        ("traces/alibaba_v2025_dlrm.parquet", "dlrm", {}, 14_850,
         {"not deleted within the trace": 5_436,
          "an arrival before that of an earlier one": 2_853}),
        ("traces/alibaba_v2026_genai_lora_request_trace.parquet", "genai", {}, 26_790,
         {NEVER_RAN: 33}),
        ("dl/philly_sia.parquet", "philly-table", {}, 55_652, {}),
        ("traces/gaia_pai-100k.parquet", "gaia", {"jobs": 1_000}, 1_000, {}),
        ("dl/gavel/continuous_multi_seed0_1_2.parquet", "gavel", {"trace_seed": 2}, 8_000, {}),
        ("dl/sia/workloads.parquet", "sia", {"trace_set": "scale/rate_20"}, 160, {}),
        ("hpc_swf/metacentrum-wagap-2013.swf.gz", "swf", {}, 17_898, {NEVER_RAN: 2}),
        ("hpc_swf/KTH-SP2.easy_reference.parquet", "columns", {}, 28_481, {}),
    ],
)  # fmt: skip
def test_published_traces(archive, name, kind, options, jobs, found):
    path = archive(name)
    if name.endswith(".parquet"):
        pytest.importorskip("polars", reason="Parquet needs the extra `simulate`")
    assert recognise(path).name == kind
    workload = read(path, **options)
    moments = [(job.submitted_ms, job.number) for job in workload.jobs()]
    assert moments == sorted(moments)
    assert len(moments) == jobs
    assert {one.what: one.count for one in workload.findings.found.values()} == found


@pytest.mark.slow
def test_the_stream_has_the_jobs_of_the_columns(archive):
    """Two readers of one format agree, job by job."""
    path = archive("hpc_swf/KTH-SP2-1996-2.1-cln.swf.gz")
    trace = usable(read_trace(path), 10**6, needs_request=False)
    columns = zip(
        (trace.submit_s * 1_000).tolist(), (trace.run_s * 1_000).tolist(),
        (trace.procs * 1_000).tolist(), (trace.request_s.clip(0) * 1_000).tolist(), strict=True,
    )  # fmt: skip
    stream = (
        (job.submitted_ms, job.runtimes_ms[0], job.shape.resources.cpu_milli, job.estimate_ms)
        for job in read(path).jobs()
    )
    assert list(stream) == list(columns)


def test_nodes_are_no_workload(archive):
    with pytest.raises(InputError, match="machines, not jobs"):
        recognise(archive("traces/alibaba_v2026_spot_gpu_nodes.csv.gz"))
