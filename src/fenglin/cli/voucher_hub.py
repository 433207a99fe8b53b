"""`fenglin voucher apply|round|approve|use|revoke|clawback|list|audit`: vouchers of the hub."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from fenglin.cli.humane import moment
from fenglin.cli.listing import Cut, Layout, show_page
from fenglin.cli.output import Column, Output, write, write_data, write_fields, write_table
from fenglin.cli.session import (
    AllOption,
    HubOption,
    LimitOption,
    NoHeaderOption,
    OutputOption,
    command,
    hub_client,
)
from fenglin.cli.voucher_files import ApplicationsArgument, read_asked
from fenglin.errors import DamageError, InputError
from fenglin.quantities.money import format_money, parse_money_micro

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.wire.voucher_views import AuditView, TakeBackAsk, VoucherView

_COLUMNS = (
    Column("POOL"),
    Column("ID"),
    Column("ACCOUNT"),
    Column("STATE"),
    Column("GRANTED", right=True),
    Column("LEFT", right=True),
    Column("USED", right=True),
    Column("VALID TO"),
    Column("WHY NOT MORE"),
)
_ROWS = (
    Column("TIME"),
    Column("ACT"),
    Column("VOUCHER"),
    Column("ACCOUNT"),
    Column("AMOUNT", right=True),
    Column("WHO"),
    Column("WHY"),
)
PoolArgument = Annotated[str, typer.Argument(metavar="POOL", help="Such as ours-2027.")]
VoucherArgument = Annotated[str, typer.Argument(metavar="ID", help="Of the application.")]
WhyOption = Annotated[str, typer.Option("--why", metavar="TEXT", help="For the auditor.")]
AmountOption = Annotated[
    str, typer.Option("--amount", metavar="AMOUNT", help='Such as "100 CNY"; all if left out.')
]
KeyOption = Annotated[
    str,
    typer.Option(
        "--key",
        metavar="KEY",
        help="Such as the notice's number; acts once. A fresh one if left out.",
        show_default=False,
    ),
]


class Standing(StrEnum):
    """How an application or voucher stands; see `VoucherView.state`."""

    ANY = "any"
    FILED = "filed"
    REFUSED = "refused"
    RESERVED = "reserved"
    APPROVED = "approved"
    USED = "used"
    EXPIRED = "expired"
    REVOKED = "revoked"
    CLAWED_BACK = "clawed-back"


def register(app: typer.Typer) -> None:
    """Add the commands to `fenglin voucher`."""
    for name, work in (
        ("apply", apply),
        ("round", decide_round),
        ("approve", approve),
        ("use", use),
        ("revoke", revoke),
        ("clawback", claw_back),
        ("list", list_vouchers),
        ("audit", audit),
    ):
        command(app, name)(work)


def apply(
    pool: PoolArgument,
    applications: ApplicationsArgument,
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
    hub: HubOption = "",
) -> None:
    """File applications for your account: all of a file, or none.

    What the rules grant is reserved at once, in the order of filing; in a pool that is divided
    pro rata at its round. The same file again changes nothing.
    """
    from fenglin.client import vouchers  # noqa: PLC0415 - slow; help needs none
    from fenglin.wire.voucher_views import ApplyAsk  # noqa: PLC0415

    with hub_client(hub) as client:
        commodity = client.call(vouchers.read_pool(pool)).commodity
        asked = read_asked(applications, commodity)
        found = client.call(vouchers.apply(pool, ApplyAsk(applications=asked)))
    _show_all(found.items, output, header=not no_header)


def decide_round(
    pool: PoolArgument,
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
    hub: HubOption = "",
) -> None:
    """Decide together on all applications that wait in a pool that is divided pro rata."""
    from fenglin.client import vouchers  # noqa: PLC0415 - slow; help needs none

    with hub_client(hub) as client:
        found = client.call(vouchers.decide_round(pool))
    _show_all(found.items, output, header=not no_header)


def approve(
    pool: PoolArgument,
    names: Annotated[list[str], typer.Argument(metavar="ID...", help="Of the applications.")],
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
    hub: HubOption = "",
) -> None:
    """Let vouchers be used, one after another; their time begins. Repeating is harmless."""
    from fenglin.client import vouchers  # noqa: PLC0415 - slow; help needs none

    with hub_client(hub) as client:
        found = [client.call(vouchers.approve(pool, name)) for name in names]
    _show_all(found, output, header=not no_header)


def use(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="Whose charges.")],
    period: Annotated[str, typer.Option("--period", metavar="YYYY-MM", help="Month of them.")],
    amount: AmountOption = "",
    pool: Annotated[str, typer.Option("--pool", help="Of the voucher to use.")] = "",
    voucher: Annotated[str, typer.Option("--voucher", metavar="ID", help="The one to use.")] = "",
    key: KeyOption = "",
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Pay charges that no voucher has paid yet, such as those before the approval.

    What is charged from the approval on is paid by itself. Soonest to expire first; with --amount
    exactly that much, or nothing.
    """
    from fenglin.client import vouchers  # noqa: PLC0415 - slow; help needs none
    from fenglin.wire.voucher_views import UseAsk  # noqa: PLC0415

    ask = UseAsk(
        account=tenant,
        period=period,
        key=key or _fresh_key(),
        amount_micro=_amount_micro(amount),
        pool=pool,
        voucher=voucher,
    )
    with hub_client(hub) as client:
        done = client.call(vouchers.use(ask))
    if output is not Output.TABLE:
        write_data(done, output)
        return
    write_fields(
        [
            ("account", done.account),
            ("period", done.period),
            ("used", format_money(done.used_micro, done.commodity)),
            *(
                (f"{one.pool}/{one.voucher}", f"{format_money(one.amount_micro)} of {one.entry}")
                for one in done.parts
            ),
        ]
    )


