"""The keys that seal secrets: a file that only the hub's user may read, apart from the database.

One key a line, 32 bytes in base64; `#` begins a remark. The last one seals, all of them open, so
that a key is replaced by adding a line. A key's id is the begin of its SHA-256. What is sealed is
bound to its account, name and version: a row that is copied to another's place does not open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from typing import TYPE_CHECKING

from fenglin.errors import DamageError, KeyMissingError, UnavailableError
from fenglin.model.secret import Secret
from fenglin.ports.vault import Sealed

if TYPE_CHECKING:
    from pathlib import Path

    from fenglin.ports.vault import SecretId

KEY_FILE = "secrets.key"
KEY_BYTES = 32
NONCE_BYTES = 12
ID_LENGTH = 12
_HINT = "restore the file; values that were sealed with a lost key must be set again"


class FileKeyring:
    """Implements `ports.vault.Keyring` over a file, read anew for each call."""

    def __init__(self, path: Path) -> None:
        """Take where the file is, or will be made when a first value is sealed."""
        self._path = path

    def seal(self, value: Secret, of: SecretId) -> Sealed:
        """See `ports.vault.Keyring`."""
        # Slow to load, and most hubs never need it.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        keys = self._keys() or self._first()
        key, secret = list(keys.items())[-1]
        nonce = os.urandom(NONCE_BYTES)
        return Sealed(key, nonce, AESGCM(secret).encrypt(nonce, value.reveal().encode(), _of(of)))

    def open(self, sealed: Sealed, of: SecretId) -> Secret:
        """See `ports.vault.Keyring`."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - as above
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        # A file that is being mended lacks its keys for a while, whatever is wrong with it.
        named = f"the key {sealed.key}, which seals the secret {of.name!r}, is not in the hub's"
        try:
            key = self._keys().get(sealed.key)
        except DamageError as error:
            why = f"{named} keys: {error.what}"
            raise KeyMissingError(why, where=error.where, hint=_HINT, key=sealed.key) from error
        if key is None:
            raise KeyMissingError(
                f"{named} key file", where=str(self._path), hint=_HINT, key=sealed.key
            )
        try:
            return Secret(AESGCM(key).decrypt(sealed.nonce, sealed.data, _of(of)).decode())
        except (InvalidTag, UnicodeDecodeError):
            raise DamageError(
                f"the secret {of.name!r} does not open as version {of.version} of account"
                f" {of.account!r}: it was changed in the database",
                where=str(self._path),
                hint="set it again with `fenglin secret set`",
            ) from None

    def ids(self) -> list[str]:
        """Return the ids of the keys, the newest last; none when there is no file.

        Raises:
            DamageError: the file cannot be read, or a line is no key.
        """
        return list(self._keys())

    def _keys(self) -> dict[str, bytes]:
        """Return id → key, oldest first; none when there is no file."""
        try:
            text = self._path.read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise DamageError(
                f"the key file of secrets cannot be read: {error.strerror}",
                where=str(self._path),
                hint="only the hub's user needs to read it",
            ) from error
        lines = [line.partition("#")[0].strip() for line in text.splitlines()]
        return dict(_parsed(line, str(self._path)) for line in lines if line)

    def _first(self) -> dict[str, bytes]:
        """Make the file with a first key; one that another process has just made is taken."""
        text = base64.b64encode(os.urandom(KEY_BYTES)).decode() + "\n"
        part = self._path.with_name(f".{self._path.name}.{os.urandom(4).hex()}")
        try:
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                with os.fdopen(handle, "w") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                # Unlike a rename, a link never replaces a key that is there.
                os.link(part, self._path)
                _sync(self._path.parent)
            except FileExistsError:
                pass
            finally:
                part.unlink()
        except OSError as error:
            raise UnavailableError(
                f"the key file of secrets cannot be written: {error.strerror}",
                where=str(self._path),
                hint="see secrets_key in [hub]",
            ) from error
        return self._keys()


def _parsed(line: str, where: str) -> tuple[str, bytes]:
    try:
        key = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        # The line itself may be a key with a slip: it is not shown.
        raise DamageError(
            f"a line of the key file is not {KEY_BYTES} bytes in base64", where=where, hint=_HINT
        )
    return hashlib.sha256(b"fenglin secrets key\0" + key).hexdigest()[:ID_LENGTH], key


def _of(of: SecretId) -> bytes:
    """Return what a value is bound to; no field can hold the NUL between them."""
    return "\0".join(("fenglin secret 1", of.account, of.name, str(of.version))).encode()


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
