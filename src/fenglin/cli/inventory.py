"""`fenglin inventory`: what exists, with evidence; on a hub, or from a file without one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fenglin.cli.humane import moment
from fenglin.cli.output import Column, Output, write, write_data, write_table
from fenglin.cli.session import (
    HubOption,
    NoHeaderOption,
    OutputOption,
    command,
    group,
    hub_client,
)
from fenglin.errors import ConflictError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.catalog.devices import Registry
    from fenglin.catalog.inventory.facts import Facility
    from fenglin.catalog.inventory.totals import InventoryRow, InventoryTotal
    from fenglin.wire.inventory_views import FacilityView

app = group("Keep the baseline inventory: declare, verify, publish, compare, measure, add up.")

FileOption = Annotated[
    Path | None,
    typer.Option("--file", metavar="FILE", help="A declaration; no hub is asked then."),
]
DevicesOption = Annotated[
    Path | None,
    typer.Option(
        "--devices", metavar="FILE", help="With --file: a device file, as [catalog] names it."
    ),
]
DocumentOption = Annotated[
    str, typer.Option("--document", metavar="TEXT", help="The evidence: what and where it is.")
]
NoteOption = Annotated[str, typer.Option("--note", metavar="TEXT", help="In words.")]


@command(app, "verify")
def verify_inventory(
    facility: Annotated[
        str, typer.Argument(metavar="[FACILITY]", help="Whose figures you vouch for.")
    ] = "",
    document: DocumentOption = "",
    note: NoteOption = "",
    file: FileOption = None,
    devices: DevicesOption = None,
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
    hub: HubOption = "",
) -> None:
    """Vouch for a facility: checks all anew, closes what was rectified and fits again.

    It is recorded with your name. With --file instead: check that the figures of a declaration can
    all be true. Exit code 5 when something does not fit.
    """
    if file is not None:
        if facility or document or note:
            raise InputError("a file is checked without FACILITY, --document and --note")
        _verify_file(file, devices, output, header=not no_header)
        return
    if not facility:
        raise InputError("which facility?", where="FACILITY", hint="or --file to check a file")
    from fenglin.cli.inventory_loop import show_anomalies, take  # noqa: PLC0415 - slow

    view = take(hub, step="verify", facility=facility, document=document, note=note)
    left = [one for one in view.anomalies if one.facility == facility]
    if output is not Output.TABLE:
        write_data(view, output)
    elif left:
        show_anomalies(left, header=not no_header)
    else:
        write(f"{facility}: all checks hold\n")
    if left:
        raise ConflictError(
            f"{len(left)} anomalies of {facility} are open", where=facility,
            hint="rectify each, then verify again",
        )  # fmt: skip


def _verify_file(file: Path, devices: Path | None, output: Output, *, header: bool) -> None:
    from fenglin.catalog.inventory.checks import check  # noqa: PLC0415 - slow; help needs none

    known = _registry(devices)
    facilities = _facilities(file)
    found = [(one.name, finding) for one in facilities for finding in check(one, known)]
    if output is not Output.TABLE:
        write_data([{"facility": name, **one._asdict()} for name, one in found], output)
    elif found:
        columns = (Column("FACILITY"), Column("CHECK"), Column("ABOUT"), Column("WHAT"))
        rows = [(name, one.rule, one.subject, one.what) for name, one in found]
        write_table(columns, rows, header=header)
    else:
        write(f"{len(facilities)} facilities, all checks hold\n")
    if found:
        raise ConflictError(
            f"{len(found)} checks do not hold", where=str(file), hint="correct what is wrong"
        )


@command(app, "total")
def show_totals(
    file: FileOption = None,
    compute_class: Annotated[
        str, typer.Option("--class", help="general, ai or super; all, each alone.")
    ] = "",
    precision: Annotated[
        str, typer.Option("--precision", help="Such as fp16; all, each alone.")
    ] = "",
    devices: DevicesOption = None,
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
    hub: HubOption = "",
) -> None:
    """Add up dense peaks per class and per precision: nominal, measured and seen, side by side.

    Precisions are never added to one another.
    """
    from fenglin.catalog.inventory.totals import one_precision  # noqa: PLC0415 - slow

    if precision:
        one_precision(precision)
    if file is not None:
        found = _file_totals(file, devices, compute_class, precision)
    else:
        from fenglin.client.inventory import inventory_totals  # noqa: PLC0415 - slow

        with hub_client(hub) as client:
            found = client.call(inventory_totals(compute_class, precision)).totals
    if output is not Output.TABLE:
        write_data(found, output)
        return
    heads = ("DEVICES", "NOMINAL T", "UNKNOWN", "TESTED", "MEASURED T", "OF NOMINAL T", "SEEN T")
    columns = [Column("CLASS"), Column("PRECISION"), *(Column(one, right=True) for one in heads)]
    cells = [
        (
            one.compute_class, one.precision, _n(one.devices_milli), _n(one.nominal_gflops),
            _n(one.unknown_milli), _n(one.measured_milli), _n(one.measured_gflops),
            _n(one.measured_of_gflops), "" if file else _n(one.seen_gflops),
        )
        for one in found
        if one.devices_milli or one.unknown_milli or one.seen_milli
    ]  # fmt: skip
    write_table(columns, cells, header=not no_header)


def _file_totals(
    file: Path, devices: Path | None, compute_class: str, precision: str
) -> list[InventoryTotal]:
    from fenglin.catalog.inventory.checks import PRECISIONS  # noqa: PLC0415
    from fenglin.catalog.inventory.totals import rows, total  # noqa: PLC0415
    from fenglin.model.states import ComputeClass  # noqa: PLC0415

    if compute_class and compute_class not in tuple(ComputeClass):
        classes = ", ".join(ComputeClass)
        raise InputError(
            f"{compute_class!r} is no class", where="--class", hint=f"one of {classes}"
        )
    wanted = [ComputeClass(compute_class)] if compute_class else list(ComputeClass)
    # An empty word stands for each alone; `all` and `fp16,fp64` would be a sum.
    precisions = [precision] if precision else PRECISIONS
    known, facilities = _registry(devices), _facilities(file)
    behind = {one: list(rows(facilities, known, one)) for one in precisions}
    return [total(each, one, behind[one]) for each in wanted for one in precisions]


@command(app, "show")
def show_inventory(
    facility: Annotated[
        str, typer.Argument(metavar="[FACILITY]", help="Only this one, with all its figures.")
    ] = "",
    total: Annotated[
        str,
        typer.Option("--total", metavar="CLASS:PRECISION", help="Rows behind a total: ai:fp16."),
    ] = "",
    snapshot: Annotated[
        str, typer.Option("--snapshot", metavar="NAME", help="As published: s3.")
    ] = "",
    file: FileOption = None,
    devices: DevicesOption = None,
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
    hub: HubOption = "",
) -> None:
    """Show facilities; or the rows behind a total, each with its evidence; or a publication."""
    if sum(map(bool, (facility, total, snapshot))) > 1:
        raise InputError("one of FACILITY, --total and --snapshot")
    if file is not None:
        if not total:
            raise InputError("which total?", where="--total", hint="such as ai:fp16")
        _show_rows(_file_rows(file, devices, total), output, header=not no_header)
        return
    from fenglin.client import inventory as calls  # noqa: PLC0415 - slow; help needs none

    with hub_client(hub) as client:
        if total:
            rows = client.call(calls.inventory_rows(total)).rows
            _show_rows(rows, output, header=not no_header)
            return
        if snapshot:
            published = client.call(calls.inventory_snapshot(snapshot))
            if output is not Output.TABLE:
                write_data(published, output)
            else:
                _show_facts([one.facility for one in published.facilities], header=not no_header)
            return
        view = client.call(calls.inventory())
    mine = [one for one in view.facilities if not facility or one.facility.name == facility]
    if facility and not mine:
        from fenglin.errors import NotFoundError  # noqa: PLC0415 - rarely needed

        raise NotFoundError(f"there is no facility {facility[:80]!r}")
    if output is not Output.TABLE:
        write_data(mine[0] if facility else view, output)
    elif facility:
        _show_facts([mine[0].facility], header=not no_header)
    else:
        _show_facilities(mine, header=not no_header)


def _show_facilities(found: Sequence[FacilityView], *, header: bool) -> None:
    columns = (
        Column("FACILITY"), Column("STATUS"), Column("STAGE"), Column("SITES"),
        Column("DECLARED"), Column("BY"), Column("VERIFIED BY"), Column("PUBLISHED"),
        Column("ANOMALIES", right=True),
    )  # fmt: skip
    rows = [
        (
            one.facility.name, one.facility.status, one.stage, " ".join(one.facility.sites),
            moment(one.declared_ms), one.declared_by, one.verified_by, one.snapshot,
            str(one.open_anomalies),
        )
        for one in found
    ]  # fmt: skip
    write_table(columns, rows, header=header)


def _show_facts(found: Sequence[Facility], *, header: bool) -> None:
    """Show every figure and word of facilities."""
    columns = (Column("FACILITY"), Column("FIGURE"), Column("VALUE"))
    rows = [(one.name, key, said) for one in found for key, said in one.rows().items() if said]
    write_table(columns, rows, header=header)


def _file_rows(file: Path, devices: Path | None, total: str) -> list[InventoryRow]:
    from fenglin.catalog.inventory.totals import parse_total, rows  # noqa: PLC0415

    wanted, precision = parse_total(total)
    mine = rows(_facilities(file), _registry(devices), precision)
    return [row for row in mine if row.compute_class is wanted]


def _show_rows(found: Sequence[InventoryRow], output: Output, *, header: bool) -> None:
    if output is not Output.TABLE:
        write_data(found, output)
        return
    columns = (
        Column("PLACE"), Column("GRADE"), Column("DEVICE"), Column("COUNT", right=True),
        Column("EACH T", right=True),
        Column("TOTAL T", right=True), Column("MEASURED T", right=True), Column("COUNT BY"),
        Column("PEAK BY"), Column("TEST BY"),
    )  # fmt: skip
    cells = [
        (
            one.place, one.basis, one.device, _n(one.count_milli), _n(one.each_gflops),
            _n(one.total_gflops), _n(one.measured_gflops), one.evidence, one.figure,
            one.measured_evidence,
        )
        for one in found
    ]  # fmt: skip
    write_table(columns, cells, header=header)


def _facilities(file: Path) -> tuple[Facility, ...]:
    from fenglin.intake.inventoryfile import read_inventory_file  # noqa: PLC0415

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the declaration cannot be read: {error}", where=str(file)) from error
    return read_inventory_file(text, str(file))


def _registry(devices: Path | None) -> Registry:
    from fenglin.cli.device import read_registry  # noqa: PLC0415

    return read_registry(devices)


def _n(milli: int | None) -> str:
    return "" if milli is None else f"{milli / 1_000:,.10g}"


def _load_rest() -> None:
    """Put the commands of the closed loop and of probes into the group."""
    from fenglin.cli import inventory_loop, inventory_probe  # noqa: PLC0415 - they need `app`

    inventory_loop.join(app)
    inventory_probe.join(app)


_load_rest()
