"""The openb folder of the reference data, and a tiny one of our own."""

import gzip
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

NODES = """sn,cpu_milli,memory_mib,gpu,model
node-a,32000,65536,2,T4
node-b,64000,65536,4,G2
"""
PODS = """name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec
p0,4000,1024,1,500,
p1,4000,1024,1,1000,G2|T4
p2,8000,1024,2,1000,G2
p3,2000,1024,0,0,
p4,4000,1024,1,1000,H100
"""


@pytest.fixture
def openb():
    """Return the published experiment's folder; skip where there is none."""
    home = Path(os.environ.get("FENGLIN_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not (home / "fgd").is_dir():
        pytest.skip(f"the reference data is not here: no {home}/fgd (FENGLIN_TEST_DATA names it)")
    return home / "fgd"


@pytest.fixture
def tiny(tmp_path):
    """Return a folder with a workload `tiny` of nine arrivals, seeds 1 and 2."""
    polars = pytest.importorskip("polars", reason="Polars is not installed: fenglin[simulate]")
    (tmp_path / "nodes_gpu.csv.gz").write_bytes(gzip.compress(NODES.encode()))
    (tmp_path / "pods_tiny.csv.gz").write_bytes(gzip.compress(PODS.encode()))
    rows = {1: [0, 1, 2, 3, 4, 0, 1, 2, 0], 2: [2, 1, 0, 2, 1, 3, 4, 0, 1]}
    arrivals = [
        ("tiny", seed, pos, row) for seed, order in rows.items() for pos, row in enumerate(order)
    ]
    polars.DataFrame(
        arrivals[::-1], schema=["workload", "seed", "pos", "pod_row"], orient="row"
    ).write_parquet(tmp_path / "arrivals.parquet")
    polars.DataFrame(
        [("tiny", seed, name, i) for seed in rows for i, name in enumerate(("node-b", "node-a"))],
        schema=["workload", "seed", "node_sn", "order"],
        orient="row",
    ).write_parquet(tmp_path / "node_order.parquet")
    return tmp_path
