"""`fenglin ledger`: what was used and paid, and the proof of it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fenglin.cli.humane import moment, moment_ms
from fenglin.cli.ledger_close import register as register_close
from fenglin.cli.ledger_proofs import register as register_proofs
from fenglin.cli.output import (
    Column,
    Output,
    write,
    write_bytes,
    write_data,
    write_fields,
    write_table,
)
from fenglin.cli.session import (
    HubOption,
    NoHeaderOption,
    OutputOption,
    command,
    group,
    hub_client,
)
from fenglin.errors import FenglinError, InputError
from fenglin.model.job import DEFAULT_ACCOUNT
from fenglin.quantities.money import format_money

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.wire.views import Statement, StatementLine

app = group("Verify, prove and export the ledger; statements.")

_LINE_COLUMNS = (
    Column("JOB"),
    Column("NAME"),
    Column("SITE"),
    Column("FLAVOR"),
    Column("ITEM"),
    Column("QUANTITY", right=True),
    Column("UNIT"),
    Column("PRICE", right=True),
    Column("AMOUNT", right=True),
)


class ExportForm(StrEnum):
    """Forms in which the ledger leaves."""

    CSV = "csv"
    JSONL = "jsonl"
    BEANCOUNT = "beancount"
    FOCUS = "focus"


@command(app, "statement")
def show_statement(
    account: Annotated[
        str, typer.Option("--account", help="Whose; your own, or `default` for an admin.")
    ] = "",
    start: Annotated[
        str, typer.Option("--from", metavar="TIME", help="First moment, such as 2027-03-01.")
    ] = "",
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="End; now if left out.")] = "",
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
    hub: HubOption = "",
) -> None:
    """Show what an account was charged, line by line."""
    from_ms, to_ms = moment_ms(start), moment_ms(end)
    with hub_client(hub) as client:
        try:
            statement = client.ledger_statement(account, from_ms, to_ms)
        except InputError as error:
            # An admin's token belongs to no account, so the hub asks for one.
            if account or "account" not in error.where:
                raise
            statement = client.ledger_statement(DEFAULT_ACCOUNT, from_ms, to_ms)
    if output is not Output.TABLE:
        write_data(statement, output)
        return
    write_fields(_statement_fields(statement))
    if statement.lines:
        write("\n")
        rows = [_line_cells(one, statement.currency) for one in statement.lines]
        write_table(_LINE_COLUMNS, rows, header=not no_header)
    for hours in statement.hours:
        write("\n")
        write_fields(
            [
                ("paid in", hours.kind),
                ("opening", format_money(hours.opening_micro, hours.kind)),
                ("granted", format_money(hours.granted_micro, hours.kind)),
                ("charged", format_money(hours.charged_micro, hours.kind)),
                ("closing", format_money(hours.closing_micro, hours.kind)),
                ("held", format_money(hours.held_micro, hours.kind)),
            ]
        )
        if hours.lines:
            write("\n")
            rows = [_line_cells(one, hours.kind) for one in hours.lines]
            write_table(_LINE_COLUMNS, rows, header=not no_header)


def _statement_fields(one: Statement) -> list[tuple[str, str]]:
    """Return the sums of a statement; all digits, since it is a bill."""
    return [
        ("account", one.account),
        ("from", moment(one.from_ms) or "the beginning"),
        ("to", moment(one.to_ms) or "now"),
        ("opening", format_money(one.opening_micro, one.currency)),
        ("granted", format_money(one.granted_micro, one.currency)),
        *_other_fields(one),
        ("charged", format_money(one.charged_micro, one.currency)),
        ("closing", format_money(one.closing_micro, one.currency)),
        ("held", format_money(one.held_micro, one.currency)),
        ("proof", f"ledger {one.ledger_id}, entry {one.ledger_seq}, hash {one.ledger_hash}"),
    ]


def _other_fields(one: Statement) -> list[tuple[str, str]]:
    """Return the sums that few accounts have, where there is any."""
    sums = (
        ("deposited", one.deposited_micro),
        ("refunded", one.refunded_micro),
        ("vouchers", one.vouchers_micro),
        ("adjusted", one.adjusted_micro),
    )
    return [(name, format_money(amount, one.currency)) for name, amount in sums if amount]


def _line_cells(one: StatementLine, currency: str) -> Sequence[str]:
    """Return one row of a bill."""
    return (
        one.job,
        one.job_name,
        one.site,
        one.flavor,
        one.item,
        one.quantity,
        one.unit,
        format_money(one.price_micro, currency),
        format_money(one.amount_micro, currency),
    )


@command(app, "export")
def export_ledger(
    form: Annotated[ExportForm, typer.Option("--format", help="Form.")] = ExportForm.CSV,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write there, whole or not at all.")
    ] = None,
    hub: HubOption = "",
) -> None:
    """Write the whole ledger to standard output or to a file."""
    with hub_client(hub) as client, client.ledger_export(form.value) as pieces:
        if out is None:
            for piece in pieces:
                write_bytes(piece)
            return
        from fenglin.cli.files import replacing  # noqa: PLC0415 - only for a file

        try:
            with replacing(out) as file:
                for piece in pieces:
                    file.write(piece)
        except OSError as error:
            raise FenglinError(
                f"the export cannot be written: {error.strerror}", where=str(out)
            ) from error


register_proofs(app)
register_close(app)
