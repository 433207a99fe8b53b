"""`fenglin queue`: the admission lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
from fenglin.quantities.sizes import format_bytes, format_milli

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.wire.views import QueueView

app = group("List queues.")

_COLUMNS = (
    Column("QUEUE"),
    Column("COHORT"),
    Column("PARENT"),
    Column("WEIGHT", right=True),
    Column("JOBS", right=True),
    Column("PENDING", right=True),
    Column("RUNNING", right=True),
    Column("CORES", right=True),
    Column("MEMORY", right=True),
    Column("CARDS", right=True),
    Column("SHARE", right=True),
)


@command(app, "list")
def list_queues(
    limit: LimitOption = 200,
    everything: AllOption = False,
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
    hub: HubOption = "",
) -> None:
    """List queues with what waits in them and what they hold.

    SHARE is the dominant share: the largest part that a queue holds of any one resource.
    """
    cut = Cut((), limit=limit, everything=everything)
    with hub_client(hub) as client:
        page = client.queues(cut.filter(), cut.most())
    show_page(page, Layout(_COLUMNS, _cells), output, header=not no_header)


def _cells(queue: QueueView) -> Sequence[str]:
    """Return one row of the list."""
    return (
        queue.name,
        queue.cohort,
        queue.parent,
        format_milli(queue.weight_milli),
        str(queue.pending_jobs),
        str(queue.pending_tasks),
        str(queue.running_tasks),
        format_milli(queue.cpu_used_milli),
        format_bytes(queue.memory_used_bytes),
        format_milli(queue.accelerator_used_milli),
        f"{queue.dominant_share:.1%}",
    )
