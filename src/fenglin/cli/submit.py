"""`fenglin submit`: files of jobs in, ids out; or what they would cost."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fenglin.cli.failure import show_problems
from fenglin.cli.humane import now_ms, seconds
from fenglin.cli.output import Output, flush, write, write_data
from fenglin.cli.session import (
    DialectOption,
    HubOption,
    OutputOption,
    SbatchOption,
    StrictOption,
    hub_client,
    single,
)
from fenglin.errors import FenglinError, InputError, InputProblems

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.cli.documents import Changes, Source
    from fenglin.client import Client
    from fenglin.wire.views import Submitted


def submit(  # noqa: PLR0913, PLR0917 - options are arguments
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE…",
            help="Job files, scripts for sbatch, manifests; - is standard input.",
        ),
    ],
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the jobs have ended.")] = False,
    timeout: Annotated[
        str, typer.Option("--timeout", help="Longest wait with --wait, such as 90s or 2h.")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the priced plan; submit nothing.")
    ] = False,
    image: Annotated[
        str,
        typer.Option("--image", metavar="NAME", help="Container image of the tasks; or none."),
    ] = "",
    workdir: Annotated[
        str,
        typer.Option("--workdir", metavar="DIR", help="Folder to bring to where tasks start."),
    ] = "",
    dialect: DialectOption = "",
    sbatch: SbatchOption = "",
    strict: StrictOption = False,
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Submit jobs and print their ids, each as soon as it is stored.

    All files are checked first; when anything is wrong, everything that is wrong is shown and
    nothing is submitted. A file may hold several documents, and a later one may name an earlier
    one in `after` and in `files`. Files of other schedulers are told by their content; what of
    them is lost, approximated or ignored goes to standard error. With --wait the exit code tells
    the end: 0 all succeeded, 1 one failed, 8 one was cancelled, 9 the time was over.
    """
    timeout_s = seconds(timeout)
    if timeout and not wait:
        raise InputError("--timeout is of no use without --wait", hint="add --wait")
    from fenglin.cli.documents import Changes  # noqa: PLC0415 - help needs no parser

    if workdir and not Path(workdir).is_dir():
        raise InputError(f"there is no folder {workdir!r}", where="--workdir")
    sources = _checked(files, dialect, sbatch, Changes(image, workdir), strict=strict)
    with hub_client(hub) as client:
        if dry_run:
            _show_plans(client, sources, output)
            return
        stored: list[Submitted] = []
        try:
            _submit_all(client, sources, stored, output)
        except (FenglinError, KeyboardInterrupt):
            _tell_stored(stored, output)
            raise
        try:
            code = _wait(client, stored, timeout_s) if wait else 0
        finally:  # whatever became of the waiting, the jobs exist and must be named
            if output is not Output.TABLE:
                write_data(stored[0] if len(stored) == 1 else {"items": stored}, output)
    raise typer.Exit(code)


app = single(submit, "submit")


def _checked(
    files: Sequence[str], dialect: str, options: str, changes: Changes, *, strict: bool
) -> list[Source]:
    """Read and check all files; show what is wrong with any of them, and what each loses.

    Raises:
        typer.Exit: something is wrong.
    """
    from fenglin.cli.convert import warn_of_losses  # noqa: PLC0415 - help needs no parser
    from fenglin.cli.documents import read_source  # noqa: PLC0415 - the same

    sources = []
    code = 0
    for file in files:
        try:
            source = read_source(
                file, now_ms(), dialect=dialect, options=options, strict=strict, changes=changes
            )
            warn_of_losses(source)
            sources.append(source)
        except InputProblems as error:
            show_problems(error, sys.stderr)
            code = error.exit_code
    if code:
        if len(files) > 1:
            sys.stderr.write("error: nothing was submitted\n")
        raise typer.Exit(code)
    return sources


def _submit_all(
    client: Client, sources: Sequence[Source], stored: list[Submitted], output: Output
) -> None:
    """Submit every document in order, after its files; note each stored job at once."""
    for source in sources:
        ids: dict[str, str] = {}
        for document in source.documents:
            ready = source.ready(document, client, ids)
            try:
                done = client.submit(ready)
            except InputProblems as error:
                raise InputProblems(document.source, error.problems) from error
            ids[str(document.data.get("name"))] = done.id
            stored.append(done)
            if output is Output.TABLE:
                write(f"{done.id}\n")
                flush()


def _tell_stored(stored: Sequence[Submitted], output: Output) -> None:
    """Say which jobs exist although a later one could not be submitted."""
    if not stored:
        return
    if output is not Output.TABLE:
        write_data({"items": stored}, output)
    ids = " ".join(one.id for one in stored)
    sys.stderr.write(f"already submitted before the error: {ids}\n")


def _wait(client: Client, stored: list[Submitted], timeout_s: float | None) -> int:
    """Wait for all jobs, put their last states into the list, and return the exit code."""
    import msgspec  # noqa: PLC0415 - loaded by the client

    from fenglin.cli.waiting import exit_code, tell, wait_for  # noqa: PLC0415 - only with --wait

    jobs = wait_for(client, [one.id for one in stored], timeout_s)
    stored[:] = [
        msgspec.structs.replace(one, state=job.state) for one, job in zip(stored, jobs, strict=True)
    ]
    for job in jobs:
        tell(job)
    return exit_code(jobs)


def _show_plans(client: Client, sources: Sequence[Source], output: Output) -> None:
    """Show what each document would do and cost now."""
    from fenglin.cli.receipts import write_dry_run  # noqa: PLC0415 - only here

    documents = [(source, document) for source in sources for document in source.documents]
    plans = []
    for source, document in documents:
        plan = client.dry_run(source.detached(document))
        plans.append(plan)
        if output is Output.TABLE:
            if len(plans) > 1:
                write("\n")
            write_dry_run(plan, str(document.data.get("name")), now_ms())
            flush()
    if output is not Output.TABLE:
        write_data(plans[0] if len(plans) == 1 else {"items": plans}, output)
