"""Where a host is, who to be there, and how it proves that it is the one that is meant."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

from msgspec import Struct

from fenglin.errors import InputError

LAST_PORT = 65_535
# Neither may look like an option or hold anything that a shell or a URL would read.
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", re.ASCII)
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@-]{0,63}", re.ASCII)
_PRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}", re.ASCII)


class Way(Struct, frozen=True, forbid_unknown_fields=True):
    """A host as people write it.

    Attributes:
        address: Name or IP address.
        port: TCP port.
        user: Who to be there; empty for the hub's own user name.
        key_file: Private key; empty for those of an SSH agent and the usual files.
        host_key: Fingerprint of the only key that is accepted; empty to ask `known_hosts`.
    """

    address: str
    port: int = 22
    user: str = ""
    key_file: str = ""
    host_key: str = ""


class Place(Struct, frozen=True):
    """How a host is reached.

    Attributes:
        address: Name or IP address.
        port: TCP port.
        user: Who to be there; empty for the hub's own user name.
        key_file: Private key; empty for those of an SSH agent and the usual files in `~/.ssh`.
        known_hosts: File with host keys.
        host_key: Fingerprint of the only key that is accepted; empty to ask `known_hosts`.
        jump: The host to go through; None for the direct way.
    """

    address: str
    port: int
    user: str
    key_file: str
    known_hosts: str
    host_key: str
    jump: Place | None

    def __str__(self) -> str:
        """Return what people call it."""
        user = f"{self.user}@" if self.user else ""
        return f"{user}{self.address}:{self.port}"


def checked_place(way: Way, where: str, known_hosts: str, jump: Place | None) -> Place:
    """Return the place that is meant.

    Args:
        way: As written.
        where: For errors.
        known_hosts: File with host keys; may start with `~`.
        jump: The host to go through.

    Raises:
        InputError: a part cannot be what it should be, or there is no such key file.
    """
    if not _is_address(way.address):
        raise InputError(
            f"{way.address[:80]!r} is not an address",
            where=f"{where}.address",
            hint="a host name or an IP address; port and user are keys of their own",
        )
    if way.user and not _USER.fullmatch(way.user):
        raise InputError(f"{way.user[:80]!r} is not a user name", where=f"{where}.user")
    if way.host_key and not _PRINT.fullmatch(way.host_key):
        raise InputError(
            "host_key is not a fingerprint",
            where=f"{where}.host_key",
            hint="write SHA256:…, as ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub prints",
        )
    if not 1 <= way.port <= LAST_PORT:
        raise InputError("port is out of range", where=f"{where}.port", hint=f"1 to {LAST_PORT}")
    if way.key_file and not Path(way.key_file).expanduser().is_file():
        raise InputError(
            f"there is no key file {way.key_file}",
            where=f"{where}.key_file",
            hint="an absolute path, or one that starts with ~/",
        )
    return Place(
        address=way.address,
        port=way.port,
        user=way.user,
        key_file=str(Path(way.key_file).expanduser()) if way.key_file else "",
        known_hosts=str(Path(known_hosts).expanduser()),
        host_key=way.host_key,
        jump=jump,
    )


def _is_address(text: str) -> bool:
    """Return whether it is a host name or an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _NAME.fullmatch(text) is not None
    return "%" not in text
