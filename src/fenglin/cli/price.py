"""`fenglin price`: the price book."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fenglin.cli.failure import show_warning
from fenglin.cli.humane import moment
from fenglin.cli.listing import Cut, Layout, show_page
from fenglin.cli.output import Column, Output, write_data, write_fields
from fenglin.cli.session import (
    AllOption,
    HubOption,
    LimitOption,
    NoHeaderOption,
    OutputOption,
    command,
    group,
    hub_client,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.wire.price_views import PriceAsk, PricesAdded, PriceView

app = group("Keep the price book: list, import, set, supersede.")

_COLUMNS = (
    Column("ID"),
    Column("PROVIDER"),
    Column("WHERE"),
    Column("WHAT"),
    Column("FOR"),
    Column("MODE"),
    Column("BAND"),
    Column("UNIT"),
    Column("PRICE", right=True),
    Column("TIERS"),
    Column("FROM"),
    Column("END"),
)
_KEPT = (
    "unit", "provider", "site", "region", "zone", "flavor", "model", "user_class", "mode", "band",
    "currency", "tier_period",
)  # fmt: skip

UnitOption = Annotated[str, typer.Option("--unit", help="What one price is for: core_hour, …")]
ProviderOption = Annotated[str, typer.Option("--provider", help="Who sells.")]
SiteOption = Annotated[str, typer.Option("--site", help="Of the pool.")]
RegionOption = Annotated[str, typer.Option("--region", help="As sites declare it.")]
FlavorOption = Annotated[str, typer.Option("--flavor", help="Class of nodes.")]
ModelOption = Annotated[str, typer.Option("--model", help="Registry name of a card.")]
ModeOption = Annotated[str, typer.Option("--mode", help="shared, exclusive, urgent or spot.")]
PriceOption = Annotated[str, typer.Option("--price", metavar="AMOUNT", help="Of one unit.")]
TiersOption = Annotated[
    str, typer.Option("--tiers", metavar="LIST", help='Such as "100000:0.10 500000:0.08".')
]
TierPeriodOption = Annotated[
    str, typer.Option("--tier-period", help="month or year: when use counts towards tiers.")
]
PerCoreOption = Annotated[
    str,
    typer.Option("--memory-per-core", metavar="SIZE", help="Count cores by memory too: 4GiB."),
]
FactorsOption = Annotated[
    str, typer.Option("--factors", metavar="LIST", help='Such as "school=60% partner=80%".')
]
FromOption = Annotated[
    str, typer.Option("--from", metavar="TIME", help="First moment; now if left out.")
]
ToOption = Annotated[
    str, typer.Option("--to", metavar="TIME", help="First moment after it; none if left out.")
]


@command(app, "list")
def list_prices(  # noqa: PLR0913, PLR0917 - one argument per option
    unit: UnitOption = "",
    provider: ProviderOption = "",
    site: SiteOption = "",
    region: RegionOption = "",
    flavor: FlavorOption = "",
    model: ModelOption = "",
    mode: ModeOption = "",
    history: Annotated[
        bool, typer.Option("--history", help="Also versions not, or no longer, in force.")
    ] = False,
    limit: LimitOption = 200,
    everything: AllOption = False,
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
    hub: HubOption = "",
) -> None:
    """List the prices in force."""
    from fenglin.client.prices import prices  # noqa: PLC0415 - slow; help needs none

    cut = Cut(
        (
            ("unit", unit),
            ("provider", provider),
            ("site", site),
            ("region", region),
            ("flavor", flavor),
            ("model", model),
            ("mode", mode),
            ("every", "true" if history else ""),
        ),
        limit=limit,
        everything=everything,
    )
    with hub_client(hub) as client:
        page = client.pages(prices, cut.filter(), cut.most())
    show_page(page, Layout(_COLUMNS, _cells), output, header=not no_header)


@command(app, "show")
def show_price(
    price: Annotated[str, typer.Argument(metavar="PRICE", help="Such as p7.")],
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Show a version of a price, in force or not."""
    from fenglin.client.prices import price as ask  # noqa: PLC0415 - slow; help needs none

    with hub_client(hub) as client:
        view = client.call(ask(price))
    if output is not Output.TABLE:
        write_data(view, output)
        return
    names = ("provider", "site", "region", "zone", "flavor", "model", "user_class", "mode", "band")
    write_fields(
        [
            ("price", view.id),
            ("unit", view.unit),
            *((name.replace("_", " "), getattr(view, name)) for name in names),
            ("amount", _money(view.price_micro, view.currency)),
            ("tiers", _tiers(view)),
            ("tier period", view.tier_period if view.tiers else ""),
            ("memory per core", _per_core(view)),
            ("factors", _factors(view)),
            ("from", moment(view.from_ms)),
            ("end", moment(view.end_ms) if view.end_ms else "none"),
            ("supersedes", view.supersedes),
            ("grade", view.grade),
        ]
    )


