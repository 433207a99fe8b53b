"""What all commands share: their common options, and the way to the hub."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from fenglin.cli.output import Output
from fenglin.cli.values import LightCommand, LightGroup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fenglin.client import Client

HubOption = Annotated[
    str, typer.Option("--hub", metavar="URL", help="Hub to ask.", show_default=False)
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="Form of the answer.")]
NoHeaderOption = Annotated[bool, typer.Option("--no-header", help="Leave the heads out.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=1_000_000, help="Most rows.")]
AllOption = Annotated[bool, typer.Option("--all", help="All rows, without limit.")]
SortOption = Annotated[
    str,
    typer.Option("--sort", metavar="FIELD", help="Order; -FIELD for falling.", show_default=False),
]
DialectOption = Annotated[
    str,
    typer.Option(
        "--as",
        metavar="DIALECT",
        help="native, sbatch, kubernetes, skypilot, dstack or tes; told by the content.",
        show_default=False,
    ),
]
SbatchOption = Annotated[
    str,
    typer.Option(
        "--sbatch",
        metavar="OPTIONS",
        help="Options as on sbatch's command line; they win over a script's.",
        show_default=False,
    ),
]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="Refuse what would be lost or approximated.")
]
Function = TypeVar("Function", bound="Callable[..., Any]")
HELP = {"help_option_names": ["-h", "--help"]}


def group(text: str) -> typer.Typer:
    """Return an empty group of commands."""
    app = typer.Typer(
        help=text,
        cls=LightGroup,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        context_settings=HELP,
    )

    def keep_group() -> None:
        """Keep a group with one command a group."""

    app.callback(help=text)(keep_group)
    return app


def command(app: typer.Typer, name: str) -> Callable[[Function], Function]:
    """Return the decorator that makes a function a command of an app."""
    return app.command(name, cls=LightCommand)


def single(function: Function, name: str) -> typer.Typer:
    """Return the app of a command that has no sub-commands."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=HELP)
    command(app, name)(function)
    return app


@contextmanager
def hub_client(hub: str) -> Iterator[Client]:
    """Yield a client of the chosen hub; warn about whatever is unsafe in the settings.

    Raises:
        InputError: the settings cannot be understood.
    """
    from fenglin.client import Client, load_settings  # noqa: PLC0415 - slow; help needs none

    settings = load_settings(os.environ, Path.home(), hub)
    if settings.warnings:
        from fenglin.cli.failure import show_warning  # noqa: PLC0415 - rarely needed

        for warning in settings.warnings:
            show_warning(warning)
    client = Client.connect(settings)
    try:
        yield client
    finally:
        client.close()
