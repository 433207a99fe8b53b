"""`fenglin login`: a token of one's own, by the provider that the hub believes."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from fenglin.cli.output import write
from fenglin.cli.session import HubOption, hub_client, single
from fenglin.errors import InputError
from fenglin.quantities.durations import parse_duration_ms

FOLDER = Path(".config") / "fenglin"


def login(
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Where the token goes; ~/.config/fenglin/login.token.",
            show_default=False,
        ),
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open it, or only print the address.")
    ] = True,
    patience: Annotated[
        str, typer.Option("--patience", metavar="TIME", help="How long to wait for you.")
    ] = "5m",
    hub: HubOption = "",
) -> None:
    """Log in at the OpenID provider of a hub, and keep the token that it gives you."""
    from fenglin.client.login import id_token_for, read_login  # noqa: PLC0415 - slow
    from fenglin.client.login import login as enter  # noqa: PLC0415
    from fenglin.wire.login_views import LoginAsk  # noqa: PLC0415
    from fenglin.wire.token_text import RANDOM_BYTES, digest_of, token_text  # noqa: PLC0415

    def show(address: str) -> None:
        sys.stderr.write(f"Log in here: {address}\n")
        sys.stderr.flush()
        if browser:
            with contextlib.suppress(webbrowser.Error):
                webbrowser.open(address)

    text = token_text(secrets.token_bytes(RANDOM_BYTES))
    digest = digest_of(text).hex()
    path = out or Path.home() / FOLDER / "login.token"
    patience_s = parse_duration_ms(patience) / 1_000
    with hub_client(hub) as client:
        proof = id_token_for(client.call(read_login()), digest, show, patience_s)
        made = client.call(enter(LoginAsk(id_token=proof, digest=digest)))
        reached = client.hub
    _keep(path, text)
    write(f"you are {made.name} ({made.role}); your token is in {path}\n")
    config = Path.home() / FOLDER / "config.toml"
    if out is None and not config.exists():
        _keep(config, f'hub = "{reached}"\ntoken_file = "login.token"')
    elif out is not None:
        write(f"use it by: export FENGLIN_TOKEN_FILE={path}\n")


def _keep(path: Path, text: str) -> None:
    """Write a file that only its owner can read, in one step."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(text + "\n")
        fresh.replace(path)
    except OSError as error:
        raise InputError(
            f"the token cannot be kept: {error.strerror}", where=str(path), hint="choose --out"
        ) from error


app = single(login, "login")
