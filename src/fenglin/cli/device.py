"""`fenglin device`: which parts the registry knows, and which meet a need; asks no hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fenglin.cli.output import Column, Output, write, write_data, write_fields, write_table
from fenglin.cli.session import NoHeaderOption, OutputOption, command, group
from fenglin.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from fenglin.catalog.device import Device
    from fenglin.catalog.devices import Registry
    from fenglin.model.job import AcceleratorNeed

app = group("List, show and match accelerators and CPUs of the device registry.")

DevicesOption = Annotated[
    Path | None,
    typer.Option("--devices", metavar="FILE", help="A device file, as [catalog] names it."),
]
_FIGURE_COLUMNS = (
    Column("MEASURE"),
    Column("VALUE", right=True),
    Column("UNIT"),
    Column("RULES"),
    Column("GRADE"),
    Column("BY"),
    Column("SOURCE"),
    Column("DATE"),
)


@command(app, "list")
def list_devices(
    devices: DevicesOption = None,
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
) -> None:
    """List all parts with the figures that rule; a dash is unknown, not zero.

    Peaks are dense TFLOPS or TOPS. A star stands where two sources disagree.
    """
    from fenglin.catalog.device import Measure  # noqa: PLC0415 - slow; help needs none

    parts = read_registry(devices).devices
    if output is not Output.TABLE:
        write_data(parts, output)
        return
    shown = (
        Measure.FP64, Measure.FP32, Measure.FP16, Measure.INT8, Measure.MEMORY,
        Measure.BANDWIDTH, Measure.POWER,
    )  # fmt: skip
    heads = ("FP64", "FP32", "FP16", "INT8", "GIB", "GB/S", "W")
    columns = [Column("DEVICE"), Column("VENDOR"), Column("DOMESTIC")]
    columns += [Column(head, right=True) for head in heads]
    rows = [
        (part.key, part.vendor, _yes(part.domestic), *(_cell(part, one) for one in shown))
        for part in parts
    ]
    write_table(columns, rows, header=not no_header)


@command(app, "show")
def show_device(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Any usual spelling.")],
    devices: DevicesOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show a part with every figure, its evidence, and the names it goes by."""
    from fenglin.catalog.device import UNITS, ruling  # noqa: PLC0415

    part = _part(read_registry(devices), name)
    if output is not Output.TABLE:
        write_data(part, output)
        return
    write_fields(
        [
            ("device", part.key),
            ("vendor", part.vendor),
            ("domestic", _yes(part.domestic) or "unknown"),
            ("also", ", ".join(part.aliases)),
            ("kubernetes", ", ".join(part.kubernetes)),
            ("gres", ", ".join(part.gres)),
            ("cloud", ", ".join(part.cloud)),
            ("conflicts", ", ".join(part.conflicts())),
            ("note", part.note),
        ]
    )
    write("\n")
    rows = [
        (
            one.measure, f"{one.value:,}", UNITS[one.measure],
            "yes" if ruling(part.figures, one.measure) is one else "no",
            one.grade, one.by, one.source, one.date,
        )
        for one in part.figures
    ]  # fmt: skip
    write_table(_FIGURE_COLUMNS, rows)


@command(app, "match")
def match_devices(  # noqa: PLR0913, PLR0917 - one option each
    model: Annotated[str, typer.Option("--model", help="Exactly this one.")] = "",
    vendor: Annotated[str, typer.Option("--vendor", help="Maker, or a family: ascend.")] = "",
    domestic: Annotated[bool, typer.Option("--domestic", help="Of a Chinese maker.")] = False,
    memory: Annotated[str, typer.Option("--memory", metavar="SIZE", help="Least, a card.")] = "",
    fp16: Annotated[str, typer.Option("--fp16", metavar="TFLOPS", help="Least dense peak.")] = "",
    fp64: Annotated[str, typer.Option("--fp64", metavar="TFLOPS", help="Least dense peak.")] = "",
    devices: DevicesOption = None,
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
) -> None:
    """Say of every accelerator whether it meets a need, and if not, why."""
    from fenglin.catalog.devices import shortfalls, use  # noqa: PLC0415

    known = read_registry(devices)
    use(known)
    wanted = {"model": model, "vendor": vendor, "memory": memory, "fp16": fp16, "fp64": fp64}
    need = _need({key: value for key, value in wanted.items() if value}, domestic=domestic)
    found = [(part, shortfalls(part, need)) for part in known.devices if not part.cpu]
    if output is not Output.TABLE:
        write_data(
            [{"device": one.key, "qualifies": not why, "why": why} for one, why in found], output
        )
        return
    found.sort(key=lambda row: bool(row[1]))
    rows = [(one.key, "no" if why else "yes", "; ".join(why)) for one, why in found]
    columns = (Column("DEVICE"), Column("QUALIFIES"), Column("WHY NOT"))
    write_table(columns, rows, header=not no_header)


def _need(wanted: dict[str, str], *, domestic: bool) -> AcceleratorNeed:
    """Return the need, read as a job file's is."""
    from fenglin.intake.needs import accelerators  # noqa: PLC0415
    from fenglin.intake.report import Report  # noqa: PLC0415
    from fenglin.model.job import AcceleratorNeed  # noqa: PLC0415

    out: dict[str, object] = {}
    report = Report(0)
    document: dict[str, object] = {**wanted, **({"domestic": True} if domestic else {})}
    accelerators(document, out, report)
    for problem in report.found[:1]:
        raise InputError(problem.what, where=f"--{problem.path[-1]}", hint=problem.hint)
    found = out["accelerator"]
    assert isinstance(found, AcceleratorNeed)  # noqa: S101 - what `accelerators` sets
    return found


def read_registry(devices: Path | None) -> Registry:
    """Return the registry, with what a device file adds."""
    from fenglin.catalog.devices import BUILT_IN  # noqa: PLC0415

    if devices is None:
        return BUILT_IN
    from fenglin.intake.devicefile import read_device_file  # noqa: PLC0415

    try:
        text = devices.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the device file cannot be read: {error}", where=str(devices)) from error
    return read_device_file(text, str(devices), BUILT_IN)


def _part(known: Registry, name: str) -> Device:
    part = known.part(name)
    if part is None:
        from difflib import get_close_matches  # noqa: PLC0415

        names = [one.key for one in known.devices]
        near = get_close_matches(name, names, cutoff=0.4)
        raise NotFoundError(
            f"the registry knows no {name[:80]!r}",
            hint=f"near are {', '.join(near)}" if near else "`fenglin device list` shows all",
        )
    return part


def _cell(part: Device, measure: object) -> str:
    """Return a figure for the list, marked when sources disagree."""
    from fenglin.catalog.device import PEAKS, Measure  # noqa: PLC0415

    one = Measure(str(measure))
    value = part.value(one)
    if value is None:
        return ""
    text = f"{value / 1_000:g}" if one in PEAKS else str(value)
    return text + ("*" if one in part.conflicts() else "")


def _yes(value: bool | None) -> str:
    return "" if value is None else "yes" if value else "no"
