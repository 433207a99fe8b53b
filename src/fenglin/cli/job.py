"""`fenglin job`: what became of jobs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fenglin.cli.humane import age, ahead, moment, money, now_ms, seconds, span
from fenglin.cli.listing import Cut, Layout, show_page
from fenglin.cli.output import (
    Column,
    Output,
    flush,
    write,
    write_data,
    write_fields,
    write_line,
    write_table,
)
from fenglin.cli.session import (
    AllOption,
    HubOption,
    LimitOption,
    NoHeaderOption,
    OutputOption,
    SortOption,
    command,
    group,
    hub_client,
)
from fenglin.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.wire.views import AllocationView, JobView

app = group("List, show, explain, wait for and cancel jobs; logs, artifacts.")
JobArgument = Annotated[str, typer.Argument(metavar="ID", help="Job, such as j12.")]
JobsArgument = Annotated[list[str], typer.Argument(metavar="ID…", help="Jobs, such as j12.")]
StatesOption = Annotated[
    list[str], typer.Option("--state", help="Only jobs in this state; may be repeated.")
]
LabelsOption = Annotated[
    list[str], typer.Option("--label", metavar="KEY=VALUE", help="Only jobs with this label.")
]
QueueOption = Annotated[str, typer.Option("--queue", help="Only of this queue.")]
AccountOption = Annotated[str, typer.Option("--account", help="Only of this account.")]
NameOption = Annotated[str, typer.Option("--name", help="Only with this part in the name.")]

_JOB_COLUMNS = (
    Column("ID"),
    Column("NAME"),
    Column("STATE"),
    Column("TASKS", right=True),
    Column("RUNNING", right=True),
    Column("QUEUE"),
    Column("AGE", right=True),
    Column("FINISH", right=True),
    Column("COST", right=True),
    Column("REASON"),
)
_ALLOCATION_COLUMNS = (
    Column("ALLOCATION"),
    Column("SITE"),
    Column("FLAVOR"),
    Column("TASKS"),
    Column("SLOTS", right=True),
    Column("STATE"),
    Column("TRY", right=True),
    Column("OK", right=True),
    Column("FAILED", right=True),
    Column("TIME", right=True),
    Column("COST", right=True),
    Column("REASON"),
)


@command(app, "list")
def list_jobs(  # noqa: PLR0913, PLR0917 - each option is an argument
    state: StatesOption = [],  # noqa: B006 - Typer never changes it
    queue: QueueOption = "",
    account: AccountOption = "",
    name: NameOption = "",
    label: LabelsOption = [],  # noqa: B006 - see above
    sort: SortOption = "",
    limit: LimitOption = 50,
    everything: AllOption = False,
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
    hub: HubOption = "",
) -> None:
    """List jobs, newest first.

    Sorts by id, name, priority, state or submitted_ms.
    """
    fields = (
        *(("state", one) for one in state),
        ("queue", queue),
        ("account", account),
        ("name", name),
        *(("label", one) for one in label),
    )
    cut = Cut(fields, sort, limit, everything)
    with hub_client(hub) as client:
        page = client.jobs(cut.filter(), cut.most())
    now = now_ms()
    layout = Layout(_JOB_COLUMNS, lambda job: _job_cells(job, now))
    show_page(page, layout, output, header=not no_header)


def _job_cells(job: JobView, now: int) -> Sequence[str]:
    """Return one row of the list."""
    tasks = job.tasks
    ended = tasks.succeeded + tasks.failed + tasks.cancelled
    finish = f"{age(job.ended_ms, now)} ago" if job.ended_ms else ahead(job.expected_finish_ms, now)
    return (
        job.id,
        job.name,
        job.state,
        f"{ended}/{job.task_count}",
        str(tasks.running),
        job.queue,
        age(job.submitted_ms, now),
        finish,
        money(job.cost_micro, job.currency),
        job.reason,
    )


@command(app, "show")
def show_job(job_id: JobArgument, output: OutputOption = Output.TABLE, hub: HubOption = "") -> None:
    """Show a job with its tasks by state and its allocations."""
    with hub_client(hub) as client:
        job = client.job(job_id)
    if output is not Output.TABLE:
        write_data(job, output)
        return
    now = now_ms()
    write_fields(_job_fields(job, now))
    if job.allocations:
        write("\n")
        rows = [_allocation_cells(one, now) for one in job.allocations]
        write_table(_ALLOCATION_COLUMNS, rows)


def _job_fields(job: JobView, now: int) -> list[tuple[str, str]]:
    """Return the lines of a job's own facts."""
    tasks = job.tasks
    counts = (
        (tasks.pending, "pending"),
        (tasks.running, "running"),
        (tasks.succeeded, "succeeded"),
        (tasks.failed, "failed"),
        (tasks.cancelled, "cancelled"),
    )
    why = ": ".join(part for part in (job.reason, job.detail) if part)
    finish = "" if job.ended_ms else moment(job.expected_finish_ms)
    return [
        ("id", job.id),
        ("name", job.name),
        ("state", job.state),
        ("why", why),
        ("tasks", ", ".join(f"{count} {word}" for count, word in counts if count)),
        ("queue", job.queue),
        ("account", job.account),
        ("priority", str(job.priority)),
        ("labels", ", ".join(f"{key}={value}" for key, value in job.labels.items())),
        ("submitted", moment(job.submitted_ms)),
        ("started", moment(job.started_ms)),
        ("ended", moment(job.ended_ms)),
        ("runtime", span(job.started_ms, job.ended_ms or now) if job.started_ms else ""),
        ("expected end", finish),
        ("cost", money(job.cost_micro, job.currency)),
        ("held", money(job.held_micro, job.currency)),
    ]


