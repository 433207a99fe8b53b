"""`fenglin doctor`: what is wrong with a deployment, in words, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fenglin.cli.output import Column, Output, write_data, write_table
from fenglin.cli.session import HubOption, OutputOption, hub_client, single

if TYPE_CHECKING:
    from fenglin.wire.doctor_views import Finding


def doctor(
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="The hub's fenglin.toml.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Where it keeps its state.")
    ] = None,
    backups: Annotated[
        Path | None, typer.Option("--backups", metavar="DIR", help="Where its backups are.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no hub.")] = False,
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Check a deployment; ends with 1 when something is bad.

    With --config or --data it looks at files, database and disk of this machine; without
    --offline it asks the hub too.
    """
    from fenglin.cli import doctor_hub  # noqa: PLC0415 - help needs none
    from fenglin.wire.doctor_views import Level  # noqa: PLC0415 - see above

    found: list[Finding] = []
    if offline or config is not None or data is not None or backups is not None:
        from fenglin.bootstrap.doctor import examine  # noqa: PLC0415 - brings in the whole house

        found += examine(config, data, backups)
    if not offline:
        with hub_client(hub) as client:
            found += doctor_hub.examine(client)
    bad = sum(one.level is Level.BAD for one in found)
    if output is Output.TABLE:
        columns = [Column(name) for name in ("CHECK", "STATE", "FOUND", "WHAT TO DO")]
        write_table(columns, [(one.check, one.level, one.what, one.hint) for one in found])
    else:
        write_data({"ok": not bad, "findings": found}, output)
    if bad:
        raise typer.Exit(1)


app = single(doctor, "doctor")
