"""`fenglin voucher pool`: the budgets that vouchers are promised from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fenglin.cli.output import Column, Output, write_data, write_fields, write_table
from fenglin.cli.session import HubOption, NoHeaderOption, OutputOption, command, group, hub_client
from fenglin.cli.voucher_files import RulesArgument, read_scheme
from fenglin.quantities.money import format_money

if TYPE_CHECKING:
    from fenglin.wire.voucher_views import PoolView

app = group("Open, list and show voucher pools.")

_COLUMNS = (
    Column("POOL"),
    Column("DIVIDED"),
    Column("BUDGET", right=True),
    Column("FREE", right=True),
    Column("RESERVED", right=True),
    Column("PAID", right=True),
    Column("WAITING", right=True),
)


@command(app, "add")
def add_pool(
    rules: RulesArgument,
    year: Annotated[int, typer.Option("--year", help="Whose budget it is.")],
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Open a scheme's pool of a year, called SCHEME-YEAR; the same rules again change nothing.

    A rule file with blanks opens nothing. The rules of a year do not change.
    """
    from fenglin.client.vouchers import open_pool  # noqa: PLC0415 - slow; help needs none
    from fenglin.wire.voucher_views import PoolAsk  # noqa: PLC0415

    ask = PoolAsk(year=year, scheme=read_scheme(rules))
    with hub_client(hub) as client:
        _show(client.call(open_pool(ask)), output)


@command(app, "list")
def list_pools(
    output: OutputOption = Output.TABLE, no_header: NoHeaderOption = False, hub: HubOption = ""
) -> None:
    """List the pools, and what is free, reserved and paid of each budget."""
    from fenglin.client.vouchers import list_pools as ask  # noqa: PLC0415 - slow

    with hub_client(hub) as client:
        found = client.call(ask())
    if output is not Output.TABLE:
        write_data(found, output)
        return
    rows = [
        (one.name, one.scheme.reservation or "", *_amounts(one), str(one.waiting))
        for one in found.items
    ]
    write_table(_COLUMNS, rows, header=not no_header)


@command(app, "show")
def show_pool(
    pool: Annotated[str, typer.Argument(metavar="POOL", help="Such as ours-2027.")],
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Show a pool; with -o json its rules and where each comes from, too."""
    from fenglin.client.vouchers import read_pool  # noqa: PLC0415 - slow; help needs none

    with hub_client(hub) as client:
        _show(client.call(read_pool(pool)), output)


def _amounts(one: PoolView) -> tuple[str, str, str, str]:
    amounts = (one.budget_micro, one.free_micro, one.reserved_micro, one.paid_micro)
    budget, free, reserved, paid = (format_money(micro, one.commodity) for micro in amounts)
    return budget, free, reserved, paid


def _show(one: PoolView, output: Output) -> None:
    if output is not Output.TABLE:
        write_data(one, output)
        return
    budget, free, reserved, paid = _amounts(one)
    write_fields(
        [
            ("pool", one.name),
            ("title", one.scheme.title),
            ("divided", one.scheme.reservation or ""),
            ("budget", budget),
            ("free", free),
            ("reserved", reserved),
            ("paid", paid),
            ("waiting", f"{one.waiting} applications" if one.waiting else ""),
            ("opened by", one.opened_by),
        ]
    )