def _allocation_cells(one: AllocationView, now: int) -> Sequence[str]:
    """Return one row of a job's allocations."""
    return (
        one.id,
        one.site,
        one.flavor,
        one.tasks,
        str(one.slots),
        one.state,
        str(one.attempt),
        str(one.succeeded),
        str(one.failed),
        span(one.started_ms, one.ended_ms or now) if one.started_ms else "",
        money(one.cost_micro if one.ended_ms else one.held_micro, one.currency),
        one.reason,
    )


@command(app, "logs")
def show_logs(
    job_id: JobArgument,
    task: Annotated[int, typer.Option("--task", min=0, help="Task of the array, from 0.")] = 0,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it ends.")] = False,
    hub: HubOption = "",
) -> None:
    """Print the output of one task, byte by byte as it was written.

    On a terminal, characters that would command the terminal are shown instead.
    """
    from fenglin.cli.logs import log_writer  # noqa: PLC0415 - only here

    with hub_client(hub) as client:
        pieces = client.follow_log(job_id, task) if follow else client.log(job_id, task)
        with log_writer() as put:
            for data in pieces:
                put(data)


@command(app, "explain")
def explain_job(
    job_id: JobArgument, output: OutputOption = Output.TABLE, hub: HubOption = ""
) -> None:
    """Tell why a job is where it is: every option, its score or the reason against it."""
    from fenglin.cli.receipts import write_explanation  # noqa: PLC0415 - only here

    with hub_client(hub) as client:
        explanation = client.explain(job_id)
    if output is Output.TABLE:
        write_explanation(explanation, now_ms())
    else:
        write_data(explanation, output)


@command(app, "cancel")
def cancel_jobs(
    job_ids: JobsArgument,
    tasks: Annotated[str, typer.Option("--tasks", help="Only these tasks, such as 3-5,9.")] = "",
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Ask for the end of jobs, or of some tasks of one; what has ended stays as it is."""
    if tasks and len(job_ids) > 1:
        raise InputError("tasks of one job can be named, not of several", where="--tasks")
    jobs: list[JobView] = []
    with hub_client(hub) as client:
        for job_id in job_ids:
            job = client.cancel(job_id, tasks)
            jobs.append(job)
            if output is Output.TABLE:
                write_line(job.id, job.state)
                flush()
    if output is not Output.TABLE:
        write_data(jobs[0] if len(jobs) == 1 else {"items": jobs}, output)


@command(app, "quarantine")
def list_quarantine(
    output: OutputOption = Output.TABLE, no_header: NoHeaderOption = False, hub: HubOption = ""
) -> None:
    """List jobs that the hub has set aside, since handling them raised."""
    from fenglin.client.safety import show_safety  # noqa: PLC0415 - slow; help needs none

    with hub_client(hub) as client:
        found = client.call(show_safety()).quarantined
    if output is not Output.TABLE:
        write_data({"items": found}, output)
        return
    rows = [(one.id, moment(one.time_ms), one.stage, one.why) for one in found]
    columns = [Column(name) for name in ("ID", "SINCE", "STAGE", "WHY")]
    write_table(columns, rows, header=not no_header)


@command(app, "release")
def release_jobs(job_ids: JobsArgument, hub: HubOption = "") -> None:
    """Let the hub try jobs again that it has set aside."""
    from fenglin.client.safety import release_job  # noqa: PLC0415 - slow; help needs none

    with hub_client(hub) as client:
        for job_id in job_ids:
            write_line(client.call(release_job(job_id)).id, "released")
            flush()


@command(app, "wait")
def wait_for_jobs(
    job_ids: JobsArgument,
    timeout: Annotated[str, typer.Option("--timeout", help="Longest wait, such as 90s.")] = "",
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Wait until jobs have ended.

    Exit code: 0 all succeeded, 1 one failed, 8 one was cancelled, 9 the time was over.
    """
    from fenglin.cli.waiting import exit_code, wait_for  # noqa: PLC0415 - only here

    timeout_s = seconds(timeout)
    with hub_client(hub) as client:
        jobs = wait_for(client, job_ids, timeout_s)
    if output is Output.TABLE:
        for job in jobs:
            write_line(job.id, job.state, job.reason)
    else:
        write_data(jobs[0] if len(jobs) == 1 else {"items": jobs}, output)
    raise typer.Exit(exit_code(jobs))


@command(app, "artifacts")
def list_artifacts(
    job_id: JobArgument,
    download: Annotated[
        Path | None, typer.Option("--download", metavar="DIR", help="Bring them here.")
    ] = None,
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
    hub: HubOption = "",
) -> None:
    """List the files that a job has kept, or bring them to a folder."""
    from fenglin.cli.artifacts import bring, show_artifacts  # noqa: PLC0415 - only here

    with hub_client(hub) as client:
        found = client.artifacts(job_id)
        if download is not None:
            bring(client, job_id, found, download)
    show_artifacts(found, output, header=not no_header)


@command(app, "export")
def export_jobs(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to; JSON lines.")],
    queue: QueueOption = "",
    account: AccountOption = "",
    name: NameOption = "",
    label: LabelsOption = [],  # noqa: B006 - Typer never changes it
    hub: HubOption = "",
) -> None:
    """Write the jobs that have ended, with needs and runtimes, for the simulator.

    FILE appears whole or not at all.
    """
    from fenglin.cli.history import export  # noqa: PLC0415 - only here

    fields = (
        ("queue", queue),
        ("account", account),
        ("name", name),
        *(("label", one) for one in label),
    )
    with hub_client(hub) as client:
        count = export(client, Cut(fields, "submitted_ms", everything=True).filter(), out)
    write_line(f"{count} jobs written to {out}")
