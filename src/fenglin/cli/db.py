"""`fenglin db`: a hub's database itself, which no hub is asked about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fenglin.cli.output import Column, Output, write, write_data, write_fields, write_table
from fenglin.cli.session import OutputOption, command, group
from fenglin.errors import DamageError

if TYPE_CHECKING:
    from fenglin.bootstrap.database import Carried

app = group("Migrate, back up, restore, check and move a hub's database.")

ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="The hub's fenglin.toml.")
]
DataOption = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="Where the hub keeps its state.")
]


@command(app, "migrate")
def migrate_database(config: ConfigOption = None, data: DataOption = None) -> None:
    """Take the tables forward to this program's version; a hub does the same when it starts."""
    from fenglin.bootstrap import database  # noqa: PLC0415 - brings in the whole house

    before, after = database.migrate(database.place_of(config, data))
    write(f"version {after}, as it was\n" if before == after else f"version {before} to {after}\n")


@command(app, "backup")
def back_up(
    to: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.")],
    config: ConfigOption = None,
    data: DataOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Write a whole, checked copy of the state into a file, also while hubs run."""
    from fenglin.bootstrap import database  # noqa: PLC0415 - brings in the whole house

    _show(database.backup(database.place_of(config, data), to), output)


@command(app, "restore")
def restore_database(
    backup: Annotated[Path, typer.Argument(metavar="FILE", help="A backup.")],
    config: ConfigOption = None,
    data: DataOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Fill a hub's empty database from a backup."""
    from fenglin.bootstrap import database  # noqa: PLC0415 - brings in the whole house

    _show(database.restore(database.place_of(config, data), backup), output)


@command(app, "move")
def move_database(
    to: Annotated[str, typer.Option("--to", metavar="URL", help="An empty PostgreSQL database.")],
    config: ConfigOption = None,
    data: DataOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Carry a hub's file over into PostgreSQL; the ledger is verified before and after."""
    from fenglin.bootstrap import database  # noqa: PLC0415 - brings in the whole house

    _show(database.move(database.place_of(config, data), to), output)


@command(app, "check")
def check_database(
    config: ConfigOption = None, data: DataOption = None, output: OutputOption = Output.TABLE
) -> None:
    """Check the database, its guards, its ledger and what must hold between its rows."""
    from fenglin.bootstrap import database  # noqa: PLC0415 - brings in the whole house

    found = database.check(database.place_of(config, data))
    if output is Output.TABLE:
        write("".join(f"{line}\n" for line in found) or "all is well\n")
    else:
        write_data({"ok": not found, "problems": found}, output)
    if found:
        raise typer.Exit(DamageError.exit_code)


def _show(carried: Carried, output: Output) -> None:
    if output is not Output.TABLE:
        write_data(carried._asdict(), output)
        return
    rows = [(one.table, str(one.rows), one.sha256[:16]) for one in carried.tables]
    write_table([Column("TABLE"), Column("ROWS", right=True), Column("SHA256")], rows)
    ledger = carried.after
    write("\n")
    write_fields(
        [
            ("ledger", ledger.ledger_id),
            ("entries", str(ledger.entries)),
            ("head", ledger.head_hash),
            ("verified", "before and after, equal"),
        ]
    )
