"""`fenglin metering`: what was used, by us and by the provider, and where the two differ."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fenglin.cli.humane import moment
from fenglin.cli.listing import Cut, Layout, show_page
from fenglin.cli.output import Column, Output, write, write_data, write_fields, write_table
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
from fenglin.errors import InputError, InputProblems, Problem
from fenglin.quantities.money import format_money

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.wire.metering_views import (
        AttemptMetering,
        ChargedView,
        Imported,
        ItemView,
        LateUses,
        LineView,
    )

app = group("Reconcile use with providers' accounting; late records; energy.")

_KWH_J = 3_600_000
_RECORD_COLUMNS = ("attempt", "task", "started_ms", "wall_ms", "cpu_ms")
_ITEMS = (
    Column("ID"), Column("STATE"), Column("KIND"), Column("SITE"), Column("ATTEMPT"),
    Column("OURS", right=True), Column("THEIRS", right=True), Column("EVIDENCE"),
)  # fmt: skip
_SERIES = (
    Column("SITE"), Column("SERIES"), Column("ATTEMPTS", right=True),
    Column("MATCHED", right=True), Column("DIFFERING", right=True), Column("MISSING", right=True),
    Column("NOT TOLD YET", right=True), Column("STRANGERS", right=True),
)  # fmt: skip
_CHARGED = (
    Column("SITE"), Column("SERIES"), Column("LINE"), Column("UNIT"),
    Column("QUANTITY", right=True), Column("COST", right=True), Column("GIVEN BACK", right=True),
)  # fmt: skip
_ENERGY = (
    Column("ACCOUNT"), Column("SITE"), Column("GRADE"), Column("ATTEMPTS", right=True),
    Column("KWH", right=True), Column("CO2 KG", right=True),
)  # fmt: skip

PeriodOption = Annotated[str, typer.Option("--period", metavar="YYYY-MM", help="The month.")]
SiteOption = Annotated[str, typer.Option("--site", help="Of the pool.")]
ItemArgument = Annotated[str, typer.Argument(metavar="ITEM", help="Such as d7.")]


@command(app, "import")
def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="As its format says.")],
    site: Annotated[str, typer.Option("--site", help="Whose provider accounts.")],
    form: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="sacct, kubernetes, focus or csv.")
    ],
    source: Annotated[
        str, typer.Option("--source", help="Series in which lines are unique; the format's name.")
    ] = "",
    zone: Annotated[
        str, typer.Option("--zone", help='Of times without an offset, such as "+08:00".')
    ] = "",
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Import a provider's accounting: all of it, or nothing where a line is wrong."""
    from fenglin.client.metering import import_file as ask  # noqa: PLC0415 - help needs none

    _check_file(file)
    call = ask(file, site=site, form=form, file=file.name, source=source, zone=zone)
    with hub_client(hub) as client:
        _show_imported([client.call(call)], output)


