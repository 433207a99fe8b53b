"""`fenglin top`: the pool, live."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from fenglin.cli.humane import age, ahead, used_of
from fenglin.cli.output import Column, safe, table_lines, write
from fenglin.cli.session import HubOption, hub_client, single
from fenglin.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.client import Client
    from fenglin.wire.views import JobView, Overview, SiteView

_BAR_CELLS = 20
_MOST_JOBS = 200
_SITE_COLUMNS = (
    Column("SITE"),
    Column("STATE"),
    Column("NODES", right=True),
    Column("CORES"),
    Column("", right=True),
    Column("MEMORY"),
    Column("", right=True),
    Column("CARDS", right=True),
    Column("RUNNING", right=True),
)
_QUEUE_COLUMNS = (
    Column("QUEUE"),
    Column("JOBS", right=True),
    Column("PENDING", right=True),
    Column("RUNNING", right=True),
    Column("SHARE", right=True),
)
_JOB_COLUMNS = (
    Column("JOB"),
    Column("NAME"),
    Column("STATE"),
    Column("DONE"),
    Column("", right=True),
    Column("RUNNING", right=True),
    Column("TIME", right=True),
    Column("FINISH", right=True),
)


def top(
    once: Annotated[bool, typer.Option("--once", help="Print one picture and end.")] = False,
    interval_s: Annotated[
        float, typer.Option("--interval", metavar="SECONDS", min=0.2, help="Between pictures.")
    ] = 1.0,
    hub: HubOption = "",
) -> None:
    """Watch sites, queues and running jobs; Ctrl-C ends it.

    Where standard output is no terminal, one picture is printed.
    """
    with hub_client(hub) as client:
        if once or not sys.stdout.isatty():
            write("\n".join(picture(*_look(client))) + "\n")
        else:
            _watch(client, interval_s)


app = single(top, "top")


def _look(client: Client) -> tuple[Overview, list[JobView]]:
    """Ask the hub for what a picture needs."""
    from fenglin.client.requests import Filter  # noqa: PLC0415 - help needs no client

    running = Filter((("state", "running"),))
    return client.overview(), client.jobs(running, _MOST_JOBS).items


def _watch(client: Client, interval_s: float) -> None:
    """Draw until Ctrl-C, on the terminal's second screen, so that the first stays as it was."""
    from rich.live import Live  # noqa: PLC0415 - slow to load, and needed here only
    from rich.text import Text  # noqa: PLC0415 - see above

    lines = picture(*_look(client))
    with Live(screen=True, auto_refresh=False) as live:
        try:
            while True:
                height = shutil.get_terminal_size().lines
                text = Text("\n".join(lines[:height]), no_wrap=True, overflow="ellipsis")
                live.update(text, refresh=True)
                time.sleep(interval_s)
                try:
                    lines = picture(*_look(client))
                except UnavailableError as error:
                    lines = [f"! {safe(error.what)}", *(line for line in lines if line[:1] != "!")]
        except KeyboardInterrupt:
            return


def picture(pool: Overview, jobs: Sequence[JobView]) -> list[str]:
    """Return the lines of one picture; the hub's own clock tells the times."""
    now = pool.now_ms
    role = f"leader, epoch {pool.epoch}" if pool.leader else "not the leader"
    head = (
        f"{safe(pool.hub)}  fenglin {safe(pool.version)}, {role}, "
        f"cycle {pool.cycle} took {pool.cycle_ms:.1f} ms"
    )
    counts = (
        f"jobs {pool.running_jobs} running, {pool.pending_jobs} pending   tasks "
        f"{pool.running_tasks} running, {pool.pending_tasks} pending, "
        f"{pool.finished_tasks} finished"
    )
    lines = [
        head,
        counts,
        *(f"* {safe(note)}" for note in pool.notes),
        "",
        *table_lines(_SITE_COLUMNS, map(_site_cells, pool.sites)),
        "",
    ]
    queues = [
        (
            one.name,
            str(one.pending_jobs),
            str(one.pending_tasks),
            str(one.running_tasks),
            f"{one.dominant_share:.1%}",
        )
        for one in pool.queues
    ]
    lines += [*table_lines(_QUEUE_COLUMNS, queues), ""]
    if not jobs:
        return [*lines, "no job is running"]
    return [*lines, *table_lines(_JOB_COLUMNS, [_job_cells(job, now) for job in jobs])]


def _site_cells(site: SiteView) -> Sequence[str]:
    """Return one row of the sites."""
    return (
        site.name,
        site.state,
        f"{site.nodes_up}/{site.nodes}",
        bar(site.cpu_used_milli, site.cpu_milli),
        used_of(site.cpu_used_milli, site.cpu_milli, "milli"),
        bar(site.memory_used_bytes, site.memory_bytes),
        used_of(site.memory_used_bytes, site.memory_bytes, "bytes"),
        used_of(site.accelerator_used_milli, site.accelerator_milli, "milli"),
        str(site.running_tasks),
    )


def _job_cells(job: JobView, now: int) -> Sequence[str]:
    """Return one row of the running jobs."""
    ended = job.tasks.succeeded + job.tasks.failed + job.tasks.cancelled
    return (
        job.id,
        job.name[:40],
        job.state,
        bar(ended, job.task_count),
        f"{ended}/{job.task_count}",
        str(job.tasks.running),
        age(job.started_ms, now),
        ahead(job.expected_finish_ms, now),
    )


def bar(part: int, whole: int) -> str:
    """Return a bar of 20 cells; anything above nothing shows, and only all of it fills the bar."""
    if whole <= 0:
        return ""
    share = min(1.0, max(0.0, part / whole))
    full = int(share * _BAR_CELLS)
    if part > 0:
        full = max(1, full)
    return "[" + "#" * full + "." * (_BAR_CELLS - full) + "]"
