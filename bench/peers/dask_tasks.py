"""Dask distributed: a local cluster of two worker processes with one thread each."""

from __future__ import annotations

from distributed import Client, LocalCluster

from bench.peers.spawning import nothing, spawn_true
from bench.peers.timing import arguments, timed


def main() -> None:
    """Run the batch."""
    tasks, kind = arguments()
    work = spawn_true if kind == "process" else nothing
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):

        def batch(count: int) -> int:
            return sum(map(bool, client.gather(client.map(work, range(count), pure=False))))

        timed(batch, tasks)


if __name__ == "__main__":
    main()
