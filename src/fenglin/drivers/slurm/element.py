# ruff: noqa: ANN401, PTH100, PTH102, PTH105, PTH110, PTH123
"""One element of the array, on a compute node: `import element; element.begin(ATTEMPT_DIR)`.

Imported, not run as a file, so that Python keeps it compiled: with a task of no length each
millisecond here is two per cent of what Slurm itself spends on an element. It stands beside a
copy of `fenglin.runner.host` in the shared folder and imports nothing else but the standard
library, so that nodes need Python 3.9 and nothing of ours. It binds the attempt to its array
(whichever array comes first, so that a job submitted twice runs once), makes its own folder `eN`
(an element runs once), and is then a runner like any other. SIGTERM is how it hears of a stop: a
FIFO does not reach over a network file system.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

SIGTERM = 15
SIGALRM = 14
LOOK_S = 5.0
STOP = "stop"
UNWANTED = "unwanted"
CONTROL = "control"
BOUND_BY = "slurm"


def begin(attempt: str) -> None:
    """Run this element's tasks and leave at once: taking an interpreter down takes time too."""
    status = main(attempt)
    sys.stderr.flush()
    os._exit(status)


def main(attempt: str) -> int:
    """Run this element's tasks; return the exit status, 0 also when there is nothing to do."""
    attempt = os.path.abspath(attempt)
    job = os.environ.get("SLURM_ARRAY_JOB_ID") or os.environ["SLURM_JOB_ID"]
    element = int(os.environ.get("SLURM_ARRAY_TASK_ID", "0"))
    claims = _host("claim")
    claim = claims.read(attempt)
    if claim is None:
        claims.take(attempt, claims.Claim(int(job), 0, BOUND_BY))
        claim = claims.read(attempt)
    if claim.void or claim.pid != int(job) or os.path.exists(f"{attempt}/{STOP}"):
        return 0
    folder = f"{attempt}/e{element}"
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        return 0
    _heed(attempt, folder)
    _run(attempt, folder, element)
    return 0


def _run(attempt: str, folder: str, element: int) -> None:
    """Be the runner of this element's part."""
    orders, proc = _host("order"), _host("proc")
    # Other elements read the secrets too; the hub removes them when all have ended.
    values = orders.read(attempt, last=False)
    values["tasks"] = [part(orders.indices(values["tasks"][0]), values["chunk"][0], element)]
    here = os.environ.get("SLURMD_NODENAME", os.uname().nodename)
    nodes = [here] if values["nodes"] == ["1"] else __import__("gang").nodes()
    values["share"] = [f"1 {node}" for node in nodes]
    order = orders.Order(values)
    # On the shared file system, so that what one element's setup makes is there for all.
    order.envs_dir = attempt.rsplit("/", 2)[0] + "/envs"
    stat = proc.stat_of(os.getpid())
    ticks = stat[0] if stat else 0
    os.environ[proc.MARK_VARIABLE] = proc.mark(order.key, os.getpid(), ticks)
    journal = _host("journal").Journal(folder, order.key)
    runner = _host("loop").Runner(folder, order, journal, ticks)
    if len(nodes) > 1:
        __import__("gang").spread(runner.launcher, here)
    runner.run()


def part(tasks: Any, chunk: str, element: int) -> str:
    """Return the tasks of an element: its own index, or its run of neighbours."""
    if chunk == "0":
        return str(element)
    first = element * int(chunk)
    chosen = [task for place, task in enumerate(tasks) if first <= place < first + int(chunk)]
    return ",".join(map(str, chosen))


def _heed(attempt: str, folder: str) -> None:
    """Turn SIGTERM into a stop of the runner in this folder."""
    # The module without its Python half, whose import costs each element some milliseconds.
    signals = __import__("_signal")

    def stop(_number: int, _frame: FrameType | None) -> None:
        try:
            with open(f"{attempt}/{STOP}", encoding="utf-8") as file:
                grace = file.read()
        except OSError:
            grace = "0"  # the site itself wants an end, and soon
        _hand(folder, STOP, grace or "0")

    def look(_number: int, _frame: FrameType | None) -> None:
        heed_tasks()
        if os.path.exists(f"{attempt}/{STOP}"):
            signals.setitimer(signals.ITIMER_REAL, 0)
            stop(0, None)

    heard = ""

    def heed_tasks() -> None:
        nonlocal heard
        try:
            with open(f"{attempt}/{UNWANTED}", encoding="utf-8") as file:
                said = file.read()
        except OSError:
            return
        if said != heard:
            heard = said
            _hand(folder, UNWANTED, said)

    heed_tasks()
    signals.signal(SIGTERM, stop)
    # Where nobody can signal us we hear of a stop all the same, if later.
    signals.signal(SIGALRM, look)
    signals.setitimer(signals.ITIMER_REAL, LOOK_S, LOOK_S)


def _hand(folder: str, name: str, said: str) -> None:
    """Leave a wish for the runner in this folder, and tell it."""
    draft = f"{folder}/.{name}"
    try:
        with open(draft, "w", encoding="utf-8") as file:
            file.write(said)
        os.replace(draft, f"{folder}/{name}")
        control = os.open(f"{folder}/{CONTROL}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.write(control, b"look\n")
        os.close(control)
    except OSError:
        return  # it has not come so far, and reads the file when it does


def _host(name: str) -> Any:
    """Return a module of the runner that stands beside this file."""
    return __import__(f"host.{name}", fromlist=["*"])