@command(app, "import")
def import_prices(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV; .gz too.")],
    form: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="fenglin or skypilot.")
    ] = "fenglin",
    provider: Annotated[
        str, typer.Option("--provider", help="Whose list it is, if it does not say.")
    ] = "",
    supersede: Annotated[
        bool, typer.Option("--supersede", help="End versions whose price differs.")
    ] = False,
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Import a price list: all of it, or nothing where a line is wrong.

    Prices that the book has already are left as they are, so repeating is harmless.
    """
    from fenglin.cli.price_files import body_of  # noqa: PLC0415 - help needs none
    from fenglin.client.prices import import_prices as ask  # noqa: PLC0415 - slow

    body = body_of(file)
    with hub_client(hub) as client:
        done = client.call(
            ask(body, form=form, source=file.name, provider=provider, supersede=supersede)
        )
    _show_added(done, output)


@command(app, "set")
def set_price(  # noqa: PLR0913, PLR0917 - one argument per option
    unit: UnitOption,
    price: PriceOption,
    provider: ProviderOption = "",
    site: SiteOption = "",
    region: RegionOption = "",
    zone: Annotated[str, typer.Option("--zone", help="Within the region.")] = "",
    flavor: FlavorOption = "",
    model: ModelOption = "",
    user_class: Annotated[str, typer.Option("--class", help="Of the tenant.")] = "",
    mode: ModeOption = "",
    band: Annotated[str, typer.Option("--band", help='Such as "mon-fri 08:00-22:00".')] = "",
    currency: Annotated[str, typer.Option("--currency", help="ISO 4217 code.")] = "CNY",
    tiers: TiersOption = "",
    tier_period: TierPeriodOption = "",
    memory_per_core: PerCoreOption = "",
    factors: FactorsOption = "",
    start: FromOption = "",
    end: ToOption = "",
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Add one price that the book does not have. What is not named applies everywhere."""
    from fenglin.wire.price_views import PriceAsk  # noqa: PLC0415 - slow; help needs none

    asked = PriceAsk(
        unit=unit,
        provider=provider,
        site=site,
        region=region,
        zone=zone,
        flavor=flavor,
        model=model,
        user_class=user_class,
        mode=mode,
        band=band,
        currency=currency,
        price=price,
        tiers=tiers,
        tier_period=tier_period,
        memory_per_core=memory_per_core,
        factors=factors,
        valid_from=start,
        valid_to=end,
    )
    _add(asked, output, hub)


@command(app, "supersede")
def supersede_price(  # noqa: PLR0913, PLR0917 - one argument per option
    old: Annotated[str, typer.Argument(metavar="PRICE", help="The version to end, such as p7.")],
    price: PriceOption,
    tiers: TiersOption = "",
    memory_per_core: PerCoreOption = "",
    factors: FactorsOption = "",
    start: FromOption = "",
    end: ToOption = "",
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """End a version and begin another for the same use. What was rated stays as it was.

    Tiers, memory per core and factors are those of the old version unless given.
    """
    from fenglin.client.prices import price as ask  # noqa: PLC0415 - slow; help needs none
    from fenglin.wire.price_views import PriceAsk  # noqa: PLC0415

    with hub_client(hub) as client:
        view = client.call(ask(old))
    asked = PriceAsk(
        **{name: getattr(view, name) for name in _KEPT},
        price=price,
        tiers=tiers or _tiers(view),
        memory_per_core=memory_per_core or _exact_per_core(view),
        factors=factors or _factors(view),
        valid_from=start,
        valid_to=end,
        supersedes=old,
    )
    _add(asked, output, hub)


def _add(asked: PriceAsk, output: Output, hub: str) -> None:
    from fenglin.client.prices import add_price  # noqa: PLC0415 - slow; help needs none

    with hub_client(hub) as client:
        _show_added(client.call(add_price(asked)), output)


def _show_added(done: PricesAdded, output: Output) -> None:
    if output is not Output.TABLE:
        write_data(done, output)
        return
    write_fields(
        [
            ("first", done.first),
            ("added", str(done.added)),
            ("superseded", str(done.superseded)),
            ("unchanged", str(done.unchanged)),
        ]
    )
    for currency in done.no_exchange:
        show_warning(
            f"the hub does not charge by prices in {currency}: the book has no exchange for it; see"
            f" `fenglin price set --unit exchange --model {currency} --price …`"
        )


def _cells(view: PriceView) -> Sequence[str]:
    """Return one row of the list."""
    return (
        view.id,
        view.provider,
        view.site or "/".join(filter(None, (view.region, view.zone))),
        " ".join(filter(None, (view.flavor, view.model))),
        view.user_class,
        view.mode,
        view.band,
        view.unit,
        _money(view.price_micro, view.currency),
        _tiers(view),
        moment(view.from_ms),
        moment(view.end_ms) if view.end_ms else "",
    )


def _tiers(view: PriceView) -> str:
    return " ".join(f"{one.above}:{_plain(one.price_micro)}" for one in view.tiers)


def _factors(view: PriceView) -> str:
    return " ".join(f"{f.user_class}={f.permille // 10}.{f.permille % 10}%" for f in view.factors)


def _per_core(view: PriceView) -> str:
    from fenglin.quantities.sizes import format_bytes  # noqa: PLC0415 - only for one price

    return format_bytes(view.memory_per_core_bytes) if view.memory_per_core_bytes else ""


def _exact_per_core(view: PriceView) -> str:
    return f"{view.memory_per_core_bytes}B" if view.memory_per_core_bytes else ""


def _money(micro: int, currency: str) -> str:
    from fenglin.quantities.money import format_money  # noqa: PLC0415 - only for tables

    return format_money(micro, currency)


def _plain(micro: int) -> str:
    return _money(micro, "").strip()
