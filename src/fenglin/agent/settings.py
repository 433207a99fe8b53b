"""The agent's own file: which driver it runs, how the driver is set, and how the hub is met."""

from __future__ import annotations

import ssl
import tomllib
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from fenglin.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


class Tls(Struct, frozen=True, forbid_unknown_fields=True):
    """`[tls]`; paths are relative to the file.

    Attributes:
        ca: Certificates that the hub's is checked against; empty for the system's.
        cert: The agent's own certificate, for a hub that asks for one.
        key: Its private key.
    """

    ca: str = ""
    cert: str = ""
    key: str = ""


class AgentFile(Struct, frozen=True, forbid_unknown_fields=True):
    """An agent's file.

    Attributes:
        driver: Kind of driver that reaches the site from here.
        data: Folder of the agent's state, relative to the file.
        settings: Of that driver, as in `[site.NAME.settings]` of a hub.
        tls: How the hub is met.
        log: debug, info, warning or error.
    """

    driver: str = "local"
    data: str = "agent-data"
    settings: dict[str, Any] = {}
    tls: Tls = Tls()
    log: str = "info"


def read_agent_file(path: Path) -> AgentFile:
    """Read an agent's file.

    Raises:
        InputError: it cannot be read, or something in it is wrong; says where.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        return msgspec.convert(raw, AgentFile)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the agent's file: {error}", where=str(path)) from error
    except msgspec.ValidationError as error:
        raise InputError(
            str(error),
            where=str(path),
            hint=f"known: {', '.join(AgentFile.__struct_fields__)}, and in [tls] "
            f"{', '.join(Tls.__struct_fields__)}",
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"not TOML: {error}", where=str(path)) from error


def tls_context(tls: Tls, base: Path) -> ssl.SSLContext:
    """Return how the hub's certificate is checked, and what is shown to it.

    Raises:
        InputError: a certificate or key cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=str(base / tls.ca) if tls.ca else None)
        if tls.cert or tls.key:
            context.load_cert_chain(base / tls.cert, base / tls.key if tls.key else None)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise InputError(
            f"a certificate or key cannot be used: {error}",
            where="tls",
            hint="ca, cert and key are PEM files; key belongs to cert and has no passphrase",
        ) from error
    return context
