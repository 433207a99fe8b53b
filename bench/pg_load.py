"""The row `pg`: a hub on PostgreSQL with long queues and many active jobs, under steady load.

Eight clients submit at a fixed pace while others read; the sites end jobs all the while. Beside
what clients see, the hub's own measure of its event loop is read, and its process is looked at
for growth. `python -m bench.pg_load --seconds 600` puts the load on for as long as one likes.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.children import ROOT, environment
from bench.effort import FULL, BenchError, Effort
from bench.figures import Figure, Row
from bench.hub import HEAD, running
from fenglin.testing.servers.postgres import find_postgres, postgres_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.hub import RunningHub

TITLE = "Under load: {0.queued:,} queued and {0.active:,} active jobs, for {0.seconds:.0f} s"
CLIENTS = 8
PER_S = 200.0
READERS = 4
READS_PER_S = 40.0
BATCH = 1_000
FILL_WITHIN_S = 900.0
SETTLE_S = 10.0
EXTRA_S = 120.0
WARM_UP_S = 60.0
HANG_UP_S = 1.0
SITES = 4
SLOTS = 100
SHAPES = 20
# Of the site whose tasks end all the while, and for how long a slot of it that came free waits
# for the next plan; the tasks of the others outlast the load.
QUICK_MS = 20_000
REFILL_MS = 5_500
LONG_MS = 7_200_000
SITE = """
[site.{name}]
driver = "mock"
provider = "this-machine"
settings = {{ task_ms = {task_ms}, lean = true }}

[site.{name}.flavor.host]
nodes = {nodes}
cpu = {cpu}
memory = "1TiB"
disk = "1TiB"
price = {{ core_hour = "0.10" }}
"""
# What is acknowledged must have reached the disk here too.
DURABLE = ("fsync=on", "full_page_writes=on", "synchronous_commit=on", "shared_buffers=256MB")
Lags = list[tuple[float, float]]
_LAG = re.compile(r'^fenglin_loop_lag_seconds_bucket{le="([^"]+)"} (\S+)$', re.MULTILINE)
_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is.

    Attributes:
        queued: Jobs that wait before the load begins.
        active: Jobs that run then, and all the while.
        ends_per_s: Of the active ones; as many are started in their place.
        seconds: How long the load is on.
    """

    queued: int = 100_000
    active: int = 10_000
    ends_per_s: float = 200.0
    seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Process:
    """What the kernel says of the hub's process.

    Attributes:
        rss_mb: Its memory, in 10⁶ bytes.
        fds: Open descriptors.
        children: Processes that it has made, dead ones too.
        zombies: Those of them that nobody has waited for.
        cpu_s: Its processor time.
    """

    rss_mb: float
    fds: int
    children: int
    zombies: int
    cpu_s: float


def process_of(pid: int) -> Process:
    """Return what the kernel says of a process."""
    here = Path(f"/proc/{pid}")
    fields = (here / "stat").read_text(encoding="ascii").rpartition(")")[2].split()
    states = [state for parent, state in _processes() if parent == pid]
    return Process(
        rss_mb=int((here / "statm").read_text(encoding="ascii").split()[1]) * _PAGE / 1e6,
        fds=len(list((here / "fd").iterdir())),
        children=len(states),
        zombies=states.count("Z"),
        cpu_s=(int(fields[11]) + int(fields[12])) / _TICK,
    )


