"""The limit: two processes that do nothing but start `true` and wait for it, with no scheduler."""

from __future__ import annotations

import os

from bench.peers.spawning import spawn_true
from bench.peers.timing import arguments, timed

SLOTS = 2


def batch(count: int) -> int:
    """Share the tasks between two children; return how many children went wrong."""
    children = []
    for slot in range(SLOTS):
        pid = os.fork()
        if pid == 0:
            wrong = sum(map(bool, map(spawn_true, range(slot, count, SLOTS))))
            os._exit(1 if wrong else 0)
        children.append(pid)
    return sum(bool(os.waitpid(pid, 0)[1]) for pid in children)


if __name__ == "__main__":
    timed(batch, arguments()[0])