@command(app, "record")
def record(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV of ended tasks.")],
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Tell of ends of tasks that the hub has not heard of; each is billed once, however late.

    Columns: attempt, task, started_ms, wall_ms, and cpu_ms if it is known.
    """
    from fenglin.client.metering import record as ask  # noqa: PLC0415 - help needs none

    with hub_client(hub) as client:
        done = client.call(ask(_read_uses(file)))
    if output is not Output.TABLE:
        write_data(done, output)
        return
    names = ("new", "billed", "repeated", "contradicting", "foreign")
    write_fields([(name, str(getattr(done, name))) for name in names])


@command(app, "collect")
def collect(
    site: Annotated[str, typer.Option("--site", help="Whose driver is asked.")],
    period: PeriodOption,
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Ask a site's driver for its own totals and charges of a month."""
    from fenglin.client.metering import collect as ask  # noqa: PLC0415 - help needs none

    with hub_client(hub) as client:
        done = client.call(ask(site, period))
    _show_imported(done, output)


@command(app, "check")
def check(
    period: PeriodOption,
    site: SiteOption = "",
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Compare a month with what was imported; what differs is opened as a discrepancy."""
    from fenglin.client.metering import check as ask  # noqa: PLC0415 - help needs none

    with hub_client(hub) as client:
        report = client.call(ask(site, period))
    if output is not Output.TABLE:
        write_data(report, output)
        return
    counts = ("attempts", "matched", "differing", "missing", "untold", "strangers")
    rows = [
        (one.site, one.source, *(str(getattr(one, name)) for name in counts))
        for one in report.series
    ]
    write_table(_SERIES, rows)
    write("\n")
    write_fields(
        [
            ("found", str(report.found)),
            ("opened", ", ".join(report.opened) or "none"),
            ("not closed", str(report.pending)),
            ("no longer show", ", ".join(report.stale)),
            ("no accounting", ", ".join(report.without)),
        ]
    )


@command(app, "discrepancies")
def discrepancies(  # noqa: PLR0913, PLR0917 - one argument per option
    state: Annotated[str, typer.Option("--state", help="open, explained, accepted, …")] = "",
    kind: Annotated[str, typer.Option("--kind", help="duration, cost, overlap, …")] = "",
    site: SiteOption = "",
    period: PeriodOption = "",
    job: Annotated[str, typer.Option("--job", help="Such as j7.")] = "",
    limit: LimitOption = 200,
    everything: AllOption = False,
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
    hub: HubOption = "",
) -> None:
    """List discrepancies; a tenant sees those of its own jobs."""
    from fenglin.client.metering import discrepancies as ask  # noqa: PLC0415 - help needs none

    fields = (
        ("state", state), ("kind", kind), ("site", site), ("period", period), ("job", job),
    )  # fmt: skip
    cut = Cut(fields, limit=limit, everything=everything)
    with hub_client(hub) as client:
        page = client.pages(ask, cut.filter(), cut.most())
    show_page(page, Layout(_ITEMS, _cells), output, header=not no_header)


@command(app, "resolve")
def resolve(
    item: ItemArgument,
    state: Annotated[
        str, typer.Option("--as", metavar="STATE", help="explained, accepted, disputed or closed.")
    ],
    why: Annotated[str, typer.Option("--why", help="Kept for ever.")],
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Take a discrepancy a step on; who, when and why are kept."""
    from fenglin.client.metering import resolve as ask  # noqa: PLC0415 - help needs none
    from fenglin.wire.metering_views import DiscrepancyStep  # noqa: PLC0415 - help needs none

    with hub_client(hub) as client:
        view = client.call(ask(item, DiscrepancyStep(state=state, why=why)))
    _show_item(view, output)


@command(app, "explain")
def explain(item: ItemArgument, output: OutputOption = Output.TABLE, hub: HubOption = "") -> None:
    """Show a discrepancy with its evidence and its steps."""
    from fenglin.client.metering import discrepancy  # noqa: PLC0415 - help needs none

    with hub_client(hub) as client:
        view = client.call(discrepancy(item))
    _show_item(view, output)


@command(app, "give-back")
def give_back(  # noqa: PLR0913, PLR0917 - one argument per option
    line: Annotated[str, typer.Argument(metavar="LINE", help="As the file named it.")],
    site: Annotated[str, typer.Option("--site", help="Of the line.")],
    key: Annotated[str, typer.Option("--key", metavar="KEY", help="Your own; gives back once.")],
    why: Annotated[str, typer.Option("--why", help="Stands on the statement, for ever.")],
    source: Annotated[str, typer.Option("--source", help="Series of the line.")] = "csv",
    quantity: Annotated[
        str,
        typer.Option("--quantity", metavar="N", help="As the line tells it; else all of it."),
    ] = "",
    held_bytes: Annotated[
        str, typer.Option("--bytes", metavar="N", help="Of storage instead: bytes not held.")
    ] = "",
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Give back what a line of storage, egress or frames was charged too much, or all of it."""
    from fenglin.client.metering import give_back as ask  # noqa: PLC0415 - help needs none
    from fenglin.wire.metering_views import GiveBack  # noqa: PLC0415 - help needs none

    if held_bytes and not (held_bytes.isascii() and held_bytes.isdigit()):
        raise InputError("this is no whole number", where="--bytes")
    asked = GiveBack(
        site=site, source=source, line=line, key=key, why=why, quantity=quantity,
        held_bytes=int(held_bytes) if held_bytes else None,
    )  # fmt: skip
    with hub_client(hub) as client:
        done = client.call(ask(asked))
    if output is not Output.TABLE:
        write_data(done, output)
        return
    fields = [
        ("entry", f"{done.entry} ({done.key})"),
        ("account", done.account),
        ("given back", f"{done.quantity} of {done.unit}, {format_money(done.amount_micro)}"),
        ("still charged", done.left),
    ]
    if done.vouchers_micro:
        fields.append(("to vouchers", f"{format_money(done.vouchers_micro)} of that"))
    write_fields(fields)


@command(app, "show")
def show(
    job: Annotated[str, typer.Argument(metavar="JOB", help="Such as j7.")],
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Show all that was metered of a job: our figures, the provider's, charged lines, energy."""
    from fenglin.client.metering import job_metering  # noqa: PLC0415 - help needs none

    with hub_client(hub) as client:
        view = client.call(job_metering(job))
    if output is not Output.TABLE:
        write_data(view, output)
        return
    for one in view.attempts:
        write_fields(_attempt_fields(one))
        write("\n")
    if view.charged:
        write_table(_CHARGED, map(_charged, view.charged))
        write("\n")
    if view.discrepancies:
        write_table(_ITEMS, map(_cells, view.discrepancies))


@command(app, "energy")
def energy(
    period: PeriodOption,
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
    hub: HubOption = "",
) -> None:
    """Show a month's energy and CO2 by account, site and grade."""
    from fenglin.client.metering import energy as ask  # noqa: PLC0415 - help needs none

    with hub_client(hub) as client:
        report = client.call(ask(period))
    if output is not Output.TABLE:
        write_data(report, output)
        return
    rows = [
        (
            one.account, one.site, one.grade, str(one.attempts),
            "" if one.grade == "unknown" else f"{one.energy_j / _KWH_J:.3f}",
            _carbon(one.carbon_mg, one.carbon_unknown, one.attempts),
        )
        for one in report.rows
    ]  # fmt: skip
    write_table(_ENERGY, rows, header=not no_header)
    for factor in report.factors:
        write(f"CO2 modelled by {factor}\n")


def _carbon(carbon_mg: int, unknown: int, attempts: int) -> str:
    if unknown == attempts:
        return ""
    kilograms = f"{carbon_mg / 1_000_000:.3f}"
    return f"{kilograms} + {unknown} unknown" if unknown else kilograms


def _check_file(file: Path) -> None:
    try:
        with file.open("rb"):
            return
    except OSError as error:
        what = f"the file cannot be read: {error.strerror}"
        raise InputError(what, where=str(file)) from error


def _read_uses(file: Path) -> LateUses:
    """Return the records of a CSV.

    Raises:
        InputError: it cannot be read.
        InputProblems: what is wrong in it, by line and column.
    """
    from fenglin.wire.metering_views import LateUse, LateUses  # noqa: PLC0415 - help needs none

    _check_file(file)
    problems: list[Problem] = []
    records: list[LateUse] = []
    with file.open(encoding="utf-8", errors="replace", newline="") as lines:
        reader = csv.reader(lines)
        head = next(reader, [])
        lacking = [name for name in _RECORD_COLUMNS[:4] if name not in head]
        problems += [Problem(name, "the column is missing", line=1) for name in lacking]
        for cells in () if lacking else reader:
            row = dict(zip(head, cells, strict=False))
            numbers = {name: row.get(name, "") or "0" for name in _RECORD_COLUMNS[1:]}
            wrong = [name for name, text in numbers.items() if not _is_number(text)]
            problems += [
                Problem(name, "this is no whole number", "", reader.line_num, head.index(name) + 1)
                for name in wrong
            ]
            if not wrong:
                values = {name: int(text) for name, text in numbers.items()}
                records.append(LateUse(attempt=row.get("attempt", ""), **values))
    if problems:
        raise InputProblems(str(file), tuple(problems[:100]))
    return LateUses(records=records)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 15


def _show_imported(done: Sequence[Imported], output: Output) -> None:
    if output is not Output.TABLE:
        write_data(done[0] if len(done) == 1 else done, output)
        return
    names = ("site", "source", "added", "unchanged", "contradicting", "passed", "untold")
    for one in done:
        fields = [(name, str(getattr(one, name))) for name in names]
        if one.charged:
            cost = format_money(one.charged_micro)
            fields.append(("charged", f"{one.charged} lines, {cost}"))
        write_fields(fields)


def _cells(one: ItemView) -> tuple[str, ...]:
    return (
        one.id, one.state, one.kind, one.site, one.attempt, one.ours, one.theirs, one.text,
    )  # fmt: skip


def _show_item(view: ItemView, output: Output) -> None:
    if output is not Output.TABLE:
        write_data(view, output)
        return
    names = (
        "id", "kind", "state", "site", "source", "account", "job", "attempt", "subject", "ours",
        "theirs", "text", "period",
    )  # fmt: skip
    steps = [(one.state, f"{moment(one.time_ms)}  {one.who}: {one.why}") for one in view.steps]
    write_fields([*((name, getattr(view, name)) for name in names), *steps])


def _attempt_fields(one: AttemptMetering) -> list[tuple[str, str]]:
    energy = ""
    if one.energy is not None:
        energy = f"{one.energy.energy_j / _KWH_J:.6f} kWh, {one.energy.grade} ({one.energy.basis})"
    carbon = ""
    if one.energy is not None and one.energy.carbon_mg is not None:
        grams = f"{one.energy.carbon_mg / 1_000:.3f} g"
        carbon = f"{grams}, {one.energy.carbon_grade} ({one.energy.factor})"
    return [
        ("attempt", one.attempt),
        ("site", one.site),
        ("tasks", str(one.tasks)),
        ("ran", f"{one.wall_ms / 1_000:.3f} s"),
        ("ended early", one.reason),
        ("cost", format_money(one.cost_micro, one.currency)),
        ("energy", energy or "unknown"),
        ("CO2", carbon or "unknown"),
        *(
            ("late", f"task {told.task}, {told.wall_ms / 1_000:.3f} s, {told.outcome}")
            for told in one.late
        ),
        *((line.source, _line(line)) for line in one.lines),
    ]


def _charged(one: ChargedView) -> tuple[str, ...]:
    back = f"{one.back}, {format_money(one.back_micro)}" if one.back != "0" else ""
    return (
        one.site, one.source, one.line, one.unit, one.quantity, format_money(one.cost_micro), back,
    )  # fmt: skip


def _line(line: LineView) -> str:
    ran = "" if line.wall_ms is None else f"{line.wall_ms / 1_000:.3f} s"
    cost = "" if line.cost_micro is None else format_money(line.cost_micro, line.currency)
    return ", ".join(filter(None, (line.line, line.resource, line.what, ran, cost)))
