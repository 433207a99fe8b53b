"""`fenglin inventory`: declared facilities, checked and added up; asks no hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fenglin.cli.output import Column, Output, write, write_data, write_table
from fenglin.cli.session import NoHeaderOption, OutputOption, command, group
from fenglin.errors import ConflictError, InputError

if TYPE_CHECKING:
    from fenglin.catalog.devices import Registry
    from fenglin.catalog.inventory.facts import Facility

app = group("Check and add up what facilities declare, per class and precision.")

FileOption = Annotated[Path, typer.Option("--file", metavar="FILE", help="The declaration.")]
DevicesOption = Annotated[
    Path | None,
    typer.Option("--devices", metavar="FILE", help="A device file, as [catalog] names it."),
]


@command(app, "verify")
def verify_inventory(
    file: FileOption,
    devices: DevicesOption = None,
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
) -> None:
    """Check that the figures of a declaration can all be true.

    Exit code 5 when some cannot; each is shown with both figures.
    """
    from fenglin.catalog.inventory.checks import check  # noqa: PLC0415 - slow; help needs none

    known = _registry(devices)
    facilities = _facilities(file)
    found = [(one.name, finding) for one in facilities for finding in check(one, known)]
    if output is not Output.TABLE:
        write_data([{"facility": name, **one._asdict()} for name, one in found], output)
    elif found:
        columns = (Column("FACILITY"), Column("CHECK"), Column("ABOUT"), Column("WHAT"))
        rows = [(name, one.rule, one.subject, one.what) for name, one in found]
        write_table(columns, rows, header=not no_header)
    else:
        write(f"{len(facilities)} facilities, all checks hold\n")
    if found:
        raise ConflictError(
            f"{len(found)} checks do not hold", where=str(file), hint="correct what is wrong"
        )


@command(app, "total")
def show_totals(
    file: FileOption,
    compute_class: Annotated[
        str, typer.Option("--class", help="general, ai or super; all, each alone.")
    ] = "",
    precision: Annotated[
        str, typer.Option("--precision", help="Such as fp16; all, each alone.")
    ] = "",
    devices: DevicesOption = None,
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
) -> None:
    """Add up dense peaks per class and per precision, nominal and measured side by side.

    Precisions are never added to one another.
    """
    from fenglin.catalog.inventory.checks import PRECISIONS  # noqa: PLC0415
    from fenglin.catalog.inventory.totals import one_precision, rows, total  # noqa: PLC0415
    from fenglin.model.states import ComputeClass  # noqa: PLC0415

    if compute_class and compute_class not in tuple(ComputeClass):
        classes = ", ".join(ComputeClass)
        raise InputError(
            f"{compute_class!r} is no class", where="--class", hint=f"one of {classes}"
        )
    wanted = [ComputeClass(compute_class)] if compute_class else list(ComputeClass)
    # An empty word stands for each alone; `all` and `fp16,fp64` would be a sum.
    precisions = [one_precision(precision)] if precision else PRECISIONS
    known, facilities = _registry(devices), _facilities(file)
    behind = {one: list(rows(facilities, known, one)) for one in precisions}
    found = [total(each, one, behind[one]) for each in wanted for one in precisions]
    if output is not Output.TABLE:
        write_data(found, output)
        return
    heads = ("DEVICES", "NOMINAL T", "UNKNOWN", "TESTED", "MEASURED T", "OF NOMINAL T")
    columns = [Column("CLASS"), Column("PRECISION"), *(Column(one, right=True) for one in heads)]
    cells = [
        (
            one.compute_class, one.precision, _n(one.devices_milli), _n(one.nominal_gflops),
            _n(one.unknown_milli), _n(one.measured_milli), _n(one.measured_gflops),
            _n(one.measured_of_gflops),
        )
        for one in found
        if one.devices_milli or one.unknown_milli
    ]  # fmt: skip
    write_table(columns, cells, header=not no_header)


@command(app, "show")
def show_rows(
    file: FileOption,
    total: Annotated[
        str, typer.Option("--total", metavar="CLASS:PRECISION", help="Which total, as ai:fp16.")
    ],
    devices: DevicesOption = None,
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
) -> None:
    """Show the rows behind a total, each with the evidence of its count and of its peak."""
    from fenglin.catalog.inventory.totals import parse_total, rows  # noqa: PLC0415

    wanted, precision = parse_total(total)
    mine = rows(_facilities(file), _registry(devices), precision)
    found = [row for row in mine if row.compute_class is wanted]
    if output is not Output.TABLE:
        write_data(found, output)
        return
    columns = (
        Column("PLACE"), Column("DEVICE"), Column("COUNT", right=True),
        Column("EACH T", right=True),
        Column("TOTAL T", right=True), Column("MEASURED T", right=True), Column("COUNT BY"),
        Column("PEAK BY"), Column("TEST BY"),
    )  # fmt: skip
    cells = [
        (
            one.place, one.device, _n(one.count_milli), _n(one.each_gflops), _n(one.total_gflops),
            _n(one.measured_gflops), one.evidence, one.figure, one.measured_evidence,
        )
        for one in found
    ]  # fmt: skip
    write_table(columns, cells, header=not no_header)


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
