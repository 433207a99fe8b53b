"""`fenglin token`: who may ask this hub, made, replaced and revoked."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fenglin.cli.humane import age, now_ms
from fenglin.cli.output import Column, Output, write, write_data, write_fields, write_table
from fenglin.cli.session import HubOption, NoHeaderOption, OutputOption, command, group, hub_client
from fenglin.errors import InputError
from fenglin.quantities.durations import parse_duration_ms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fenglin.client import Client
    from fenglin.wire.token_views import TokenView

app = group("Make, list, replace and revoke tokens; show your own.")

_COLUMNS = tuple(map(Column, ("ID", "NAME", "ROLE", "ACCOUNT", "PARTY", "STATE", "LAST USE")))
_PAGE = 1_000

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Such as t7.")]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="Write the text there, for its owner alone."),
]


@command(app, "add")
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its holder, for the records.")],
    role: Annotated[
        str,
        typer.Option(
            "--role",
            help="operator, auditor, tenant-admin, member, viewer, provider or agent.",
        ),
    ] = "member",
    account: Annotated[
        str, typer.Option("--account", help="Of a tenant's roles.", show_default=False)
    ] = "",
    party: Annotated[
        str,
        typer.Option("--party", help="Provider or site it speaks for.", show_default=False),
    ] = "",
    ttl: Annotated[
        str,
        typer.Option("--for", metavar="TIME", help="Such as 90d; for ever.", show_default=False),
    ] = "",
    out: OutOption = None,
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Make a token. Its text is shown this once; the hub only ever knows its hash."""
    from fenglin.client.tokens import make_token  # noqa: PLC0415 - slow; help needs none
    from fenglin.wire.token_text import digest_of  # noqa: PLC0415
    from fenglin.wire.token_views import TokenAsk  # noqa: PLC0415

    text = _fresh()
    ask = TokenAsk(
        digest=digest_of(text).hex(),
        name=name,
        role=role,
        account=account,
        party=party,
        ttl_ms=parse_duration_ms(ttl) if ttl else 0,
    )
    with hub_client(hub) as client, _kept(text, out):
        made = client.call(make_token(ask))
    _tell(made, text, out, output)


@command(app, "rotate")
def rotate(
    token: IdArgument,
    grace: Annotated[
        str, typer.Option("--grace", metavar="TIME", help="How long the old one still works.")
    ] = "1d",
    out: OutOption = None,
    output: OutputOption = Output.TABLE,
    hub: HubOption = "",
) -> None:
    """Make a token like an old one, which goes on working for a while."""
    from fenglin.client.tokens import rotate_token  # noqa: PLC0415 - slow; help needs none
    from fenglin.wire.token_text import digest_of  # noqa: PLC0415
    from fenglin.wire.token_views import RotateAsk  # noqa: PLC0415

    text = _fresh()
    ask = RotateAsk(digest=digest_of(text).hex(), grace_ms=parse_duration_ms(grace))
    with hub_client(hub) as client, _kept(text, out):
        made = client.call(rotate_token(token, ask))
    _tell(made, text, out, output)


@command(app, "list")
def list_all(
    every: Annotated[bool, typer.Option("--all", help="Ended and revoked ones too.")] = False,
    output: OutputOption = Output.TABLE,
    no_header: NoHeaderOption = False,
    hub: HubOption = "",
) -> None:
    """List tokens; an account's administrator sees its own account's."""
    with hub_client(hub) as client:
        tokens = [one for one in _all(client) if every or one.live]
    if output is not Output.TABLE:
        write_data(tokens, output)
        return
    now = now_ms()
    rows = [
        (
            one.id,
            one.name,
            one.role,
            one.account,
            one.party,
            _state(one),
            f"{age(one.used_ms, now)} ago" if one.used_ms else "",
        )
        for one in tokens
    ]
    write_table(_COLUMNS, rows, header=not no_header)


@command(app, "own")
def own(output: OutputOption = Output.TABLE, hub: HubOption = "") -> None:
    """Show whose token you use, and what it reaches."""
    from fenglin.client.tokens import own_token  # noqa: PLC0415 - slow; help needs none

    with hub_client(hub) as client:
        _show(client.call(own_token()), output)


@command(app, "revoke")
def revoke(token: IdArgument, output: OutputOption = Output.TABLE, hub: HubOption = "") -> None:
    """Refuse a token from now on; what it has open ends within five seconds."""
    from fenglin.client.tokens import revoke_token  # noqa: PLC0415 - slow; help needs none

    with hub_client(hub) as client:
        _show(client.call(revoke_token(token)), output)


def _all(client: Client) -> list[TokenView]:
    from fenglin.client.tokens import list_tokens  # noqa: PLC0415 - slow; help needs none

    found: list[TokenView] = []
    after = 0
    while True:
        page = client.call(list_tokens(after, _PAGE))
        found += page.items
        after = page.next_after
        if not after:
            return found


def _fresh() -> str:
    from fenglin.wire.token_text import RANDOM_BYTES, token_text  # noqa: PLC0415

    return token_text(secrets.token_bytes(RANDOM_BYTES))


@contextmanager
def _kept(text: str, out: Path | None) -> Iterator[None]:
    """Write a token's text to a new file first, and take it away when no token was made."""
    if out is None:
        yield
        return
    try:
        handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise InputError(
            f"the file cannot be made: {error.strerror}",
            where=str(out),
            hint="name one that does not exist",
        ) from error
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text + "\n")
        yield
    except BaseException:
        out.unlink(missing_ok=True)
        raise


def _tell(made: TokenView, text: str, out: Path | None, output: Output) -> None:
    if output is not Output.TABLE:
        write_data({"token": made, "secret": "" if out else text}, output)
        return
    if out is None:
        write(text + "\n")
    else:
        write(f"{made.id} of {made.name} ({made.role}) is in {out}\n")


def _state(one: TokenView) -> str:
    if one.live:
        return "live"
    return "revoked" if one.revoked_ms else "ended"


def _show(view: TokenView, output: Output) -> None:
    if output is not Output.TABLE:
        write_data(view, output)
        return
    write_fields(
        [
            ("token", view.id),
            ("name", view.name),
            ("role", view.role),
            ("scopes", ", ".join(view.scopes)),
            ("account", view.account or "all" if not view.party else "none"),
            *([("party", view.party)] if view.party else []),
            ("state", _state(view)),
        ]
    )
