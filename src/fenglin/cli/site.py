"""`fenglin site`: the systems of the pool."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fenglin.cli.driver import check_driver
from fenglin.cli.humane import age, count, money, now_ms, used_of
from fenglin.cli.listing import Cut, Layout, show_page
from fenglin.cli.output import (
    Column,
    Output,
    write,
    write_data,
    write_fields,
    write_line,
    write_table,
)
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
from fenglin.quantities.sizes import format_bytes, format_milli

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.wire.views import FlavorView, LinkView, SiteView

app = group("List, show, add, check, drain and resume sites.")
SiteArgument = Annotated[str, typer.Argument(metavar="SITE", help="Name of the site.")]

_SITE_COLUMNS = (
    Column("SITE"),
    Column("STATE"),
    Column("PROVIDER"),
    Column("DRIVER"),
    Column("NODES", right=True),
    Column("CORES", right=True),
    Column("MEMORY", right=True),
    Column("CARDS", right=True),
    Column("RUNNING", right=True),
    Column("SEEN", right=True),
)
_FLAVOR_COLUMNS = (
    Column("FLAVOR"),
    Column("CLASS"),
    Column("NODES", right=True),
    Column("CORES", right=True),
    Column("MEMORY", right=True),
    Column("DISK", right=True),
    Column("CARDS", right=True),
    Column("MODEL"),
    Column("SPEED", right=True),
    Column("CORE-HOUR", right=True),
    Column("GIB-HOUR", right=True),
    Column("CARD-HOUR", right=True),
    Column("POWER", right=True),
    Column("LABELS"),
    Column("NOTE"),
)

_LINK_COLUMNS = (
    Column("LINK TO"),
    Column("ROUND TRIP", right=True),
    Column("BANDWIDTH", right=True),
    Column("EGRESS/GIB", right=True),
)
ONE_MILLI = 1_000


@command(app, "list")
def list_sites(  # noqa: PLR0913, PLR0917 - each option is an argument
    state: Annotated[str, typer.Option("--state", help="active, drained or down.")] = "",
    provider: Annotated[str, typer.Option("--provider", help="Only of this provider.")] = "",
    driver: Annotated[str, typer.Option("--driver", help="Only of this driver.")] = "",
    compute_class: Annotated[str, typer.Option("--class", help="general, ai or super.")] = "",
    limit: LimitOption = 200,
    everything: AllOption = False,
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
    hub: HubOption = "",
) -> None:
    """List sites with what they hold and what is used of it."""
    fields = (
        ("state", state),
        ("provider", provider),
        ("driver", driver),
        ("class", compute_class),
    )
    cut = Cut(fields, limit=limit, everything=everything)
    with hub_client(hub) as client:
        page = client.sites(cut.filter(), cut.most())
    now = now_ms()
    show_page(
        page, Layout(_SITE_COLUMNS, lambda one: _site_cells(one, now)), output, header=not no_header
    )


def _site_cells(site: SiteView, now: int) -> Sequence[str]:
    """Return one row of the list."""
    return (
        site.name,
        site.state,
        site.provider,
        site.driver,
        f"{site.nodes_up}/{site.nodes}",
        used_of(site.cpu_used_milli, site.cpu_milli, "milli"),
        used_of(site.memory_used_bytes, site.memory_bytes, "bytes"),
        used_of(site.accelerator_used_milli, site.accelerator_milli, "milli"),
        str(site.running_tasks),
        f"{age(site.seen_ms, now)} ago" if site.seen_ms else "never",
    )


@command(app, "show")
def show_site(name: SiteArgument, output: OutputOption = Output.TABLE, hub: HubOption = "") -> None:
    """Show a site with its flavors and their prices."""
    with hub_client(hub) as client:
        site = client.site(name)
    _show(site, output)


@command(app, "drain")
def drain_site(
    name: SiteArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why; others will read it.")] = "",
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Let no new work start at a site; what runs there goes on."""
    with hub_client(hub) as client:
        site = client.drain(name, reason)
    _show_state(site, output)


