"""`fenglin hub`: the one command that is a hub rather than asking one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fenglin.cli.session import command, group

app = group("Run a hub.")


@command(app, "start")
def start_hub(
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Its fenglin.toml.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Where it keeps its state.")
    ] = None,
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Where it is reached.")
    ] = "",
) -> None:
    """Run a hub in the foreground until SIGTERM or Ctrl-C.

    What an option does not say is taken from the configuration file, and else from its defaults.
    """
    from fenglin.bootstrap import run_hub  # noqa: PLC0415 - brings in the whole house

    raise typer.Exit(run_hub(config, data, listen or None))
