"""A small folder of measured times and jobs."""

import pytest

KINDS = (("aws", 1.0), ("dgx-ext", 4.0), ("rtx", 2.0))
SIZES = {"aws": (4, 6), "dgx-ext": (8, 2), "rtx": (8, 3)}

# Cards of five T4 nodes, which Sia did not measure either.
FIVE_NODES = 20


def measured():
    """Yield rows: a pass of 0.1 s for 32 samples on T4; summing costs more across nodes."""
    for kind, speed in KINDS:
        each, nodes = SIZES[kind]
        for placement in [(n,) for n in range(1, each + 1)] + [
            (each,) * n for n in range(2, nodes + 1) if each * n != FIVE_NODES
        ]:
            cards = sum(placement)
            sync = 0.0 if cards == 1 else 0.01 + 0.001 * cards + 0.05 * (len(placement) > 1)
            for local in (32, 64, 128):
                name = "".join(map(str, placement))
                yield "net", kind, name, local, local / 320 / speed + sync, sync


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Return a folder of one application and a dozen jobs, two minutes apart."""
    polars = pytest.importorskip("polars", reason="Polars is not installed: fenglin[simulate]")
    home = tmp_path_factory.mktemp("sia")
    names = ["model", "gpu_type", "placement", "local_bsz", "step_time", "sync_time"]
    rows = list(measured())
    polars.DataFrame(rows, schema=names, orient="row").write_parquet(home / "placements.parquet")
    names = [
        "model",
        "gpu_type",
        "num_nodes",
        "num_replicas",
        "local_bsz",
        "step_time",
        "sync_time",
    ]
    rows = [("net", "aws", 6, 20, 32.0, 0.3, 0.2), ("net", "aws", 6, 20, 64.0, 0.4, 0.2)]
    polars.DataFrame(rows, schema=names, orient="row").write_parquet(home / "scalability.parquet")
    names = ["model", "batch_size", "progress", "grad_sqr", "grad_var"]
    rows = [
        ("net", batch, 4_000.0 * epoch, 1.0, 20.0)
        for batch in (128, 512, 2048)
        for epoch in (1, 2, 3)
    ]
    polars.DataFrame(rows, schema=names, orient="row").write_parquet(home / "validation.parquet")
    names = ["set", "workload", "name", "time", "application", "num_replicas", "batch_size"]
    rows = [("small", 1, f"net-{j}", 100.0 + 120.0 * j, "net", 4, 512) for j in range(12)]
    rows += [("scale/scale_4x", 1, f"net-{j}", 30.0 * (j // 4), "net", 2, 512) for j in range(8)]
    rows += [("odd", 1, "other-0", 0.0, "other", 2, 512)]
    polars.DataFrame(rows, schema=names, orient="row").write_parquet(home / "workloads.parquet")
    return home
