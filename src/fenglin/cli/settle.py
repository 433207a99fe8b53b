"""`fenglin settle`: what of a month's charges is the providers', and that nothing is lost."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fenglin.cli.output import Column, write, write_fields, write_table
from fenglin.cli.report_files import deliver
from fenglin.cli.session import HubOption, NoHeaderOption, hub_client, single
from fenglin.errors import DamageError, InputError
from fenglin.quantities.money import format_money

if TYPE_CHECKING:
    from fenglin.ledger.settlement import Settlement
    from fenglin.ledger.settlement_check import ThreeWay
    from fenglin.wire.settling_views import SettledMonth

_COLUMNS = (
    Column("PROVIDER"),
    Column("DEAL"),
    Column("CHARGED", right=True),
    Column("ADJUSTED", right=True),
    Column("PAYABLE", right=True),
    Column("REMAINDER", right=True),
    Column("TAXES", right=True),
    Column("FEE", right=True),
    Column("ENTRY", right=True),
)
_WAYS = (
    Column("PROVIDER"),
    Column("CHARGED", right=True),
    Column("VOUCHERS", right=True),
    Column("DUES", right=True),
    Column("TAXES", right=True),
    Column("FEE", right=True),
    Column("OTHERS", right=True),
    Column("DIFFERENCE", right=True),
    Column("SETTLED", right=True),
)
CSV_COLUMNS = (
    "period", "provider", "commodity", "deal", "charged", "adjusted", "provider_gets", "payable",
    "remainder", "taxes", "fee", "beyond_the_charges", "entry", "input", "grade",
)  # fmt: skip


class Form(StrEnum):
    """Forms of a settlement."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    XLSX = "xlsx"


def settle_month(
    period: Annotated[str, typer.Option("--period", metavar="YYYY-MM", help="Month.")],
    provider: Annotated[str, typer.Option("--provider", help="Only this one's.")] = "",
    post: Annotated[
        bool, typer.Option("--post", help="Enter it in the ledger; the month must be closed.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Reconcile the month; exit code 7 if it does not foot.")
    ] = False,
    form: Annotated[Form, typer.Option("--output", "-o", help="Form.")] = Form.TABLE,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write there, whole or not at all.")
    ] = None,
    no_header: NoHeaderOption = False,
    hub: HubOption = "",
) -> None:
    """Show what of a month's charges is whose by the deals in force, to the fen.

    Without --post nothing is entered. What was posted is shown as it was then, whatever the
    configuration says now.
    """
    if form is Form.XLSX and out is None:
        raise InputError("where should the workbook go?", where="--out", hint="name a file")
    if form is Form.TABLE and out is not None:
        raise InputError("a table is for a terminal", where="--out", hint="add -o csv, say")
    if check:
        if post or provider or form in {Form.CSV, Form.XLSX}:
            raise InputError(
                "a check is of the whole month, and posts nothing", where="--check",
                hint="use -o json, or `fenglin report month` for a workbook",
            )  # fmt: skip
        _check(hub, period, form, out, header=not no_header)
        return
    month = _fetch(hub, period, provider, post=post)
    if form is Form.TABLE:
        _show(month, header=not no_header)
        return
    deliver(_bytes(month, form), out)


def _fetch(hub: str, period: str, provider: str, *, post: bool) -> SettledMonth:
    from fenglin.client.settling import settle, settlements  # noqa: PLC0415 - slow; help needs none

    with hub_client(hub) as client:
        return client.call((settle if post else settlements)(period, provider))


def _bytes(month: SettledMonth, form: Form) -> bytes:
    """Return a month as a file."""
    if form is Form.JSON:
        import msgspec  # noqa: PLC0415 - tables do without

        return msgspec.json.format(msgspec.json.encode(month), indent=2) + b"\n"
    if form is Form.CSV:
        return _csv(month)
    from fenglin.cli.report_tables import settlement_tables  # noqa: PLC0415 - slow
    from fenglin.cli.sheet import workbook  # noqa: PLC0415

    return workbook([table.sheet() for table in settlement_tables(month.items)])


def _csv(month: SettledMonth) -> bytes:
    """Return a row for each settlement; no text in it can be run as a formula."""
    from fenglin.ledger.export import decimal_amount, text_cell  # noqa: PLC0415 - slow

    lines = [",".join(CSV_COLUMNS)]
    for view in month.items:
        one = view.settlement
        amounts = (
            one.charged_micro,
            one.adjusted_micro,
            one.provider_micro,
            one.payable_micro,
            one.remainder_micro,
            one.taxes_micro,
            one.fee_micro,
            one.short_micro,
        )
        cells = (
            *map(text_cell, (one.period, one.provider, one.commodity, _deal(one))),
            *map(decimal_amount, amounts),
            str(view.entry or ""),
            one.input_hash,
            one.grade,
        )
        lines.append(",".join(cells))
    return "".join(line + "\r\n" for line in lines).encode()


def _deal(one: Settlement) -> str:
    return one.deal.kind.value if one.deal.declared else "none"


def _show(month: SettledMonth, *, header: bool) -> None:
    """Write a month to the terminal; all digits, since it is about money."""
    state = f"closed by entry {month.closed}" if month.closed else "open, more may come"
    write_fields([("period", f"{month.period} (UTC{month.zone})"), ("state", state)])
    rows = []
    for view in month.items:
        one = view.settlement
        amounts = (
            one.charged_micro,
            one.adjusted_micro,
            one.payable_micro,
            one.remainder_micro,
            one.taxes_micro,
            one.fee_micro,
        )
        shown = [format_money(amount, one.commodity) for amount in amounts]
        rows.append((one.provider, _deal(one), *shown, str(view.entry or "not posted")))
    if rows:
        write("\n")
        write_table(_COLUMNS, rows, header=header)
    for view in month.items:
        one = view.settlement
        if one.short_micro:
            missing = format_money(one.short_micro, one.commodity)
            write(
                f"\n{one.provider}: its deal promises {missing} more than was charged; that is in"
                " none of the figures\n"
            )


def _check(hub: str, period: str, form: Form, out: Path | None, *, header: bool) -> None:
    """Show the reconciliation; fail if it does not foot."""
    from fenglin.client.settling import check_settlements  # noqa: PLC0415 - slow; help needs none

    with hub_client(hub) as client:
        found = client.call(check_settlements(period))
    if form is Form.JSON:
        import msgspec  # noqa: PLC0415 - tables do without

        deliver(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n", out)
    else:
        _show_ways(found, header=header)
    if not found.ok:
        wrong = [str(fault.seq) for fault in found.faults if fault.seq]
        entries = f"entries {', '.join(dict.fromkeys(wrong))}" if wrong else ""
        raise DamageError(
            f"{period} does not foot",
            where=entries or "ledger",
            hint="run `fenglin ledger verify`; what was changed is corrected by restoring it",
        )


def _show_ways(found: ThreeWay, *, header: bool) -> None:
    rows = []
    for row in found.rows:
        amounts = (
            row.charged_micro,
            row.vouchers_micro,
            row.dues_micro,
            row.taxes_micro,
            row.fee_micro,
            row.others_micro,
            row.difference_micro,
        )
        shown = [format_money(amount, row.commodity) for amount in amounts]
        rows.append((row.provider or "none", *shown, str(row.settled or "not posted")))
    if rows:
        write_table(_WAYS, rows, header=header)
    for fault in found.faults:
        write(f"{f'entry {fault.seq}: ' if fault.seq else ''}{fault.why}\n")
    if found.ok:
        write("it foots\n")


app = single(settle_month, "settle")
