"""`fenglin agent`: runs at a site that takes no connection from outside."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from fenglin.cli.session import HubOption, single


def agent(
    site: Annotated[
        str, typer.Option("--site", metavar="NAME", help="Its name in the hub's configuration.")
    ],
    hub: HubOption = "",
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Driver, settings and certificates."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Where it keeps its state.")
    ] = None,
) -> None:
    """Run a site's agent in the foreground until SIGTERM or Ctrl-C.

    It dials the hub with the site's token (FENGLIN_TOKEN or FENGLIN_TOKEN_FILE), carries out its
    orders with a driver of its own, and dials again when it is cut off. Work runs on meanwhile.
    """
    from fenglin.agent import run_agent  # noqa: PLC0415 - slow; help needs none
    from fenglin.client.settings import load_settings  # noqa: PLC0415 - the same

    raise typer.Exit(run_agent(load_settings(os.environ, Path.home(), hub), site, config, data))


app = single(agent, "agent")
