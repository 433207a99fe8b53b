"""`fenglin secret`: values that jobs are given and nobody is shown."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fenglin.cli.humane import age, now_ms
from fenglin.cli.output import Column, Output, write, write_data, write_table
from fenglin.cli.session import HubOption, NoHeaderOption, OutputOption, command, group, hub_client
from fenglin.errors import InputError

if TYPE_CHECKING:
    from fenglin.wire.secret_views import SecretView

app = group("Set, list and remove secrets that jobs are given.")

_COLUMNS = tuple(map(Column, ("NAME", "ACCOUNT", "VERSION", "CHANGED", "BY", "KEY")))

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Such as db-password.")]
AccountOption = Annotated[
    str, typer.Option("--account", help="Whose; your own.", show_default=False)
]


@command(app, "set")
def set_one(
    name: NameArgument,
    from_file: Annotated[
        Path | None,
        typer.Option("--from-file", metavar="FILE", help="Read the value there, not from stdin."),
    ] = None,
    account: AccountOption = "",
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Keep a value, read from stdin. It is never an argument, which other users could see."""
    from fenglin.client.vault import set_secret  # noqa: PLC0415 - slow; help needs none

    value = _read(from_file)
    with hub_client(hub) as client:
        made = client.call(set_secret(name, value, account))
    _tell(made, f"{made.name} of {made.account} is set, version {made.version}", output)


@command(app, "list")
def list_all(
    account: AccountOption = "",
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
    hub: HubOption = "",
) -> None:
    """List secrets: versions, when and by whom they were set. Values are never shown."""
    from fenglin.client.vault import list_secrets  # noqa: PLC0415 - slow; help needs none

    with hub_client(hub) as client:
        found = client.call(list_secrets(account)).items
    if output is not Output.TABLE:
        write_data(found, output)
        return
    now = now_ms()
    rows = [
        (
            one.name,
            one.account,
            str(one.version),
            f"{age(one.changed_ms, now)} ago",
            one.changed_by,
            one.key,
        )
        for one in found
    ]
    write_table(_COLUMNS, rows, header=not no_header)


@command(app, "remove")
def remove(
    name: NameArgument,
    account: AccountOption = "",
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Forget a secret: jobs that name it no longer start; those that run keep theirs."""
    from fenglin.client.vault import remove_secret  # noqa: PLC0415 - slow; help needs none

    with hub_client(hub) as client:
        gone = client.call(remove_secret(name, account))
    _tell(gone, f"{gone.name} of {gone.account} is removed", output)


def _read(file: Path | None) -> str:
    """Return the value, without the line end that editors and `echo` add.

    Raises:
        InputError: it cannot be read, or is no text.
    """
    try:
        if file is not None:
            data = file.read_bytes()
        elif sys.stdin.isatty():
            return getpass.getpass("Value (not shown): ")
        else:
            data = sys.stdin.buffer.read()
        return data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise InputError(
            "the value is no UTF-8 text",
            where=str(file or "stdin"),
            hint="encode it, for example with base64",
        ) from None
    except (OSError, EOFError) as error:
        what = getattr(error, "strerror", None) or "no value came"
        raise InputError(f"the value cannot be read: {what}", where=str(file or "stdin")) from error


def _tell(view: SecretView, text: str, output: Output) -> None:
    if output is Output.TABLE:
        write(text + "\n")
    else:
        write_data(view, output)
