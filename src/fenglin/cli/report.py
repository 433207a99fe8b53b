"""`fenglin report`: the operation report of a month."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fenglin.cli.report_files import deliver
from fenglin.cli.session import HubOption, command, group, hub_client
from fenglin.errors import InputError

app = group("Make the operation report of a month.")


class Form(StrEnum):
    """Forms of a report."""

    XLSX = "xlsx"
    JSON = "json"


@command(app, "month")
def report_month(
    period: Annotated[str, typer.Option("--period", metavar="YYYY-MM", help="Month.")],
    form: Annotated[Form, typer.Option("--output", "-o", help="Form.")] = Form.XLSX,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write there, whole or not at all.")
    ] = None,
    hub: HubOption = "",
) -> None:
    """Make a workbook of inventory, usage, load, energy, promises, settlements, reconciliation.

    Its sums are formulas over the rows, and each figure says how much it is worth: live, declared,
    measured, modelled or simulated.
    """
    if form is Form.XLSX and out is None:
        raise InputError("where should the workbook go?", where="--out", hint="name a file")
    from fenglin.client.settling import month_report  # noqa: PLC0415 - slow; help needs none

    with hub_client(hub) as client:
        made = client.call(month_report(period))
    if form is Form.JSON:
        import msgspec  # noqa: PLC0415 - slow

        deliver(msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n", out)
        return
    from fenglin.cli.report_book import report_xlsx  # noqa: PLC0415 - slow

    deliver(report_xlsx(made), out)
