"""The key with which a hub signs its ledger: a file that only its owner may read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fenglin.errors import DamageError, InputError
from fenglin.ledger.note import SEED_BYTES, new_key, parse_private_key

if TYPE_CHECKING:
    from pathlib import Path

    from fenglin.ledger.note import PrivateKey

KEY_FILE = "ledger.key"


def ledger_key(folder: Path, ledger_id: str) -> PrivateKey:
    """Return the key of a data folder, made on the first call.

    Args:
        folder: The hub's data folder, which this process owns.
        ledger_id: Names the log for ever: `fenglin.ledger/<id>`.

    Raises:
        DamageError: the file is no key, or of another ledger. A new one is never made in its
            place: those who noted the old one would take this for another ledger.
    """
    path = folder / KEY_FILE
    name = f"fenglin.ledger/{ledger_id}"
    if not path.exists():
        _write(path, new_key(name, os.urandom(SEED_BYTES)).secret_text())
    try:
        key = parse_private_key(path.read_text(errors="replace"))
    except InputError as error:
        raise DamageError(
            f"the ledger's key cannot be read: {error.what}",
            where=str(path),
            hint="restore it from a backup",
        ) from error
    if key.name != name:
        raise DamageError(
            f"the key is of {key.name}, this ledger is {name}",
            where=str(path),
            hint="a data folder's database and key belong together",
        )
    return key


def _write(path: Path, text: str) -> None:
    """Write the key so that a crash leaves all of it or nothing."""
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
