"""`fenglin inventory`: the closed loop on a hub, from a declaration to a month's report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fenglin.cli.humane import moment
from fenglin.cli.output import Column, Output, write, write_data, write_fields, write_table
from fenglin.cli.session import (
    HubOption,
    NoHeaderOption,
    OutputOption,
    command,
    hub_client,
)
from fenglin.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.catalog.inventory.difference import Change
    from fenglin.wire.inventory_views import AnomalyView, InventoryReport, InventoryView

AnomalyArgument = Annotated[str, typer.Argument(metavar="ANOMALY", help="Such as a12.")]
DocumentOption = Annotated[
    str, typer.Option("--document", metavar="TEXT", help="The evidence: what and where it is.")
]
_ANOMALIES = (
    Column("ID"), Column("FACILITY"), Column("STATE"), Column("FITS AGAIN"), Column("CHECK"),
    Column("WHAT"), Column("SINCE"),
)  # fmt: skip
_CHANGES = (Column("FACILITY"), Column("FIGURE"), Column("BEFORE"), Column("AFTER"))


def join(app: typer.Typer) -> None:
    """Add these commands to the group."""
    for name, function in (
        ("declare", declare_facilities),
        ("publish", publish_inventory),
        ("anomalies", list_anomalies),
        ("rectify", rectify_anomaly),
        ("waive", waive_anomaly),
        ("history", show_history),
        ("diff", show_difference),
        ("report", show_report),
    ):
        command(app, name)(function)


def take(hub: str, **words: str | tuple[str, ...]) -> InventoryView:
    """Record a step of the closed loop on a hub; return what stands then."""
    from fenglin.client.inventory import inventory_step  # noqa: PLC0415 - slow; help needs none
    from fenglin.wire.inventory_views import InventoryAsk  # noqa: PLC0415 - the same

    with hub_client(hub) as client:
        return client.call(inventory_step(InventoryAsk(**words)))  # type: ignore[arg-type]


def declare_facilities(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The declaration, TOML.")],
    document: DocumentOption = "",
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
    hub: HubOption = "",
) -> None:
    """Declare facilities: all of the file or nothing; its figures are checked at once.

    What cannot be true, or is not what drivers see, becomes an anomaly order.
    """
    from fenglin.client.inventory import inventory_declare  # noqa: PLC0415 - slow

    try:
        data = file.read_bytes()
    except OSError as error:
        raise InputError(
            f"the declaration cannot be read: {error.strerror}", where=str(file)
        ) from error
    with hub_client(hub) as client:
        done = client.call(inventory_declare(data, file.name, document))
    if output is not Output.TABLE:
        write_data(done, output)
        return
    write(f"declared: {' '.join(done.facilities)}\n")
    if done.anomalies:
        show_anomalies(done.anomalies, header=not no_header)


def publish_inventory(
    leave_out: Annotated[
        list[str] | None,
        typer.Option("--leave-out", metavar="FACILITY", help="Stays as it was published before."),
    ] = None,
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="In words.")] = "",
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
    hub: HubOption = "",
) -> None:
    """Publish all facilities as a numbered snapshot that never changes.

    Each must be verified and free of open anomalies. Devices that came or went since the last
    publication, figures that jumped and evidence that got worse become anomaly orders.
    """
    view = take(hub, step="publish", leave_out=tuple(leave_out or ()), note=note)
    head = view.snapshots[-1]
    if output is not Output.TABLE:
        write_data({"snapshot": head, "anomalies": view.anomalies}, output)
        return
    write(f"published: {head.id}, sha256 {head.sha256}\n")
    if view.anomalies:
        show_anomalies(view.anomalies, header=not no_header)


def list_anomalies(
    every: Annotated[bool, typer.Option("--all", help="Also those that are settled.")] = False,
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
    hub: HubOption = "",
) -> None:
    """List anomaly orders: what does not fit, and who must still act.

    An order that fits again says so, and stays open until it is rectified and verified.
    """
    from fenglin.client.inventory import inventory  # noqa: PLC0415 - slow; help needs none

    with hub_client(hub) as client:
        found = client.call(inventory(every=every)).anomalies
    if output is not Output.TABLE:
        write_data({"items": found}, output)
        return
    show_anomalies(found, header=not no_header)


def rectify_anomaly(
    anomaly: AnomalyArgument,
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="How it was rectified.")],
    document: DocumentOption = "",
    hub: HubOption = "",
) -> None:
    """Say how an anomaly was rectified; a verification must confirm it."""
    take(hub, step="rectify", anomaly=anomaly, note=note, document=document)
    write(f"{anomaly}: rectified, to be verified\n")


def waive_anomaly(
    anomaly: AnomalyArgument,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why it may stay so.")],
    document: DocumentOption = "",
    hub: HubOption = "",
) -> None:
    """Accept an anomaly exactly as it is, with a reason; another figure opens a new one."""
    take(hub, step="waive", anomaly=anomaly, note=reason, document=document)
    write(f"{anomaly}: waived\n")


def show_history(
    facility: Annotated[str, typer.Argument(metavar="[FACILITY]", help="Only this one.")] = "",
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
    hub: HubOption = "",
) -> None:
    """Show who declared, verified, published, rectified what, and when; nothing is ever removed."""
    from fenglin.client.inventory import inventory_history  # noqa: PLC0415 - slow

    steps = []
    with hub_client(hub) as client:
        after: int | None = 0
        while after is not None:
            page = client.call(inventory_history(facility, after, 1_000))
            steps += page.steps
            after = page.next or None
    if output is not Output.TABLE:
        write_data({"items": steps}, output)
        return
    columns = (
        Column("STEP", right=True), Column("TIME"), Column("WHO"), Column("KIND"),
        Column("FACILITY"), Column("SUBJECT"), Column("NOTE"), Column("DOCUMENT"),
    )  # fmt: skip
    rows = [
        (
            str(one.seq), moment(one.time_ms), one.actor, one.kind, one.facility, one.subject,
            one.note, one.document,
        )
        for one in steps
    ]  # fmt: skip
    write_table(columns, rows, header=not no_header)


def show_difference(
    earlier: Annotated[
        str, typer.Option("--from", metavar="NAME", help="s3, or a month: its last publication.")
    ],
    later: Annotated[
        str, typer.Option("--to", metavar="NAME", help="The same; the newest if left out.")
    ] = "",
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
    hub: HubOption = "",
) -> None:
    """Show every figure and word in which two publications differ."""
    from fenglin.client.inventory import inventory_diff  # noqa: PLC0415 - slow

    with hub_client(hub) as client:
        found = client.call(inventory_diff(earlier, later))
    if output is not Output.TABLE:
        write_data(found, output)
        return
    _show_changes(found.changes, header=not no_header)


def show_report(
    period: Annotated[str, typer.Option("--period", metavar="YYYY-MM", help="Which month.")],
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
    hub: HubOption = "",
) -> None:
    """Show a month's inventory: the publication that counts, its totals, changes and anomalies."""
    from fenglin.client.inventory import inventory_report  # noqa: PLC0415 - slow

    with hub_client(hub) as client:
        found = client.call(inventory_report(period))
    if output is not Output.TABLE:
        write_data(found, output)
        return
    _write_report(found, header=not no_header)


