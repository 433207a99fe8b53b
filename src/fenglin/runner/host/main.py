# ruff: noqa: PTH100, PTH123, TID252
"""Entry of the runner: claim the attempt, then run it to its end."""

from __future__ import annotations

import os

from . import claim, proc
from .journal import Journal
from .loop import Runner
from .order import Order, read

TASK_OOM_SCORE = "300"
FILES_PER_TASK = 5
SPARE_FILES = 64


def main(directory: str) -> int:
    """Run the attempt in `directory`; return the exit status, 0 also when another has it."""
    directory = os.path.abspath(directory)
    stat = proc.stat_of(os.getpid())
    start_ticks = stat[0] if stat else 0
    if not claim.take(directory, claim.Claim(os.getpid(), start_ticks, proc.boot_id())):
        return 0
    order = Order(read(directory, last=True))
    os.environ[proc.MARK_VARIABLE] = proc.mark(order.key, os.getpid(), start_ticks)
    _limits(order)
    Runner(directory, order, Journal(directory, order.key), start_ticks).run()
    return 0


def _limits(order: Order) -> None:
    """Set what all tasks inherit: no core files; the kernel short of memory takes us, not the hub.

    The limit of open files is raised only when the slots need it, since tasks inherit it too.
    """
    import resource  # noqa: PLC0415 - a shared object; loaded after the claim is taken

    os.nice(order.nice)
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    need = (FILES_PER_TASK + order.nodes) * order.slots + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if need > soft != resource.RLIM_INFINITY:
        ceiling = need if hard == resource.RLIM_INFINITY else min(need, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (ceiling, hard))
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write(TASK_OOM_SCORE)
    except OSError:
        return
