"""`fenglin version`: this program's version, and the hub's where one answers."""

from __future__ import annotations

from fenglin import __version__
from fenglin.cli.output import Output, write_data, write_fields
from fenglin.cli.session import HubOption, OutputOption, hub_client, single
from fenglin.errors import DeniedError, UnavailableError


def version(output: OutputOption = Output.TABLE, hub: HubOption = "") -> None:
    """Show the versions of this program and of the hub, if one answers."""
    with hub_client(hub) as client:
        url = client.hub
        try:
            answer = client.overview().version
        except (UnavailableError, DeniedError) as error:
            answer = f"unknown: {error.what}"
    if output is Output.TABLE:
        write_fields([("fenglin", __version__), ("hub", answer), ("at", url)])
    else:
        write_data({"fenglin": __version__, "hub": answer, "url": url}, output)


app = single(version, "version")
