"""`fenglin account`: what accounts have, and money that came in or went back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fenglin.cli.output import Column, Output, write_data, write_fields, write_table
from fenglin.cli.session import HubOption, NoHeaderOption, OutputOption, command, group, hub_client
from fenglin.quantities.money import format_money, parse_money_micro

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fenglin.wire.account_views import (
        AccountView,
        BudgetView,
        HoursView,
        MoneyMove,
        MoneyMoved,
    )

app = group("List and show accounts; enter deposits, grants of hours, and refunds.")

_COLUMNS = (
    Column("ACCOUNT"),
    Column("OF"),
    Column("STANDING"),
    Column("AVAILABLE", right=True),
    Column("HELD", right=True),
    Column("CREDIT LIMIT", right=True),
    Column("STARTS"),
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The account.")]
AmountArgument = Annotated[str, typer.Argument(metavar="AMOUNT", help='Such as "100 CNY".')]
KeyOption = Annotated[
    str,
    typer.Option("--key", metavar="KEY", help="Such as the bank's reference; enters once."),
]
MemoOption = Annotated[str, typer.Option("--memo", help="For people.")]


@command(app, "list")
def list_all(
    output: OutputOption = Output.TABLE, no_header: NoHeaderOption = False, hub: HubOption = ""
) -> None:
    """List accounts with what they have, in money and hours, how they stand, and what starts."""
    from fenglin.client.accounts import list_accounts  # noqa: PLC0415 - slow; help needs none

    with hub_client(hub) as client:
        accounts = client.call(list_accounts())
    if output is not Output.TABLE:
        write_data(accounts, output)
        return
    rows = [row for one in accounts.items for row in _rows(one)]
    write_table(_COLUMNS, rows, header=not no_header)


@command(app, "show")
def show(name: NameArgument, output: OutputOption = Output.TABLE, hub: HubOption = "") -> None:
    """Show what an account has and how it stands."""
    from fenglin.client.accounts import read_account  # noqa: PLC0415 - slow; help needs none

    with hub_client(hub) as client:
        view = client.call(read_account(name))
    if output is not Output.TABLE:
        write_data(view, output)
        return
    write_fields(_fields(view))


@command(app, "deposit")
def enter_deposit(
    name: NameArgument,
    amount: AmountArgument,
    key: KeyOption,
    memo: MemoOption = "",
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Enter money that came in for an account; the same key again enters nothing."""
    from fenglin.client.accounts import deposit  # noqa: PLC0415 - slow; help needs none

    with hub_client(hub) as client:
        _show_moved(client.call(deposit(name, _move(amount, key, memo))), output)


