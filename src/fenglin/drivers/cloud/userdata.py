"""What a new instance is told by cloud-init: who it is, and whom to let in.

The host key is made here, for one purchase alone, so that the first connection is verified as
every other is. Whatever runs on the instance can read it from the metadata service: it stands
for that one machine and for nothing else.
"""

from __future__ import annotations

import importlib
import json
import os
from typing import TYPE_CHECKING, Any

from fenglin.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

KEY_FILE = "id_ed25519"


def new_host_key() -> tuple[str, str, str]:
    """Return a new host key: private part, public part, fingerprint."""
    key = _asyncssh().generate_private_key("ssh-ed25519")
    public = " ".join(key.export_public_key().decode().split()[:2])
    return key.export_private_key().decode(), public, str(key.get_fingerprint())


def cloud_config(user: str, public_key: str, host_key: tuple[str, str]) -> str:
    """Return user-data for cloud-init; JSON is YAML, so that nothing in it can be markup.

    Args:
        user: Account to make: no password, no sudo.
        public_key: The hub's, the only one that is let in.
        host_key: Private and public part.
    """
    private, public = host_key
    config = {
        "ssh_deletekeys": True,
        "ssh_keys": {"ed25519_private": private, "ed25519_public": public},
        "ssh_pwauth": False,
        "disable_root": user != "root",
        "users": [
            {
                "name": user,
                "shell": "/bin/sh",
                "lock_passwd": True,
                "ssh_authorized_keys": [f"restrict {public_key}"],
            }
        ],
    }
    return "#cloud-config\n" + json.dumps(config, sort_keys=True) + "\n"


def own_key(path: Path | None, directory: Path, where: str) -> tuple[Path, str]:
    """Return the hub's private key file and its public part; without a file one is made.

    Raises:
        InputError: the file cannot be read, or holds no key without passphrase.
    """
    asyncssh = _asyncssh()
    place = path or directory / KEY_FILE
    try:
        if path is None and not place.exists():
            draft = directory / f".{KEY_FILE}.{os.urandom(4).hex()}"
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(asyncssh.generate_private_key("ssh-ed25519").export_private_key())
                file.flush()
                os.fsync(file.fileno())
            draft.replace(place)
        key = asyncssh.read_private_key(str(place))
    except (OSError, ValueError, asyncssh.Error) as error:
        raise InputError(
            f"the key cannot be used: {error}",
            where=f"{where}.settings.key_file",
            hint="a private key without passphrase, or leave it away to have one made",
        ) from error
    return place, " ".join(key.export_public_key().decode().split()[:2])


def _asyncssh() -> Any:  # noqa: ANN401 - a module
    """Load it here: hubs without such a site neither have nor wait for it."""
    return importlib.import_module("asyncssh")
