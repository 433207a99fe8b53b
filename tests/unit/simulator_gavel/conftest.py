"""Gavel's folder of the reference data, a tiny one of our own, and tables made up by hand."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest

from fenglin.planner.rounds.columns import Rates

ROOT = Path(__file__).parents[3]
FAST, SLOW = "('Net', 1)", "('Big', 2)"
# Steps per second: alone, and with a mate of the own kind on the same workers.
TABLE = {
    "v100": {
        FAST: {"null": 10.0, FAST: [8.0, 8.0], SLOW: [0.0, 0.0]},
        SLOW: {"null": 4.0, SLOW: [1.0, 1.0], FAST: [0.0, 0.0]},
    },
    "k80": {
        FAST: {"null": 5.0, FAST: [2.0, 2.0], SLOW: [0.0, 0.0]},
        SLOW: {"null": 1.0, SLOW: [0.0, 0.0], FAST: [0.0, 0.0]},
    },
}


@pytest.fixture(scope="session")
def gavel():
    """Return the published experiment's folder; skip where there is none."""
    home = Path(os.environ.get("FENGLIN_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not (home / "dl" / "gavel").is_dir():
        pytest.skip(f"the reference data is not here: no {home}/dl/gavel (FENGLIN_TEST_DATA)")
    return home / "dl" / "gavel"


@pytest.fixture
def rates():
    """Return tables of two types and three kinds; the last kind takes two workers."""
    alone = np.array([[10.0, 4.0, 6.0], [5.0, 3.6, 0.0]])
    beside = np.zeros((2, 3, 3))
    beside[0, 0, 1], beside[0, 1, 0] = 7.0, 3.0
    beside[0, 0, 0] = 6.0
    beside[1, 1, 1] = 2.0
    beside[0, 2, 2] = 4.0
    return Rates(alone, beside, alone.max(axis=0), np.array([1, 1, 2]))


@pytest.fixture
def folder(tmp_path):
    """Return a folder of eight jobs, one an hour, four of which take two workers in `multi`."""
    polars = pytest.importorskip("polars", reason="Polars is not installed: fenglin[simulate]")
    table = json.dumps(TABLE).encode()
    (tmp_path / "simulation_throughputs.json.gz").write_bytes(gzip.compress(table))
    for name in ("single", "multi"):
        rows = [
            (3, job, float(job), "Big", 2, 0.0, 14_400.0)
            if name == "multi" and job % 2
            else (3, job, float(job), "Net", 1, 0.0, 36_000.0)
            for job in range(8)
        ]
        polars.DataFrame(
            rows,
            schema=[
                "seed",
                "job_id",
                "unit_arrival",
                "job_type",
                "scale_factor",
                "v100_duration_s",
                "total_steps",
            ],
            orient="row",
        ).write_parquet(tmp_path / f"continuous_{name}_seed3.parquet")
    (tmp_path / "published_avg_jct.csv").write_text(
        "workload,jobs_per_hour,policy,avg_jct_hours\nsingle,1.0,fifo,1.5\nsingle,1.0,allox,1.25\n"
    )
    return tmp_path
