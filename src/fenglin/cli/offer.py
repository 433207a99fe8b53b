"""`fenglin offer`: the cheapest machines in price lists of clouds, without any hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct

from fenglin.cli.output import Column, Output, write, write_data, write_fields, write_table
from fenglin.cli.session import NoHeaderOption, OutputOption, command, group
from fenglin.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.catalog.offers.catalogue import Catalogue
    from fenglin.catalog.offers.chain import ChainPlan
    from fenglin.catalog.offers.columns import Sheet
    from fenglin.catalog.offers.receipt import Receipt
    from fenglin.catalog.offers.search import Offer

app = group("Find the cheapest machines in price lists of clouds.")

CURRENCY = "USD"
MOST_ROWS = 20
CatalogueOption = Annotated[
    list[str],
    typer.Option(
        "--catalogue", metavar="FILE", help="Price list in SkyPilot's format; .gz too; repeat."
    ),
]
ProviderOfOption = Annotated[
    list[str] | None,
    typer.Option("--provider-of", metavar="FILE=NAME", help="Whose a list is; repeat."),
]
LenientOption = Annotated[
    bool, typer.Option("--lenient", help="Leave bad rows out and count them.")
]
AnyOfOption = Annotated[
    list[str] | None, typer.Option("--any-of", metavar="NAME:COUNT", help="Alternatives; repeat.")
]
MemoryOption = Annotated[
    str, typer.Option("--memory", metavar="GIB", help="GiB: 32, 32+, or 4x per vCPU.")
]
ProviderOption = Annotated[
    list[str] | None, typer.Option("--provider", help="Only from it; repeat.")
]
RegionOption = Annotated[
    list[str] | None,
    typer.Option("--region", help="Only there, as REGION or PROVIDER:REGION; repeat."),
]
SpotOption = Annotated[
    bool, typer.Option("--spot", help="Machines that may be taken away, at their price.")
]
MaxPriceOption = Annotated[
    str, typer.Option("--max-price", metavar="USD", help="Highest price per hour.")
]
_COLUMNS = (
    Column("TASK"),
    Column("PROVIDER"),
    Column("REGION"),
    Column("MACHINE"),
    Column("ACCELERATORS"),
    Column("PRICE/H", right=True),
    Column("NODES", right=True),
    Column("COST", right=True),
    Column("EGRESS", right=True),
)


class Lists(Struct, frozen=True):
    """What was read.

    Attributes:
        rows: Rows of the lists.
        offers: Offers that they make.
        rounded_prices: Prices finer than a millionth of a dollar, rounded half to even.
        bad_rows: Rows left out because they could not be understood.
        problems: What was wrong with them; the first few.
        hostless: Accelerators for which no machine is listed, as `PROVIDER:NAME:COUNT`.
    """

    rows: int
    offers: int
    rounded_prices: int
    bad_rows: int
    problems: tuple[str, ...]
    hostless: tuple[str, ...]


class Answer(Struct, frozen=True):
    """What `offer cheapest -o json` prints."""

    currency: str
    offer: Offer | None
    alternatives: tuple[Receipt, ...]
    lists: Lists


class ChainAnswer(Struct, frozen=True):
    """What `offer chain -o json` prints."""

    currency: str
    plan: ChainPlan
    lists: Lists


@command(app, "cheapest")
def show_cheapest(  # noqa: PLR0913, PLR0917 - one argument per option
    catalogue: CatalogueOption,
    provider_of: ProviderOfOption = None,
    accelerators: Annotated[
        str, typer.Option("--accelerators", metavar="NAME:COUNT", help="Such as A100:8.")
    ] = "",
    any_of: AnyOfOption = None,
    cpus: Annotated[str, typer.Option("--cpus", metavar="N", help="vCPUs: 4, or 4+.")] = "",
    memory: MemoryOption = "",
    provider: ProviderOption = None,
    region: RegionOption = None,
    spot: SpotOption = False,
    max_price: MaxPriceOption = "",
    lenient: LenientOption = False,
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
) -> None:
    """Show the cheapest machine that will do, and why not the others.

    Exit code 3 when there is none; what would have to change is told.
    """
    from fenglin.catalog.offers.need import alternatives  # noqa: PLC0415 - NumPy; help needs none
    from fenglin.catalog.offers.receipt import explain  # noqa: PLC0415 - see above
    from fenglin.catalog.offers.search import cheapest_of  # noqa: PLC0415 - see above
    from fenglin.cli.prices import load_catalogue, make_need  # noqa: PLC0415 - see above

    need = make_need(
        cpus=cpus,
        memory=memory,
        providers=provider or (),
        regions=region or (),
        spot=spot,
        max_price=max_price,
    )
    cards = [word for word in (accelerators, *(any_of or ())) if word]
    needs = alternatives(cards, need)
    offers, sheets = load_catalogue(catalogue, provider_of or (), strict=not lenient)
    _, best = cheapest_of(offers, needs)
    receipts = tuple(explain(offers, one) for one in needs)
    lists = _lists(offers, sheets)
    if output is not Output.TABLE:
        write_data(Answer(CURRENCY, best, receipts, lists), output)
    else:
        _warn(lists)
        _write_found(best, receipts, header=not no_header)
    if best is None:
        changes = [miss.change for one in receipts for miss in one.near[:1]]
        similar = [name for one in receipts for name in one.similar]
        hint = f"did you mean {', '.join(similar)}?" if similar else " or ".join(changes)
        raise NotFoundError("no offer meets this", where=", ".join(cards), hint=hint)


@command(app, "chain")
def show_chain(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The chain, YAML or JSON.")],
    catalogue: CatalogueOption,
    provider_of: ProviderOfOption = None,
    egress: Annotated[
        str, typer.Option("--egress", metavar="FILE", help="Prices of moving data; else free.")
    ] = "",
    lenient: LenientOption = False,
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
) -> None:
    """Place tasks that run one after another so that machines and moved data cost least."""
    from fenglin.catalog.offers.chain import plan_chain  # noqa: PLC0415 - NumPy; help needs none
    from fenglin.cli.prices import load_catalogue, load_chain, load_egress  # noqa: PLC0415 - see above

    tasks = load_chain(file)
    table = load_egress(egress)
    offers, sheets = load_catalogue(catalogue, provider_of or (), strict=not lenient)
    plan = plan_chain(offers, tasks, table)
    lists = _lists(offers, sheets)
    if output is not Output.TABLE:
        write_data(ChainAnswer(CURRENCY, plan, lists), output)
    else:
        _warn(lists)
        _write_plan(plan, header=not no_header)
    if plan.stuck:
        raise NotFoundError(
            "no offer meets the needs of a task",
            where=f"{file}: {plan.stuck}",
            hint="`fenglin offer cheapest` with its needs says why",
        )


def _lists(offers: Catalogue, sheets: Sequence[Sheet]) -> Lists:
    """Return what was read."""
    return Lists(
        rows=offers.listed,
        offers=offers.rows,
        rounded_prices=offers.rounded,
        bad_rows=offers.bad,
        problems=tuple(problem for sheet in sheets for problem in sheet.problems)[:MOST_ROWS],
        hostless=tuple(f"{p}:{card}:{_plain(count)}" for p, card, count in offers.hostless),
    )


def _warn(lists: Lists) -> None:
    """Tell of bad rows on standard error."""
    from fenglin.cli.failure import show_warning  # noqa: PLC0415 - rarely needed

    for problem in lists.problems:
        show_warning(problem)
    if lists.bad_rows:
        show_warning(f"{lists.bad_rows} bad rows were left out")
    if lists.rounded_prices:
        show_warning(f"{lists.rounded_prices} prices were rounded to a millionth of a dollar")


def _write_found(best: Offer | None, receipts: Sequence[Receipt], *, header: bool) -> None:
    """Write the answer, what is near it, and whom it leaves out."""
    if best is not None:
        write_fields(
            [
                ("machine", best.instance),
                ("provider", best.provider),
                ("region", best.region),
                ("zone", best.zone),
                ("accelerators", _cards(best)),
                ("vcpus", _known(best.cpus_micro)),
                ("memory", f"{_known(best.memory_micro)} GiB"),
                ("price", f"{_money(best.price_micro)}/h{' (spot)' if best.spot else ''}"),
            ]
        )
    near = [
        (miss.change, miss.offer.provider, miss.offer.region, miss.offer.instance,
         _cards(miss.offer), _money(miss.offer.price_micro))
        for one in receipts
        for miss in one.near
        if best is None or miss.offer.price_micro < best.price_micro
    ]  # fmt: skip
    heads = ("IF YOU", "PROVIDER", "REGION", "MACHINE", "ACCELERATORS", "PRICE/H")
    if near:
        write("\n")
        write_table([Column(head, right=head == "PRICE/H") for head in heads], near, header=header)
    refused = [
        (miss.provider, miss.instance, miss.reason.value, str(miss.offers), miss.detail)
        for one in receipts
        for miss in one.refused
    ]
    if refused:
        write("\n")
        columns = [
            Column("REFUSED"),
            Column("MACHINE"),
            Column("REASON"),
            Column("OFFERS", right=True),
            Column("DETAIL"),
        ]
        write_table(columns, refused[:MOST_ROWS], header=header)
        if len(refused) > MOST_ROWS:
            write(f"… and {len(refused) - MOST_ROWS} more, all of them with -o json\n")


def _write_plan(plan: ChainPlan, *, header: bool) -> None:
    """Write where each task runs, and the sum."""
    rows = [
        (
            step.task,
            step.offer.provider,
            step.offer.region,
            step.offer.instance,
            _cards(step.offer),
            _money(step.offer.price_micro),
            str(step.nodes),
            _money(step.cost_micro),
            _money(step.egress_micro) + ("?" if step.egress_assumed else ""),
        )
        for step in plan.steps
    ]
    write_table(_COLUMNS, rows, header=header)
    if plan.steps:
        write(f"\ntotal  {_money(plan.total_micro)}\n")
    if any(step.egress_assumed for step in plan.steps):
        write("?      no price is known for this way: the highest known one is assumed\n")


def _cards(offer: Offer) -> str:
    """Return `A100:8`; empty without cards."""
    return f"{offer.card}:{_plain(offer.count_micro)}" if offer.card else ""


def _known(micro: int | None) -> str:
    return "unknown" if micro is None else _plain(micro)


def _plain(micro: int) -> str:
    whole, rest = divmod(micro, 1_000_000)
    return f"{whole}.{rest:06d}".rstrip("0") if rest else str(whole)


def _money(micro: int) -> str:
    from fenglin.quantities.money import format_money  # noqa: PLC0415 - only for tables

    return format_money(micro, CURRENCY)
