"""Arrays on a real Slurm cluster: `sbatch --array` itself beside the same array through a hub.

    python -m bench.slurm_array [--tasks 1000] [--rounds 3] [--pack 1]

Prints the seconds of each round, side by side on one cluster, and what observing 10,000 active
jobs costs the hub: calls, seconds of our processor time, and beside it what `squeue --json` would
have to be read.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from fenglin.drivers.slurm import driver
from fenglin.drivers.slurm.commands import Slurm
from fenglin.drivers.slurm.parse import read_queue
from fenglin.drivers.slurm.transport import LocalCommands
from fenglin.model.allocation import Share
from fenglin.model.site import Flavor, Node
from fenglin.model.states import ComputeClass
from fenglin.ports.driver import Driver, DriverContext, StartOrder
from fenglin.quantities.resources import Resources
from fenglin.testing import HubProcess
from fenglin.testing.servers.slurm import SlurmCluster, find_slurm, program

if TYPE_CHECKING:
    from collections.abc import Iterable

SLOTS = 16
POLL_S = 0.05
ARRAYS = 10
LOOKS = 20
# The system's own, as nodes have it; ours at least without a shim that looks for it at each start.
SYSTEM_PYTHON = Path("/usr/bin/python3")
PYTHON = SYSTEM_PYTHON if SYSTEM_PYTHON.exists() else Path(sys.executable).resolve()
SITE = """
[hub]
listen = "127.0.0.1:0"
data = "data"
[account.default]
credit = "1000 CNY"
[site.east]
driver = "slurm"
provider = "bench"
[site.east.settings]
shared_dir = "{shared}"
conf = "{conf}"
python = "{python}"
partition = {{ cpu = "main" }}
pack = {pack}
[site.east.flavor.cpu]
nodes = 2
cpu = 8
memory = "8GiB"
disk = "1TiB"
"""


def main() -> None:
    """Measure, and print a line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pack", type=int, default=1)
    chosen = parser.parse_args()
    why = find_slurm()
    if why:
        raise SystemExit(why)
    folder = Path(tempfile.mkdtemp(prefix="fl-"))
    try:
        with SlurmCluster(folder / "e", "east", array_size=10_001) as cluster:
            if chosen.rounds:
                _arrays(cluster, folder, chosen)
            asyncio.run(_observing(cluster, folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _arrays(cluster: SlurmCluster, folder: Path, chosen: argparse.Namespace) -> None:
    """Run the same array both ways, in turns."""
    shared = folder / "shared"
    shared.mkdir()
    text = SITE.format(shared=shared, conf=cluster.conf, python=PYTHON, pack=chosen.pack)
    plain, ours = [], []
    with HubProcess(folder / "hub", text) as hub:
        client = hub.start().client()
        for _ in range(chosen.rounds):
            plain.append(_sbatch(cluster, chosen.tasks))
            begun_s = time.monotonic()
            document = {"name": "bench", "tasks": chosen.tasks, "command": ["true"]}
            need = {"resources": {"cpu": 1, "memory": "10MiB"}}
            view = client.wait(client.submit({**document, **need}).id, 600)
            ours.append(time.monotonic() - begun_s)
            print(f"sbatch {plain[-1]:.1f} s, hub {ours[-1]:.1f} s ({view.state})", flush=True)
    ratio = statistics.median(ours) / statistics.median(plain)
    print(f"{chosen.tasks} tasks, pack {chosen.pack}: hub / sbatch = {ratio:.2f}")


def _sbatch(cluster: SlurmCluster, tasks: int) -> float:
    """Return how long Slurm takes for an array of `true`."""
    begun_s = time.monotonic()
    cluster.command(
        "sbatch", f"--array=0-{tasks - 1}%{SLOTS}", "--mem=42M", "--output=/dev/null", "--wrap=true"
    )
    while cluster.command("squeue", "--noheader", "--format=%i").strip():
        time.sleep(POLL_S)
    return time.monotonic() - begun_s


async def _observing(cluster: SlurmCluster, folder: Path) -> None:
    """Observe ten arrays of 1,000 elements that are active."""
    shared, own = folder / "watched", folder / "driver"
    shared.mkdir()
    own.mkdir()
    flavors = (Flavor("cpu", ComputeClass.GENERAL, Resources(8_000, 8 * 2**30)),)
    settings = {
        "shared_dir": str(shared), "conf": str(cluster.conf), "partition": {"cpu": "main"},
        "poll": "0s", "flavors": flavors, "nodes": (Node("cpu-0", "cpu"),),
    }  # fmt: skip
    context = DriverContext("bench", "east", own, lambda: None, lambda: 0)
    site = driver(context, settings)
    cursors = {}
    for number in range(1, ARRAYS + 1):
        order = _order(f"bench-a{number}-1")
        await site.start(order)
        cursors[order.key] = ""
    await asyncio.sleep(2)
    cursors = await _look(site, cursors, "most of them pending")
    await asyncio.to_thread(_pretend, shared, cursors)
    cursors = await _look(site, cursors, "all with an open journal")
    await _formats(cluster)
    for key in cursors:
        await site.stop(key, 0)
    await site.close()


async def _look(site: Driver, cursors: dict[str, str], what: str) -> dict[str, str]:
    """Observe some times, print what one look costs, return the new cursors."""
    cursors = {one.key: one.cursor for one in await site.observe(cursors)}
    await asyncio.sleep(3)
    cursors = {one.key: one.cursor for one in await site.observe(cursors)}
    before_s, begun_s = _processor_s(), time.monotonic()
    for _ in range(LOOKS):
        seen = await site.observe(cursors)
        cursors = {one.key: one.cursor for one in seen}
    used_ms = (_processor_s() - before_s) * 1_000 / LOOKS
    wall_ms = (time.monotonic() - begun_s) * 1_000 / LOOKS
    print(f"10,000 active elements, {what}: 1 call, {used_ms:.1f} ms of ours, {wall_ms:.0f} ms")
    return cursors


def _pretend(shared: Path, keys: Iterable[str]) -> None:
    """Give every element the folder of one that runs, which this machine could not run at once."""
    for key in keys:
        for element in range(1_000):
            folder = shared / "bench" / "east" / "attempts" / key / f"e{element}"
            if not folder.exists():
                folder.mkdir()
                (folder / "journal").write_text(f"S {element} 1 1 .\n")


async def _formats(cluster: SlurmCluster) -> None:
    """Compare reading every element by the format with reading it by JSON."""
    own = Slurm(LocalCommands("bench", str(cluster.conf)), "bench")
    begun_s = _processor_s()
    await own.queue("bench-a")
    folded_ms = (_processor_s() - begun_s) * 1_000
    for name, words in (("format", ["--array", "--format=%F|%K|%j"]), ("JSON", ["--json"])):
        children_s = _processor_s(resource.RUSAGE_CHILDREN)
        path = program("squeue") or "squeue"
        text = await asyncio.to_thread(
            subprocess.check_output, [path, "--noheader", *words], env=cluster.env
        )
        theirs_ms = (_processor_s(resource.RUSAGE_CHILDREN) - children_s) * 1_000
        begun_s = _processor_s()
        if name == "JSON":
            msgspec.json.decode(text)
        else:
            read_queue(text.decode(), "bench-a")
        ours_ms = (_processor_s() - begun_s) * 1_000
        print(
            f"squeue by {name}: {len(text) / 1e6:.2f} MB, "
            f"{theirs_ms:.0f} ms of squeue, {ours_ms:.1f} ms to read"
        )
    print(f"folded listing as the driver asks for it: {folded_ms:.1f} ms of ours")


def _order(key: str) -> StartOrder:
    return StartOrder(
        key=key, epoch=1, hub="bench", job="j1", job_name="bench", site="east", flavor="cpu",
        tasks="0-999", task_count=1_000, tries=(), shares=(Share("cpu-0", 8),), nodes=1,
        resources=Resources(1_000, 2**24), command=("sleep", "600"), script="", env=(),
        workdir="", inputs=(), artifacts=(), artifacts_dir="/nowhere", timeout_ms=0,
    )  # fmt: skip


def _processor_s(whose: int = resource.RUSAGE_SELF) -> float:
    used = resource.getrusage(whose)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
