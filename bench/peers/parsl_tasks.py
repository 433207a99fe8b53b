"""Parsl: the high-throughput executor with two workers on this machine."""

from __future__ import annotations

import tempfile

import parsl
from parsl import python_app
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider

from bench.peers.spawning import nothing, spawn_true
from bench.peers.timing import arguments, timed


def main() -> None:
    """Run the batch."""
    tasks, kind = arguments()
    work = python_app(spawn_true if kind == "process" else nothing)
    with tempfile.TemporaryDirectory() as folder:
        config = Config(
            executors=[
                HighThroughputExecutor(
                    label="two",
                    address="127.0.0.1",
                    max_workers_per_node=2,
                    cores_per_worker=1,
                    encrypted=False,
                    provider=LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1),
                )
            ],
            run_dir=folder,
            initialize_logging=False,
        )
        with parsl.load(config):

            def batch(count: int) -> int:
                return sum(bool(future.result()) for future in [work(i) for i in range(count)])

            timed(batch, tasks)


if __name__ == "__main__":
    main()
