"""The peer of the row `ray`: the entrypoint of one Ray job that runs so many processes `true`.

    python ray_job.py 1000

Each is a Ray task of one core, started by the quickest way that Python has. Needs `ray`, nothing
of ours; runs on the cluster.
"""

import os
import sys

import ray

TRUE = "/bin/true"


@ray.remote(num_cpus=1, max_retries=0)
def run() -> int:
    """Run one process to its end; return its exit status."""
    pid = os.posix_spawn(TRUE, [TRUE], os.environ)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    ray.init(log_to_driver=False, logging_level="error")
    codes = ray.get([run.remote() for _ in range(int(sys.argv[1]))])
    sys.exit(any(codes))
