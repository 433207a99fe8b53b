"""`fenglin statement`: a tenant's bill of a month, with the proof of every line."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fenglin.cli.output import Column, write, write_bytes, write_fields, write_table
from fenglin.cli.session import HubOption, NoHeaderOption, hub_client, single
from fenglin.errors import FenglinError, InputError
from fenglin.model.job import DEFAULT_ACCOUNT
from fenglin.quantities.money import format_money

if TYPE_CHECKING:
    from fenglin.ledger.bill import Bill

_COLUMNS = (
    Column("TIME"),
    Column("CATEGORY"),
    Column("JOB"),
    Column("SITE"),
    Column("ITEM"),
    Column("QUANTITY", right=True),
    Column("PRICE", right=True),
    Column("AMOUNT", right=True),
)


class Form(StrEnum):
    """Forms of a bill."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    XLSX = "xlsx"
    HTML = "html"


def show_bill(
    period: Annotated[str, typer.Option("--period", metavar="YYYY-MM", help="Month.")],
    tenant: Annotated[
        str, typer.Option("--tenant", help="Whose; your own, or `default` for an admin.")
    ] = "",
    form: Annotated[Form, typer.Option("--output", "-o", help="Form.")] = Form.TABLE,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write there, whole or not at all.")
    ] = None,
    no_header: NoHeaderOption = False,
    hub: HubOption = "",
) -> None:
    """Show a tenant's bill of a month; of a month that is over it never changes.

    With -o json it carries its proof: `fenglin ledger prove --statement FILE` verifies it without
    the hub.
    """
    if form is Form.XLSX and out is None:
        raise InputError("where should the workbook go?", where="--out", hint="name a file")
    bill = _fetch(hub, tenant, period)
    if form is Form.TABLE and out is None:
        _show(bill, header=not no_header)
        return
    data = _bytes(bill, form)
    if out is None:
        write_bytes(data)
        return
    from fenglin.cli.files import replacing  # noqa: PLC0415 - only for a file

    try:
        with replacing(out) as file:
            file.write(data)
    except OSError as error:
        raise FenglinError(f"cannot be written: {error.strerror}", where=str(out)) from error


def _fetch(hub: str, tenant: str, period: str) -> Bill:
    from fenglin.client.bills import bill  # noqa: PLC0415 - slow; help needs none

    with hub_client(hub) as client:
        try:
            return client.call(bill(tenant, period))
        except InputError as error:
            # An admin's token belongs to no account, so the hub asks for one.
            if tenant or "account" not in error.where:
                raise
            return client.call(bill(DEFAULT_ACCOUNT, period))


def _bytes(bill: Bill, form: Form) -> bytes:
    """Return a bill as a file."""
    if form is Form.TABLE:
        raise InputError("a table is for a terminal", where="--out", hint="add -o html, say")
    if form is Form.JSON:
        import msgspec  # noqa: PLC0415 - tables do without

        return msgspec.json.format(msgspec.json.encode(bill), indent=2) + b"\n"
    from fenglin.cli.bill_forms import bill_csv, bill_html, bill_xlsx  # noqa: PLC0415 - slow

    return {Form.CSV: bill_csv, Form.XLSX: bill_xlsx, Form.HTML: bill_html}[form](bill)


def _show(bill: Bill, *, header: bool) -> None:
    """Write a bill to the terminal; all digits, since it is a bill."""
    from fenglin.cli.bill_forms import (  # noqa: PLC0415 - slow
        bill_time,
        dues,
        hours_sums,
        summary,
    )
    from fenglin.ledger.bill import rows  # noqa: PLC0415

    currency = bill.commodity
    write_fields(
        [
            ("tenant", bill.account),
            ("period", f"{bill.period}{'' if bill.final else ', which still runs'}"),
            ("figures", bill.grade),
            *((name, format_money(amount, currency)) for name, amount in summary(bill)),
            *((name, format_money(amount, currency)) for name, amount in dues(bill)),
            ("held", format_money(bill.closing.held_micro, currency)),
            ("proof", f"{len(bill.proof.entries)} entries, with -o json" if bill.proof else ""),
        ]
    )
    lines = [
        (
            bill_time(bill, row.time_ms),
            row.category,
            row.job,
            row.site,
            row.item,
            row.quantity,
            "" if row.price_micro is None else format_money(row.price_micro, currency),
            format_money(row.amount_micro, currency),
        )
        for row in rows(bill)
    ]
    if lines:
        write("\n")
        write_table(_COLUMNS, lines, header=header)
    for one in bill.hours:
        write("\n")
        sums = (*hours_sums(one), ("held", one.closing.held_micro))
        write_fields(
            [("paid in", one.kind), *((name, format_money(n, one.kind)) for name, n in sums)]
        )


app = single(show_bill, "statement")
