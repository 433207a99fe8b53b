"""Figures and rows of a run."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fenglin.quantities.resources import Resources
from fenglin.simulator.pool.sketch import ERROR, Sketch
from fenglin.simulator.pool.summary import Summary
from fenglin.simulator.reports.rows import RowFiles
from fenglin.simulator.workload import WorkJob
from fenglin.snapshot.snapshot import Shape

ONE_CORE, FOUR_CORES = Shape(Resources(1_000)), Shape(Resources(4_000))


def test_quantiles_keep_their_promise():
    values = np.random.default_rng(5).lognormal(3, 2, 20_000)
    sketch = Sketch()
    for value in values:
        sketch.add(float(value))
    for part in (0.0, 0.01, 0.5, 0.95, 0.999, 1.0):
        exact = float(np.quantile(values, part, method="lower"))
        assert sketch.quantile(part) == pytest.approx(exact, rel=2.1 * ERROR)
    assert sketch.mean == pytest.approx(values.mean())
    assert sketch.largest == values.max()
    rising = [part for _, part in sketch.curve()]
    assert rising == sorted(rising)
    assert rising[-1] == 1.0


def test_zeros_count_and_nothing_is_nothing():
    sketch = Sketch()
    assert (sketch.mean, sketch.quantile(0.5), sketch.curve()) == (0.0, 0.0, [])
    for value in (0, 0, 0, 8):
        sketch.add(value)
    assert sketch.quantile(0.5) == 0.0
    assert sketch.quantile(1.0) == 8.0
    assert sketch.curve()[0] == (0.0, 0.75)


def test_figures_worked_by_hand(simulate):
    jobs = [WorkJob(i, 0, FOUR_CORES, (100_000,), estimate_ms=100_000) for i in (1, 2, 3)]
    kept, _ = simulate(jobs)
    summary = Summary()
    for row in kept.jobs:
        summary.job(row)
    for run in kept.runs:
        summary.run(run)
    for sample in kept.samples:
        summary.sample(sample)
    summary.close()
    figures = summary.figures()
    assert figures["mean_wait_s"] == pytest.approx(100 / 3)
    assert figures["makespan_s"] == 200.0
    # Two nodes for 100 s, then one of two for 100 s.
    assert figures["used"]["cpu_milli"] == pytest.approx(0.75)
    assert figures["mean_bounded_slowdown"] == pytest.approx((1 + 1 + 2) / 3)
    assert figures["slot_h_by_site"] == {"here/std": pytest.approx(300 / 3_600)}
    assert figures["work_h"] == pytest.approx(300 / 3_600)


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_rows_are_written_part_by_part(simulate, tmp_path, form):
    polars = pytest.importorskip("polars", reason="needs fenglin[simulate]")
    kept, _ = simulate([WorkJob(i, i * 900, ONE_CORE, (1_000,)) for i in range(1, 8)])
    files = RowFiles(tmp_path / "out", form, part_rows=3)
    for row in kept.jobs:
        files.job(row)
    for run in kept.runs:
        files.run(run)
    for sample in kept.samples:
        files.sample(sample)
    files.close()
    files.figures({"jobs": 7})
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert [name for name in names if name.startswith("jobs")] == [
        f"jobs-0000{part}.{form}" for part in range(3)
    ]
    read = polars.read_parquet if form == "parquet" else polars.read_ndjson
    parts = [read(tmp_path / "out" / name) for name in names if name.startswith("jobs")]
    table = polars.concat(parts)
    assert table["job"].to_list() == [row.job for row in kept.jobs]
    assert json.loads((tmp_path / "out" / "figures.json").read_text()) == {"jobs": 7}