def _processes() -> Iterator[tuple[int, str]]:
    """Yield the parent and the state of each process of this machine."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError, IndexError):
                words = (folder / "stat").read_text().rpartition(")")[2].split()
                yield int(words[1]), words[0]


def config(size: Size, database: str) -> str:
    """Return the hub's configuration: sites whose slots all together are the active jobs."""
    quick = int(size.ends_per_s * (QUICK_MS + REFILL_MS) / 1_000)
    nodes = max(1, (size.active - quick) // SLOTS // (SITES - 1))
    slots = [(f"s{at}", nodes, SLOTS, LONG_MS) for at in range(SITES - 1)]
    # What does not divide is the quick site's too, a little slower.
    rest = size.active - nodes * SLOTS * (SITES - 1)
    slots.append(("quick", 1, rest, QUICK_MS * rest // quick))
    sites = [
        SITE.format(name=name, nodes=count, cpu=cpu, task_ms=task_ms)
        for name, count, cpu, task_ms in slots
    ]
    head = HEAD.replace("[hub]", f'[hub]\ndatabase = "{database}"') if database else HEAD
    return head + "".join(sites)


def document(number: int) -> dict[str, object]:
    """Return one of many unlike jobs, of one task that takes one slot."""
    return {
        "name": f"job-{number}",
        "queue": f"q{number % SITES}",
        "priority": number % 3,
        "resources": {"cpu": 1, "memory": f"{64 + number % SHAPES}MiB"},
        "estimate": "1h",
        "command": ["true"],
    }


def fill(hub: RunningHub, size: Size) -> None:
    """Submit what is to wait and to run, and wait until the sites are full.

    Raises:
        BenchError: they do not fill.
    """
    total = size.queued + size.active
    for first in range(0, total, BATCH):
        jobs = [document(at) for at in range(first, min(first + BATCH, total))]
        hub.door.raw("POST", "/v1/jobs:batch", jobs)
    end_s = time.monotonic() + FILL_WITHIN_S
    # A slot that has come free waits for the next cycle.
    while hub.door.ask("GET", "/v1/overview")["running_jobs"] < 0.97 * size.active:
        if time.monotonic() > end_s:
            raise BenchError(f"the sites are not full after {FILL_WITHIN_S:.0f} s")
        time.sleep(1.0)
    time.sleep(min(SETTLE_S, size.seconds))


def lags(hub: RunningHub) -> Lags:
    """Return (upper end in seconds, moments up to it) of the hub's event loop so far."""
    text = hub.door.raw("GET", "/metrics").decode()
    return [(float(upper), float(count)) for upper, count in _LAG.findall(text)]


def lag_ms(before: Lags, after: Lags) -> float:
    """Return the 99th percentile of the delays between two readings, in milliseconds.

    Within a bucket they are taken to lie evenly, as Prometheus does; beyond the last one, at it.
    """
    counts = [(upper, count - before[at][1]) for at, (upper, count) in enumerate(after)]
    wanted = 0.99 * counts[-1][1]
    lower, below = 0.0, 0.0
    for upper, count in counts:
        if count >= wanted and upper != float("inf"):
            return (lower + (upper - lower) * (wanted - below) / max(1.0, count - below)) * 1_000
        lower, below = (upper, count) if upper != float("inf") else (lower, below)
    return lower * 1_000


class Memory:
    """Looks at a process's memory once a second, beside whatever else is done.

    One look is not enough: by how many tasks run and whether a plan is made, it differs by some
    percent from one second to the next.
    """

    def __init__(self, pid: int) -> None:
        """Begin to look."""
        self._pid = pid
        self._over = threading.Event()
        self._seen_mb: list[float] = []
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def mean_mb(self) -> float:
        """Stop looking; return the mean of the last looks, of one task's time on each slot."""
        self._over.set()
        self._thread.join()
        last = self._seen_mb[-(QUICK_MS + REFILL_MS) // 1_000 :]
        return sum(last) / len(last)

    def _look(self) -> None:
        while True:
            self._seen_mb.append(process_of(self._pid).rss_mb)
            if self._over.wait(1.0):
                return


def load(hub: RunningHub, size: Size) -> dict[str, Any]:
    """Put the load on; return what the clients saw.

    Raises:
        BenchError: the load generator failed.
    """
    jobs = [("POST", "/v1/jobs", document(at)) for at in range(SHAPES * 12)]
    every = max(1, size.queued // 50)
    shown = [
        request
        for number in range(1, size.queued + size.active, every)
        for request in (("GET", f"/v1/jobs/j{number}", None), ("GET", "/v1/jobs?limit=20", None))
    ]
    order = {
        "url": hub.url,
        "token": hub.token,
        "seconds": size.seconds,
        "kinds": {
            "submit": {"clients": CLIENTS, "per_s": PER_S, "requests": jobs},
            "read": {"clients": READERS, "per_s": READS_PER_S, "requests": shown},
        },
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "order.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(order), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "bench.pacer", path],
            cwd=ROOT, env=environment(), capture_output=True, text=True, check=False,
            timeout=size.seconds + EXTRA_S,
        )  # fmt: skip
    if done.returncode:
        raise BenchError(f"the load generator failed: {done.stderr[-300:]}")
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    for name, one in seen.items():
        if one["bad"] or not one["per_s"]:
            raise BenchError(f"{name}: {one['bad']} bad answers, such as {one['why']}")
    return seen


def look(hub: RunningHub) -> tuple[dict[str, Any], Lags, Process]:
    """Return what the hub and the kernel say now, once the load's connections are closed."""
    # The hub hangs up on a connection that is idle for long; the next request opens it again.
    hub.door.close()
    time.sleep(HANG_UP_S)
    return hub.door.ask("GET", "/v1/overview"), lags(hub), process_of(hub.pid)


def measure(row: Row, size: Size, database: str) -> None:
    """Fill a hub, put the load on, and enter what was seen."""
    with running(config(size, database)) as hub:
        begun = time.monotonic()
        fill(hub, size)
        filled_s = time.monotonic() - begun
        # What comes once is no growth: sessions that read, texts and plans of statements, and the
        # working memory of the first plans. By then each quick slot has been filled twice again.
        memory = Memory(hub.pid)
        load(hub, replace(size, seconds=min(WARM_UP_S, size.seconds)))
        before_mb = memory.mean_mb()
        jobs_before, lags_before, before = look(hub)
        memory = Memory(hub.pid)
        seen = load(hub, size)
        after_mb = memory.mean_mb()
        jobs_after, lags_after, after = look(hub)
    submits, reads = seen["submit"], seen["read"]
    grown = (after_mb / before_mb - 1) * 100
    busy = (after.cpu_s - before.cpu_s) / size.seconds * 100
    ended = jobs_after["finished_tasks"] - jobs_before["finished_tasks"]
    for name, unit, value, goal, at_most in (
        ("acknowledged submits, asked for 200", "jobs/s", submits["per_s"], 0.98 * PER_S, False),
        ("submit, p50", "ms", submits["p50_ms"], None, True),
        ("submit, p99", "ms", submits["p99_ms"], None, True),
        ("read, p50", "ms", reads["p50_ms"], None, True),
        ("read, p99", "ms", reads["p99_ms"], 200.0, True),
        ("event loop late, p99", "ms", lag_ms(lags_before, lags_after), 250.0, True),
        ("memory grown", "%", grown, 5.0, True),
        ("descriptors more at the end", "", float(after.fds - before.fds), 0.0, True),
        ("zombies", "", float(after.zombies), 0.0, True),
        ("processor of the hub", "%", busy, None, True),
    ):
        row.figures.append(
            Figure(name, unit, [value], ours=True, goal=goal, at_most=at_most, digits=1)
        )
    row.notes.append(
        f"{CLIENTS} clients submit, {READERS} read {READS_PER_S:.0f} times a second, a list of 20"
        f" jobs and one job in turn. Filled in {filled_s:.0f} s. Waiting jobs"
        f" {jobs_before['pending_jobs']:,} → {jobs_after['pending_jobs']:,}, running"
        f" {jobs_before['running_jobs']:,} → {jobs_after['running_jobs']:,}, memory"
        f" {before_mb:.0f} → {after_mb:.0f} MB; {ended / size.seconds:.0f} ends a second."
    )


def run(effort: Effort) -> Row:
    """Measure the row, shorter than the goal asks."""
    size = Size(seconds=effort.load_s * 12)
    if effort is not FULL:
        queued = 10 * effort.jobs
        size = replace(size, queued=queued, active=max(400, queued // 10), ends_per_s=8.0)
    return measured(size)


def measured(size: Size, *, sqlite: bool = False) -> Row:
    """Measure one hub of a size: on PostgreSQL, or where that is not to be had on its own file."""
    row = Row("pg", TITLE.format(size), rounds=1)
    problem = "" if sqlite else _lacking()
    if problem:
        row.failed["on PostgreSQL"] = problem
    with contextlib.ExitStack() as stack:
        url = ""
        if not sqlite and not problem:
            url = stack.enter_context(postgres_server(*DURABLE)).database()
        measure(row, size, url)
    store = "PostgreSQL, fsync on" if url else "SQLite"
    row.notes.append(f"The hub keeps its state in {store}.")
    return row


def _lacking() -> str:
    """Return why no hub can run on PostgreSQL here; empty when one can."""
    if importlib.util.find_spec("psycopg") is None:
        return "psycopg is not installed (fenglin[postgres])"
    return find_postgres()


def main(words: list[str] | None = None) -> int:
    """Measure one size; return 1 when a goal is missed."""
    from bench import report  # noqa: PLC0415 - imports every row

    parser = argparse.ArgumentParser(prog="python -m bench.pg_load", description=__doc__)
    whole = Size()
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--queued", type=int, default=whole.queued)
    parser.add_argument("--active", type=int, default=whole.active)
    parser.add_argument("--ends-per-s", type=float, default=whole.ends_per_s)
    parser.add_argument("--sqlite", action="store_true", help="the embedded store instead")
    asked = parser.parse_args(words)
    size = Size(asked.queued, asked.active, asked.ends_per_s, asked.seconds)
    row = measured(size, sqlite=asked.sqlite)
    sys.stdout.write(report.plain(row) + "\n" + "\n".join(row.notes) + "\n")
    return int(any(figure.met is False for figure in row.figures) or bool(row.failed))


if __name__ == "__main__":
    sys.exit(main())