def revoke(
    pool: PoolArgument,
    voucher: VoucherArgument,
    why: WhyOption,
    key: KeyOption = "",
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Take back what is not used of a voucher, or refuse to approve it."""
    from fenglin.client import vouchers  # noqa: PLC0415 - slow; help needs none

    with hub_client(hub) as client:
        _show_one(client.call(vouchers.revoke(pool, voucher, _take(why, key))), output)


def claw_back(
    pool: PoolArgument,
    voucher: VoucherArgument,
    why: WhyOption,
    amount: AmountOption = "",
    key: KeyOption = "",
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Take back what was used of a voucher, and what was not; with --amount only that much.

    The tenant owes it again.
    """
    from fenglin.client import vouchers  # noqa: PLC0415 - slow; help needs none

    ask = _take(why, key, _amount_micro(amount))
    with hub_client(hub) as client:
        _show_one(client.call(vouchers.claw_back(pool, voucher, ask)), output)


def list_vouchers(
    pool: Annotated[str, typer.Option("--pool", help="Only of this pool.")] = "",
    account: Annotated[str, typer.Option("--account", help="Only of this account.")] = "",
    state: Annotated[
        Standing, typer.Option("--state", help="Only those that stand so.")
    ] = Standing.ANY,
    limit: LimitOption = 200,
    everything: AllOption = False,
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
    hub: HubOption = "",
) -> None:
    """List applications and vouchers in the order of filing."""
    from fenglin.client import vouchers  # noqa: PLC0415 - slow; help needs none
    from fenglin.wire.views import Page  # noqa: PLC0415

    # How a voucher stands follows from the clock, so it is chosen here, from all of them.
    some = state is not Standing.ANY
    cut = Cut((("pool", pool), ("account", account)), limit=limit, everything=everything or some)
    with hub_client(hub) as client:
        page = client.pages(vouchers.vouchers, cut.filter(), cut.most())
    if some:
        page = Page([one for one in page.items if one.state == state.value])
    show_page(page, Layout(_COLUMNS, _cells), output, header=not no_header)


def audit(
    pool: PoolArgument,
    voucher: Annotated[
        str, typer.Option("--voucher", metavar="ID", help="One, with each of its uses.")
    ] = "",
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
    hub: HubOption = "",
) -> None:
    """Show every decision with its reasons, who did what, and whether the ledger agrees.

    Exits 7 when rows, events and ledger say different things.
    """
    from fenglin.client import vouchers  # noqa: PLC0415 - slow; help needs none

    with hub_client(hub) as client:
        found = client.call(vouchers.audit(pool, voucher))
    if output is not Output.TABLE:
        write_data(found, output)
    else:
        _show_audit(found, header=not no_header)
    if not found.ok:
        raise DamageError("; ".join(found.problems), where=f"voucher pool {pool}")


def _show_audit(found: AuditView, *, header: bool) -> None:
    one = found.pool
    amounts = {
        "budget": one.budget_micro,
        "free": one.free_micro,
        "reserved": one.reserved_micro,
        "paid": one.paid_micro,
    }
    write_fields(
        [
            ("pool", one.name),
            *((name, format_money(micro, one.commodity)) for name, micro in amounts.items()),
            ("books", "rows, events and ledger agree" if found.ok else "damaged"),
        ]
    )
    write("\n")
    rows = [
        (
            moment(row.time_ms),
            row.act,
            row.voucher,
            row.account,
            format_money(row.amount_micro, one.commodity),
            row.who,
            row.why,
        )
        for row in found.rows
    ]
    write_table(_ROWS, rows, header=header)


def _show_all(found: Sequence[VoucherView], output: Output, *, header: bool) -> None:
    if output is not Output.TABLE:
        write_data({"items": found}, output)
        return
    write_table(_COLUMNS, map(_cells, found), header=header)


def _show_one(one: VoucherView, output: Output) -> None:
    if output is not Output.TABLE:
        write_data(one, output)
        return
    names = ("granted", "left", "used", "clawed")
    write_fields(
        [
            ("voucher", f"{one.pool}/{one.id}"),
            ("account", one.account),
            ("state", one.state),
            *((name, format_money(getattr(one, f"{name}_micro"), one.commodity)) for name in names),
        ]
    )


def _cells(one: VoucherView) -> tuple[str, ...]:
    return (
        one.pool,
        one.id,
        one.account,
        one.state,
        format_money(one.granted_micro, one.commodity),
        format_money(one.left_micro, one.commodity),
        format_money(one.used_micro - one.clawed_micro, one.commodity),
        moment(one.valid_to_ms),
        ", ".join(one.reasons),
    )


def _take(why: str, key: str, amount_micro: int = 0) -> TakeBackAsk:
    from fenglin.wire.voucher_views import TakeBackAsk  # noqa: PLC0415 - slow; help needs none

    return TakeBackAsk(why=why, key=key or _fresh_key(), amount_micro=amount_micro)


def _amount_micro(amount: str) -> int:
    """Return an amount in micro-units; 0 when it was left out.

    Raises:
        InputError: it is no positive amount.
    """
    if not amount:
        return 0
    found = parse_money_micro(amount)
    if found <= 0:
        raise InputError("the amount is not positive", where="--amount")
    return found


def _fresh_key() -> str:
    import uuid  # noqa: PLC0415 - rarely needed

    return uuid.uuid4().hex
