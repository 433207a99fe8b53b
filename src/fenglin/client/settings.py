"""Which hub, and with which token: options, environment, configuration file, in this order."""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fenglin.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_HUB = "http://127.0.0.1:8642"
_KEYS = ("hub", "token", "token_file")
_LOOPBACK = re.compile(r"127(\.\d{1,3}){3}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a client needs to reach a hub.

    Attributes:
        hub: URL.
        token: Bearer token; empty for none. Kept out of `repr`, so that no log shows it.
        warnings: Sentences that the user should see.
    """

    hub: str = DEFAULT_HUB
    token: str = ""
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Return a form without the token."""
        return f"Settings(hub={self.hub!r}, token={'***' if self.token else ''!r})"


def load_settings(environ: Mapping[str, str], home: Path, hub: str = "") -> Settings:
    """Find hub and token.

    The hub: the argument, `FENGLIN_HUB`, `hub` of the configuration file, this machine. The
    token: `FENGLIN_TOKEN`; for a hub on this machine the file named by `FENGLIN_TOKEN_FILE`;
    `token` or `token_file` of the configuration file, but only for the hub which that file
    names, since a token must never travel to another host than the one it was made for.

    Args:
        environ: The process environment.
        home: The user's home folder.
        hub: URL given on the command line; empty for none.

    Raises:
        InputError: a file cannot be read or understood.
    """
    named = environ.get("FENGLIN_CONFIG", "")
    path = Path(named) if named else home / ".config" / "fenglin" / "config.toml"
    config = _read_config(path) if named or path.is_file() else {}
    config_hub = config.get("hub", DEFAULT_HUB)
    chosen = hub or environ.get("FENGLIN_HUB", "") or config_hub
    warnings: tuple[str, ...] = ()
    token = environ.get("FENGLIN_TOKEN", "").strip()
    token_file = environ.get("FENGLIN_TOKEN_FILE", "")
    if not token and token_file and _is_local(chosen):
        token = _read_token(Path(token_file).expanduser())
    if config.get("token") or config.get("token_file"):
        secret = path
        if not token and _same_hub(chosen, config_hub):
            token = config.get("token", "")
            if not token:
                secret = path.parent / Path(config["token_file"]).expanduser()
                token = _read_token(secret)
        warnings = _warn_if_open(secret)
    if not token.isascii() or not token.isprintable():
        raise InputError(
            "the token has characters that no token has", hint="copy it again, on one line"
        )
    return Settings(chosen, token, warnings)


def _read_config(path: Path) -> dict[str, str]:
    """Return the settings of a configuration file."""
    import tomllib  # noqa: PLC0415 - most calls have no such file

    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(
            f"the configuration cannot be read: {reason}",
            where=str(path),
            hint="FENGLIN_CONFIG names another file",
        ) from error
    for name, value in found.items():
        if name not in _KEYS or not isinstance(value, str):
            raise InputError(
                f"{name!r} is not a setting" if name not in _KEYS else f"{name!r} must be a text",
                where=str(path),
                hint=f"known are {', '.join(_KEYS)}",
            )
    return found


def _read_token(path: Path) -> str:
    """Return the token in a file."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InputError(
            f"the token file cannot be read: {reason}",
            where=str(path),
            hint="the hub writes it as admin.token in its --data folder, for its own user",
        ) from error


def _warn_if_open(path: Path) -> tuple[str, ...]:
    """Return a warning when others may read a file with a token."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if not mode & (stat.S_IRWXG | stat.S_IRWXO):
        return ()
    return (f"{path} holds a token and others may read it (mode {mode:04o}): chmod 600 {path}",)


def _same_hub(one: str, other: str) -> bool:
    """Return whether two URLs name the same server."""
    return _server(one) == _server(other)


def _server(hub: str) -> tuple[str, str, int | None]:
    """Return (scheme, host, port); whatever is no URL equals only itself."""
    try:
        url = urlsplit(hub)
        port = url.port
    except ValueError:
        return "", hub, None
    return url.scheme, url.hostname or hub, port


def _is_local(hub: str) -> bool:
    """Return whether the hub is on this machine."""
    scheme, host, _ = _server(hub)
    return scheme == "unix" or host in ("localhost", "::1") or _LOOPBACK.fullmatch(host) is not None
