"""`fenglin plan`: the hub's kept cycles, and each of them planned again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fenglin.cli.humane import moment, now_ms
from fenglin.cli.listing import Cut, Layout, show_page
from fenglin.cli.output import Column, Output, write_data, write_fields, write_line
from fenglin.cli.session import (
    AllOption,
    HubOption,
    LimitOption,
    NoHeaderOption,
    OutputOption,
    command,
    group,
    hub_client,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fenglin.wire.views import PlanView

DIFFERS = 1

app = group("List the hub's planning cycles, look into one, and plan it again.")
IndexArgument = Annotated[
    str, typer.Argument(metavar="INDEX", help="Number of a cycle, or `now` for a fresh look.")
]
FileOption = Annotated[
    Path | None, typer.Option("--file", metavar="FILE", help="A saved cycle, instead of the hub's.")
]

_COLUMNS = (
    Column("INDEX", right=True),
    Column("PLANNED"),
    Column("STARTS", right=True),
    Column("WAITING", right=True),
    Column("BYTES", right=True),
)


@command(app, "list")
def list_plans(
    limit: LimitOption = 20,
    everything: AllOption = False,
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
    hub: HubOption = "",
) -> None:
    """List the cycles that the hub has kept, newest first."""
    cut = Cut((), limit=limit, everything=everything)
    with hub_client(hub) as client:
        page = client.plans(cut.filter(), cut.most())
    show_page(page, Layout(_COLUMNS, _cells), output, header=not no_header)


def _cells(plan: PlanView) -> Sequence[str]:
    """Return one row of the list."""
    figures = (plan.starts, plan.waiting, plan.size_bytes)
    return (str(plan.index), moment(plan.now_ms), *map(str, figures))


@command(app, "show")
def show_plan(
    index: IndexArgument = "now",
    file: FileOption = None,
    bound: Annotated[
        bool, typer.Option("--bound", help="Work the bound out by linear programming too.")
    ] = False,
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Show what a cycle saw and decided, and how far from a bound its plan is."""
    from fenglin.simulator.replay import figures_of  # noqa: PLC0415 - NumPy is slow to load

    figures = figures_of(_record(index, file, hub), linear=bound)
    if output is Output.TABLE:
        write_fields(_shown(figures))
    else:
        write_data(figures, output)


@command(app, "explain")
def explain_job(
    index: IndexArgument,
    job: Annotated[str, typer.Argument(metavar="JOB", help="Its id, such as j12.")],
    file: FileOption = None,
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Explain what a cycle decided for a job, as `fenglin job explain` does for now."""
    from fenglin.cli.receipts import write_receipt  # noqa: PLC0415 - rarely needed
    from fenglin.simulator.replay import receipt_of  # noqa: PLC0415 - NumPy is slow to load

    receipt = receipt_of(_record(index, file, hub), job)
    if output is Output.TABLE:
        write_receipt(receipt, job, now_ms())
    else:
        write_data(receipt, output)


@command(app, "save")
def save_plan(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to.")],
    index: IndexArgument = "now",
    hub: HubOption = "",
) -> None:
    """Save a cycle: snapshot, policy and plan, all that is needed to plan it again anywhere."""
    from fenglin.cli.files import replacing  # noqa: PLC0415 - rarely needed

    data = _record(index, None, hub)
    with replacing(out) as part:
        part.write(data)


@command(app, "replay")
def replay_plan(
    index: Annotated[str, typer.Argument(metavar="[INDEX]", help="Number of a cycle.")] = "",
    file: FileOption = None,
    last: Annotated[int, typer.Option("--last", metavar="N", min=0, help="The newest N.")] = 0,
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Plan kept cycles again; exit 1 when a plan comes out otherwise than it did.

    Planning is pure: the same snapshot and policy give the same plan, byte for byte.
    """
    from fenglin.simulator.replay import replay  # noqa: PLC0415 - NumPy is slow to load

    answers: list[dict[str, Any]] = []
    for data in _records(index, file, last, hub):
        done = replay(data)
        plan = done.record.plan
        answers.append(
            {
                "index": plan.index,
                "policy": plan.policy,
                "same": done.same,
                "starts": len(plan.starts),
                "starts_now": len(done.plan.starts),
                "seconds": round(done.seconds, 6),
            }
        )
    if output is Output.TABLE:
        for one in answers:
            verdict = "the same, byte for byte" if one["same"] else "DIFFERENT"
            write_line(f"cycle {one['index']}:", f"{one['starts']} starts", verdict)
    else:
        write_data(answers, output)
    if not all(one["same"] for one in answers):
        raise typer.Exit(DIFFERS)


def _records(index: str, file: Path | None, last: int, hub: str) -> Iterator[bytes]:
    """Yield the cycles that are asked for."""
    if not last:
        yield _record(index or "now", file, hub)
        return
    cut = Cut((), limit=last)
    with hub_client(hub) as client:
        for plan in client.plans(cut.filter(), cut.most()).items:
            yield client.plan_record(str(plan.index))


def _record(index: str, file: Path | None, hub: str) -> bytes:
    """Return one cycle, from a file or from the hub."""
    if file is not None:
        return file.read_bytes()
    with hub_client(hub) as client:
        return client.plan_record(index)


def _shown(figures: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the figures as a person reads them."""
    for name, value in figures.items():
        if name == "now_ms":
            yield "planned", moment(value)
        elif isinstance(value, dict):
            yield name, ", ".join(f"{key} {count}" for key, count in value.items())
        elif isinstance(value, float):
            yield name, f"{value:.1%}"
        else:
            yield name, str(value)