def _write_report(found: InventoryReport, *, header: bool) -> None:
    head = found.snapshot
    write_fields(
        [
            ("period", found.period),
            ("publication", head.id if head is not None else "none yet"),
            ("published", moment(head.published_ms) if head is not None else ""),
            ("by", head.published_by if head is not None else ""),
            ("sha256", head.sha256 if head is not None else ""),
            ("facilities", str(len(found.facilities))),
            ("anomalies", f"{len(found.opened)} opened, {len(found.settled)} settled"),
            ("not settled", str(len(found.unsettled))),
        ]
    )
    if found.totals:
        write("\n")
        heads = ("DEVICES", "NOMINAL T", "UNKNOWN", "MEASURED T")
        columns = [Column("CLASS"), Column("PRECISION"), *(Column(h, right=True) for h in heads)]
        figures = [
            (one.devices_milli, one.nominal_gflops, one.unknown_milli, one.measured_gflops)
            for one in found.totals
        ]
        cells = [
            (one.compute_class, one.precision, *(f"{each / 1_000:,.10g}" for each in row))
            for one, row in zip(found.totals, figures, strict=True)
        ]
        write_table(columns, cells, header=header)
    if found.changes:
        write("\n")
        _show_changes(found.changes, header=header)
    if found.unsettled:
        write("\n")
        show_anomalies(found.unsettled, header=header)


def show_anomalies(found: Sequence[AnomalyView], *, header: bool) -> None:
    """Write anomaly orders as a table."""
    rows = [
        (
            one.id, one.facility, one.state, "yes" if one.agrees else "", one.rule, one.what,
            moment(one.opened_ms),
        )
        for one in found
    ]  # fmt: skip
    write_table(_ANOMALIES, rows, header=header)


def _show_changes(found: Sequence[Change], *, header: bool) -> None:
    rows = [(one.facility, one.key, one.before, one.after) for one in found]
    write_table(_CHANGES, rows, header=header)
