"""`fenglin provider`: what providers are owed, and money that went out to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fenglin.cli.output import Column, Output, write_data, write_fields, write_table
from fenglin.cli.session import HubOption, NoHeaderOption, OutputOption, command, group, hub_client
from fenglin.errors import NotFoundError
from fenglin.quantities.money import format_money, parse_money_micro

if TYPE_CHECKING:
    from fenglin.wire.settling_views import DueView

app = group("Show what providers are owed; enter what was paid.")

_COLUMNS = (
    Column("PROVIDER"),
    Column("PAYABLE", right=True),
    Column("SETTLED", right=True),
    Column("PAID", right=True),
    Column("DUE", right=True),
)
NameArgument = Annotated[str, typer.Argument(metavar="PROVIDER", help="The provider.")]


@command(app, "list")
def list_all(
    output: OutputOption = Output.TABLE, no_header: NoHeaderOption = False, hub: HubOption = ""
) -> None:
    """List what providers are owed."""
    from fenglin.client.settling import providers  # noqa: PLC0415 - slow; help needs none

    with hub_client(hub) as client:
        found = client.call(providers())
    if output is not Output.TABLE:
        write_data(found, output)
        return
    rows = [(one.provider, *(text for _, text in _amounts(one))) for one in found.items]
    write_table(_COLUMNS, rows, header=not no_header)


@command(app, "show")
def show(name: NameArgument, output: OutputOption = Output.TABLE, hub: HubOption = "") -> None:
    """Show what a provider is owed."""
    from fenglin.client.settling import providers  # noqa: PLC0415 - slow; help needs none

    with hub_client(hub) as client:
        mine = [one for one in client.call(providers()).items if one.provider == name]
    if not mine:
        raise NotFoundError(f"the ledger knows no provider {name!r}", where="provider")
    for one in mine:
        if output is Output.TABLE:
            write_fields([("provider", one.provider), *_amounts(one)])
        else:
            write_data(one, output)


@command(app, "pay")
def enter_pay(
    name: NameArgument,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help='Such as "100 CNY".')],
    key: Annotated[
        str,
        typer.Option("--key", metavar="KEY", help="Such as the bank's reference; enters once."),
    ],
    memo: Annotated[str, typer.Option("--memo", help="For people.")] = "",
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Enter money that went out to a provider; the same key again enters nothing."""
    from fenglin.client.settling import pay_provider  # noqa: PLC0415 - slow; help needs none
    from fenglin.wire.account_views import MoneyMove  # noqa: PLC0415 - slow; help needs none

    move = MoneyMove(amount_micro=parse_money_micro(amount), key=key, memo=memo)
    with hub_client(hub) as client:
        paid = client.call(pay_provider(name, move))
    if output is not Output.TABLE:
        write_data(paid, output)
        return
    entry = ("entry", f"{paid.entry} ({paid.key})")
    write_fields([entry, ("provider", paid.due.provider), *_amounts(paid.due)])


def _amounts(due: DueView) -> list[tuple[str, str]]:
    """Return the amounts with their names."""
    named = (
        ("payable", due.payable_micro),
        ("settled", due.settled_micro),
        ("paid", due.paid_micro),
        ("due", due.due_micro),
    )
    return [(name, format_money(micro, due.currency)) for name, micro in named]
