"""`fenglin ledger close`: nothing is entered into a month any more."""

from __future__ import annotations

from typing import Annotated

import typer

from fenglin.cli.humane import moment
from fenglin.cli.output import Output, write_data, write_fields
from fenglin.cli.session import HubOption, OutputOption, command, hub_client


def register(app: typer.Typer) -> None:
    """Add the command to `fenglin ledger`."""
    command(app, "close")(close)


def close(
    period: Annotated[
        str, typer.Option("--period", metavar="YYYY-MM", help="The month, in the books' zone.")
    ],
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Close a month that is over: its statements are final, what comes late is the next one's."""
    from fenglin.client.accounts import close_period  # noqa: PLC0415 - slow; help needs none

    with hub_client(hub) as client:
        closed = client.call(close_period(period))
    if output is not Output.TABLE:
        write_data(closed, output)
        return
    write_fields(
        [
            ("closed", f"{closed.period} (UTC{closed.zone})"),
            ("from", moment(closed.from_ms)),
            ("to", moment(closed.to_ms)),
            ("entry", str(closed.entry)),
            ("open holds", f"{closed.open_holds}, to be settled in the next month"),
        ]
    )
