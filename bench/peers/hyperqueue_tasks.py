"""HyperQueue: server and one worker of two cores, from its Python package; every task a process.

No output is kept, which is the quickest it can do.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile

from hyperqueue import Job
from hyperqueue.cluster import LocalCluster, WorkerConfig

from bench.peers.timing import arguments, timed


def main() -> None:
    """Run the batch."""
    tasks, _ = arguments()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        cluster = LocalCluster(server_dir=folder, worker_config=WorkerConfig(cores=2))
        client = cluster.client()

        def batch(count: int) -> int:
            job = Job(max_fails=None)
            for _ in range(count):
                job.program(["true"], stdout=None, stderr=None)
            return 0 if client.wait_for_jobs([client.submit(job)]) else count

        timed(batch, tasks)
        # Stopping server and worker takes seconds and proves nothing: they live in this process.
        sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