@command(app, "grant")
def enter_grant(
    name: NameArgument,
    hours: Annotated[str, typer.Argument(metavar="HOURS", help="Such as 10000.")],
    key: KeyOption,
    of: Annotated[
        str, typer.Option("--of", metavar="WHAT", help="`core`, or a model of cards: card-hours.")
    ] = "core",
    memo: MemoOption = "",
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Grant an account hours, with which it pays first; the same key again grants nothing."""
    from fenglin.client.accounts import deposit  # noqa: PLC0415 - slow; help needs none

    with hub_client(hub) as client:
        _show_moved(client.call(deposit(name, _move(hours, key, memo, of))), output)


@command(app, "refund")
def enter_refund(
    name: NameArgument,
    amount: AmountArgument,
    key: KeyOption,
    of: Annotated[
        str,
        typer.Option("--of", metavar="WHAT", help="Hours instead: `core`, or a model of cards."),
    ] = "",
    memo: MemoOption = "",
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Enter money that went back to an account's owner, or hours; at most what is available."""
    from fenglin.client.accounts import refund  # noqa: PLC0415 - slow; help needs none

    with hub_client(hub) as client:
        _show_moved(client.call(refund(name, _move(amount, key, memo, of))), output)


def _move(amount: str, key: str, memo: str, hours: str = "") -> MoneyMove:
    from fenglin.wire.account_views import MoneyMove  # noqa: PLC0415 - slow; help needs none

    amount_micro = parse_money_micro(amount, "hours") if hours else parse_money_micro(amount)
    return MoneyMove(amount_micro=amount_micro, key=key, memo=memo, hours=hours)


def _show_moved(moved: MoneyMoved, output: Output) -> None:
    if output is not Output.TABLE:
        write_data(moved, output)
        return
    write_fields([("entry", f"{moved.entry} ({moved.key})"), *_fields(moved.account)])


def _rows(view: AccountView) -> Iterator[tuple[str, ...]]:
    """Yield a row of an account's money, and one of each kind of its hours."""
    yield _row(view.name, view.currency, view, _money_starts(view))
    for one in view.hours:
        yield _row(view.name, one.kind, one, _hours_start(one, view))


def _row(name: str, commodity: str, has: AccountView | HoursView, starts: str) -> tuple[str, ...]:
    amounts = (has.available_micro, has.held_micro, has.credit_limit_micro)
    told = (format_money(amount, "").rstrip() for amount in amounts)
    return (name, commodity, has.standing, *told, starts)


def _money_starts(view: AccountView) -> str:
    """Return what an account's money still lets start; empty where the hub does not tell."""
    if view.room_micro is None:
        return ""
    if view.room_micro:
        return f"up to {format_money(view.room_micro, view.currency)}"
    return f"nothing that costs money{_used_up(view.budgets)}"


def _hours_start(hours: HoursView, view: AccountView) -> str:
    """Return what hours still let start, or what pays in their place."""
    if hours.room_micro is None:
        return ""
    if hours.room_micro:
        return f"up to {format_money(hours.room_micro, hours.kind)}"
    instead = "money pays" if view.room_micro else "nothing, money has none either"
    return instead + _used_up(hours.budgets)


def _used_up(budgets: Sequence[BudgetView]) -> str:
    """Return such as `: budget of the month used up`; nothing where none is."""
    spans = [one.span for one in budgets if one.state == "hard"]
    return f": budget of the {' and the '.join(spans)} used up" if spans else ""


def _fields(view: AccountView) -> list[tuple[str, str]]:
    return [
        ("account", view.name),
        ("standing", view.standing),
        ("available", format_money(view.available_micro, view.currency)),
        ("held", format_money(view.held_micro, view.currency)),
        ("credit limit", format_money(view.credit_limit_micro, view.currency)),
        ("low from", format_money(view.low_micro, view.currency)),
        *([("starts", starts)] if (starts := _money_starts(view)) else []),
        *((one.kind.lower(), _hours(one)) for one in view.hours),
        *(
            (f"{one.kind.lower()} starts", starts)
            for one in view.hours
            if (starts := _hours_start(one, view))
        ),
        *((f"budget of the {one.span}", _budget(one, view.currency)) for one in view.budgets),
        *(
            (f"{one.kind.lower()} of the {budget.span}", _budget(budget, one.kind))
            for one in view.hours
            for budget in one.budgets
        ),
    ]


def _hours(hours: HoursView) -> str:
    """Return such as `low: 3.00 available, 1.00 held, credit limit 9.00`.

    Without limits there is no standing: when none are left, money pays.
    """
    limits = (("credit limit", hours.credit_limit_micro), ("low from", hours.low_micro))
    told = [f"{name} {format_money(n, '').rstrip()}" for name, n in limits if n]
    amounts = (
        format_money(hours.available_micro, "available"),
        format_money(hours.held_micro, "held"),
    )
    return (f"{hours.standing}: " if told else "") + ", ".join((*amounts, *told))


def _budget(budget: BudgetView, currency: str) -> str:
    """Return such as `ok: 3.00 CNY charged, 1.00 CNY held; soft 8.00 CNY, hard 10.00 CNY`."""
    limits = (("soft", budget.soft_micro), ("hard", budget.hard_micro))
    charged = format_money(budget.charged_micro, currency)
    held = format_money(budget.held_micro, currency)
    told = ", ".join(f"{name} {format_money(n, currency)}" for name, n in limits if n is not None)
    return f"{budget.state}: {charged} charged, {held} held; {told}"
