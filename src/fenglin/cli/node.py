"""`fenglin node`: the machines of the pool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fenglin.cli.humane import used_of
from fenglin.cli.listing import Cut, Layout, show_page
from fenglin.cli.output import Column, Output
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

    from fenglin.wire.views import NodeView

app = group("List nodes.")

_COLUMNS = (
    Column("NODE"),
    Column("SITE"),
    Column("FLAVOR"),
    Column("STATE"),
    Column("CORES", right=True),
    Column("MEMORY", right=True),
    Column("DISK", right=True),
    Column("CARDS", right=True),
)


@command(app, "list")
def list_nodes(
    site: Annotated[str, typer.Option("--site", help="Only of this site.")] = "",
    flavor: Annotated[str, typer.Option("--flavor", help="Only of this flavor.")] = "",
    up: Annotated[bool | None, typer.Option("--up/--down", help="Only those up, or down.")] = None,
    limit: LimitOption = 200,
    everything: AllOption = False,
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
    hub: HubOption = "",
) -> None:
    """List nodes with their capacity and what is committed on them."""
    state = "" if up is None else str(up).lower()
    cut = Cut(
        (("site", site), ("flavor", flavor), ("up", state)), limit=limit, everything=everything
    )
    with hub_client(hub) as client:
        page = client.nodes(cut.filter(), cut.most())
    show_page(page, Layout(_COLUMNS, _cells), output, header=not no_header)


def _cells(node: NodeView) -> Sequence[str]:
    """Return one row of the list."""
    return (
        node.name,
        node.site,
        node.flavor,
        "up" if node.up else "down",
        used_of(node.cpu_used_milli, node.cpu_milli, "milli"),
        used_of(node.memory_used_bytes, node.memory_bytes, "bytes"),
        used_of(node.disk_used_bytes, node.disk_bytes, "bytes"),
        used_of(node.accelerator_used_milli, node.accelerator_milli, "milli"),
    )
