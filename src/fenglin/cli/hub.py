"""`fenglin hub`: the one command that is a hub rather than asking one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fenglin.cli.humane import count, moment
from fenglin.cli.output import Column, Output, write_data, write_line, write_table
from fenglin.cli.session import HubOption, OutputOption, command, group, hub_client

app = group("Run a hub; show and release what it holds back.")


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


@command(app, "held")
def show_held(output: OutputOption = Output.TABLE, hub: HubOption = "") -> None:
    """Show what a hub holds back: jobs set aside, users slowed, sites not settled."""
    from fenglin.client.safety import show_safety  # noqa: PLC0415 - slow; help needs none

    with hub_client(hub) as client:
        found = client.call(show_safety())
    if output is not Output.TABLE:
        write_data(found, output)
        return
    rows = [("job", one.id, one.why) for one in found.quarantined]
    rows += [
        ("user", one.user, f"{one.failures} failures in a row, until {moment(one.until_ms)}")
        for one in found.braked
    ]
    rows += [("site", name, why) for name, why in found.unsettled.items()]
    rows += [
        ("key", key, f"not in the hub's key file; {count(jobs, 'job')} waiting for it")
        for key, jobs in found.keyless.items()
    ]
    if found.starts_per_s:
        rows.append(("starts", "all", f"at most {found.starts_per_s} a second after a restart"))
    write_table([Column("WHAT"), Column("NAME"), Column("WHY")], rows)


@command(app, "release-user")
def release_one(
    user: Annotated[str, typer.Argument(metavar="NAME", help="As `hub held` shows it.")],
    hub: HubOption = "",
) -> None:
    """Slow a user no longer."""
    from fenglin.client.safety import release_user  # noqa: PLC0415 - slow; help needs none

    with hub_client(hub) as client:
        write_line(client.call(release_user(user)).id, "released")
