"""The first operator's token of a new hub, and the tokens that people get by logging in."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import structlog

from fenglin.engine.login import LoginDesk
from fenglin.engine.tokens import Tokens, new_token
from fenglin.wire.token_text import well_formed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fenglin.intake.hubfile import HubConfig
    from fenglin.ports.clock import Clock
    from fenglin.ports.identity import Identity

TOKEN_FILE = "admin.token"  # noqa: S105 - a file's name

_log = structlog.get_logger("fenglin.hub")


def open_login(
    settings: HubConfig, identity: Identity, clock: Clock, epoch: Callable[[], int]
) -> LoginDesk:
    """Open the room of logging in, closed to all where nobody's word is to be believed."""
    issuer = None
    if settings.login is not None:
        from fenglin.oidc import OidcIssuer  # noqa: PLC0415 - an extra, needed by few

        issuer = OidcIssuer(settings.login.issuer, settings.login.client_id, clock)
    accounts = frozenset(settings.limits)
    return LoginDesk(settings.login, issuer, identity, clock, epoch, accounts)


async def first_token(identity: Identity, tokens: Tokens, folder: Path) -> None:
    """Make the admin token of a new hub. The file comes first, so that no crash can lose it."""
    if await identity.any():
        return
    path = folder / TOKEN_FILE
    text = path.read_text(errors="replace").strip() if path.is_file() else ""
    if well_formed(text):
        path.chmod(0o600)
    else:
        text = new_token()
        # Whoever waits for the file must not read half of it.
        part = path.with_name(f".{path.name}")
        part.unlink(missing_ok=True)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        _sync_folder(folder)
    await tokens.first(text)
    _log.info("admin_token_made", file=str(path))


def _sync_folder(folder: Path) -> None:
    """Bring a folder's entries to the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