@command(app, "resume")
def resume_site(
    name: SiteArgument, output: OutputOption = Output.TABLE, hub: HubOption = ""
) -> None:
    """Let work start at a drained site again."""
    with hub_client(hub) as client:
        site = client.resume(name)
    _show_state(site, output)


@command(app, "add")
def add_site(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new site.")],
    driver: Annotated[
        str, typer.Option("--driver", metavar="KIND", help="See `fenglin driver list`.")
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A key of the block, such as pue=1.2."),
    ] = None,
    config: Annotated[
        Path, typer.Option("--config", metavar="FILE", help="The hub's configuration.")
    ] = Path("fenglin.toml"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and show the block; write nothing.")
    ] = False,
) -> None:
    """Add a [site.NAME] block to the hub's configuration.

    The file is checked as it would be, by the driver too, before anything is written; what was in
    it stays as it is. A hub that runs takes the new site at its next start.
    """
    from fenglin.cli.site_add import add_site as add  # noqa: PLC0415 - slow; help needs none

    write(add(name, driver, settings or (), config, write=not dry_run))
    if not dry_run:
        write_line(f"next: fenglin site check {name} --config {config}")


command(app, "check")(check_driver)


def _show_state(site: SiteView, output: Output) -> None:
    """Print what became of a site."""
    if output is Output.TABLE:
        running = f"{count(site.running_tasks, 'task')} running"
        write_line(site.name, site.state, running, site.state_reason)
    else:
        write_data(site, output)


def _show(site: SiteView, output: Output) -> None:
    """Print a whole site."""
    if output is not Output.TABLE:
        write_data(site, output)
        return
    now = now_ms()
    write_fields(
        [
            ("site", site.name),
            ("state", site.state),
            ("why", site.state_reason),
            ("provider", site.provider),
            ("driver", site.driver),
            ("placement", site.placement),
            ("nodes", f"{site.nodes_up} of {site.nodes} up"),
            ("cores", used_of(site.cpu_used_milli, site.cpu_milli, "milli")),
            ("memory", used_of(site.memory_used_bytes, site.memory_bytes, "bytes")),
            ("cards", used_of(site.accelerator_used_milli, site.accelerator_milli, "milli")),
            ("running", count(site.running_tasks, "task")),
            ("seen", f"{age(site.seen_ms, now)} ago" if site.seen_ms else "never"),
            ("can", ", ".join(site.capabilities)),
            ("region", site.region),
            ("labels", _labels(site.labels)),
            ("carbon", f"{site.carbon_g_kwh} g/kWh" if site.carbon_g_kwh else ""),
            ("pue", format_milli(site.pue_milli) if site.pue_milli != ONE_MILLI else ""),
        ]
    )
    if site.flavors:
        write("\n")
        write_table(_FLAVOR_COLUMNS, map(_flavor_cells, site.flavors))
    if site.links:
        write("\n")
        write_table(_LINK_COLUMNS, map(_link_cells, site.links))


def _labels(labels: dict[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in labels.items())


def _link_cells(link: LinkView) -> Sequence[str]:
    """Return one row of a site's links; what is not declared stays empty."""
    return (
        link.site,
        f"{link.latency_us / 1_000:g}ms" if link.latency_us else "",
        f"{link.bandwidth_mbit_s} Mbit/s" if link.bandwidth_mbit_s else "",
        money(link.egress_gib_micro),
    )


def _flavor_cells(flavor: FlavorView) -> Sequence[str]:
    """Return one row of a site's flavors; amounts are of one node."""
    return (
        flavor.name,
        flavor.compute_class,
        str(flavor.nodes),
        format_milli(flavor.cpu_milli),
        format_bytes(flavor.memory_bytes),
        format_bytes(flavor.disk_bytes) if flavor.disk_bytes else "",
        format_milli(flavor.accelerator_milli) if flavor.accelerator_milli else "",
        flavor.accelerator,
        format_milli(flavor.speed_milli),
        money(flavor.core_hour_micro),
        money(flavor.memory_gib_hour_micro),
        money(flavor.card_hour_micro),
        f"{flavor.power_watts} W" if flavor.power_watts else "",
        _labels(flavor.labels),
        flavor.note,
    )
