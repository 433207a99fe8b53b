"""Signed notes and checkpoints, as transparency logs write them (C2SP).

A note is text, an empty line, and a line per signature: `— <key name> <base64>`, where the
bytes are the key's 4-byte id and the signature. A checkpoint is a note whose text is

    <origin>
    <number of entries>
    <base64 of the tree's root>

Ed25519 (RFC 8032). A witness adds a cosignature that covers the time at which it looked, too.
Formats: C2SP signed-note, tlog-checkpoint and tlog-cosignature, so that tools made for other
logs read ours.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Struct

from fenglin.errors import InputError
from fenglin.ledger.tree import HASH_BYTES, MAX_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable

SIGNATURE = 1
COSIGNATURE = 4
SEED_BYTES = 32
MAX_NOTE_BYTES = 64 * 1024
_MOST_SIGNATURES = 64
_DASH = "\u2014 "
_ID_BYTES = 4
_TIME_BYTES = 8
_SIGNATURE_BYTES = 64
_PRIVATE = "PRIVATE+KEY+"


class PublicKey(Struct, frozen=True):
    """Whose signatures are believed.

    Attributes:
        name: As signatures name it; no space, no plus sign.
        kind: `SIGNATURE` for a log, `COSIGNATURE` for a witness.
        public: 32 bytes.
    """

    name: str
    kind: int
    public: bytes

    @property
    def id(self) -> bytes:
        """Return the 4 bytes by which a signature names the key."""
        named = self.name.encode() + b"\n" + bytes((self.kind,)) + self.public
        return hashlib.sha256(named).digest()[:_ID_BYTES]

    def __str__(self) -> str:
        """Return `name+id+key`, as people pass it on."""
        return _key_text(self, self.public)


class PrivateKey(Struct, frozen=True):
    """Who signs. Its text is a secret.

    Attributes:
        name: As for `PublicKey`.
        kind: As for `PublicKey`.
        seed: 32 secret bytes.
    """

    name: str
    kind: int
    seed: bytes

    @property
    def public(self) -> PublicKey:
        """Return the key that verifies."""
        key = Ed25519PrivateKey.from_private_bytes(self.seed).public_key()
        return PublicKey(self.name, self.kind, key.public_bytes_raw())

    def secret_text(self) -> str:
        """Return the text for a file that only the owner may read."""
        return _PRIVATE + _key_text(self.public, self.seed)

    def __repr__(self) -> str:
        """Return no secret."""
        return f"PrivateKey({self.name!r})"


class Checkpoint(Struct, frozen=True):
    """What a ledger was at one moment, in one hash.

    Attributes:
        origin: Which log it is of, for ever.
        size: Number of entries.
        root: Of the Merkle tree over them.
        extensions: Further lines, which we write none of and keep.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the note's text, which is what is signed."""
        lines = (self.origin, str(self.size), _b64(self.root), *self.extensions)
        return "".join(f"{line}\n" for line in lines)


class Signed(Struct, frozen=True):
    """A note that was read; nothing of it is believed yet.

    Attributes:
        text: What is signed.
        signatures: (key name, key id and signature).
    """

    text: str
    signatures: tuple[tuple[str, bytes], ...]

    def __str__(self) -> str:
        """Return the note as it is sent and stored."""
        lines = "".join(f"{_DASH}{name} {_b64(value)}\n" for name, value in self.signatures)
        return f"{self.text}\n{lines}"


def new_key(name: str, seed: bytes, kind: int = SIGNATURE) -> PrivateKey:
    """Return a key made from 32 random bytes.

    Raises:
        InputError: the name cannot stand in a note, or the seed has another length.
    """
    _check_name(name)
    if len(seed) != SEED_BYTES:
        raise InputError(f"a seed of {len(seed)} bytes", hint=f"{SEED_BYTES} random bytes")
    return PrivateKey(name, kind, seed)


def parse_public_key(text: str) -> PublicKey:
    """Return the key of `name+id+base64`.

    Raises:
        InputError: it is no such text, or the id is not the key's.
    """
    if text.startswith(_PRIVATE):
        raise InputError("this is a private key", hint="pass on the public one only")
    name, kind, public, key_id = _key_parts(text)
    key = PublicKey(name, kind, public)
    if key.id != key_id:
        raise _no_key(name)
    return key


def parse_private_key(text: str) -> PrivateKey:
    """Return the key of what `PrivateKey.secret_text` wrote.

    Raises:
        InputError: it is no such text, or the id is not the key's. Says nothing of the secret.
    """
    if not text.startswith(_PRIVATE):
        raise InputError("this is no private key", hint=f"it starts with {_PRIVATE}")
    name, kind, seed, key_id = _key_parts(text.removeprefix(_PRIVATE))
    key = PrivateKey(name, kind, seed)
    if key.public.id != key_id:
        raise _no_key(name)
    return key


def sign(text: str, key: PrivateKey) -> Signed:
    """Return a note of the text with one signature."""
    signer = Ed25519PrivateKey.from_private_bytes(key.seed)
    return Signed(text, ((key.name, key.public.id + signer.sign(text.encode())),))


def cosign(note: Signed, key: PrivateKey, time_s: int) -> Signed:
    """Return the note with a witness's cosignature added.

    Args:
        note: Whose checkpoint the witness has found consistent with all it saw before.
        key: Of kind `COSIGNATURE`.
        time_s: Unix time at which it looked.
    """
    signer = Ed25519PrivateKey.from_private_bytes(key.seed)
    value = signer.sign(_cosigned(note.text, time_s))
    stamped = key.public.id + time_s.to_bytes(_TIME_BYTES, "big") + value
    return Signed(note.text, (*note.signatures, (key.name, stamped)))


def read_note(raw: bytes) -> Signed:
    """Return a note without judging its signatures.

    Raises:
        InputError: it is no note, or too long.
    """
    if len(raw) > MAX_NOTE_BYTES:
        raise InputError(f"a note of {len(raw)} bytes", hint=f"at most {MAX_NOTE_BYTES}")
    try:
        whole = raw.decode()
    except UnicodeDecodeError as error:
        raise InputError("the note is not UTF-8") from error
    text, blank, block = whole.rpartition("\n\n")
    lines = block.splitlines()
    odd = any(not char.isprintable() and char != "\n" for char in whole)
    if not blank or not block.endswith("\n") or odd or not 0 < len(lines) <= _MOST_SIGNATURES:
        raise InputError(
            "this is no signed note", hint="text, an empty line, then a line for each signature"
        )
    return Signed(text + "\n", tuple(_signature(line) for line in lines))


def verify_note(note: Signed, keys: Iterable[PublicKey]) -> dict[str, int]:
    """Return name → time (seconds; 0 for a plain signature) of the keys that signed the note.

    Signatures of other keys are passed over.

    Raises:
        InputError: a signature that claims to be by one of the keys is wrong.
    """
    known = {(key.name, key.id): key for key in keys}
    found: dict[str, int] = {}
    for name, value in note.signatures:
        key = known.get((name, value[:_ID_BYTES]))
        if key is None:
            continue
        time_s = _verified(note.text, key, value[_ID_BYTES:])
        if time_s is None:
            raise InputError(f"the signature by {name} is wrong", hint="the note was changed")
        found[name] = time_s
    return found


def read_checkpoint(text: str) -> Checkpoint:
    """Return the checkpoint of a note's text.

    Raises:
        InputError: it is none; says which line is wrong.
    """
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
        raise InputError("this is no checkpoint", hint="origin, size and root, a line each")
    origin, size, root = lines[0], lines[1], _unb64(lines[2])
    plain = size.isascii() and size.isdigit() and (size == "0" or size[0] != "0")
    if not plain or len(size) > len(str(MAX_SIZE)) or int(size) > MAX_SIZE:
        raise InputError(f"{size[:40]!r} is no size of a tree", where="line 2")
    if root is None or len(root) != HASH_BYTES:
        raise InputError("it is no hash of 32 bytes in base64", where="line 3")
    return Checkpoint(origin, int(size), root, tuple(lines[3:-1]))


def open_checkpoint(raw: bytes, key: PublicKey) -> Checkpoint:
    """Return a checkpoint that the log's key has signed.

    Raises:
        InputError: it is no checkpoint, or not signed by that key.
    """
    note = read_note(raw)
    if key.name not in verify_note(note, (key,)):
        raise InputError(
            f"the checkpoint is not signed by {key.name}", hint="is it of another ledger?"
        )
    return read_checkpoint(note.text)


def _verified(text: str, key: PublicKey, value: bytes) -> int | None:
    """Return the time a signature tells (0 for none), or None when it is wrong."""
    time_s, message = 0, text.encode()
    if key.kind == COSIGNATURE:
        time_s = int.from_bytes(value[:_TIME_BYTES], "big")
        value, message = value[_TIME_BYTES:], _cosigned(text, time_s)
    if len(value) != _SIGNATURE_BYTES:
        return None
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(value, message)
    except InvalidSignature:
        return None
    return time_s


def _cosigned(text: str, time_s: int) -> bytes:
    """Return what a witness signs."""
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()


def _signature(line: str) -> tuple[str, bytes]:
    """Return (key name, bytes) of one line."""
    name, _, text = line.removeprefix(_DASH).partition(" ")
    value = _unb64(text)
    if not line.startswith(_DASH) or not _is_name(name) or value is None or len(value) <= _ID_BYTES:
        raise InputError(f"{line[:80]!r} is no line of a signature")
    return name, value


def _key_text(key: PublicKey, value: bytes) -> str:
    return f"{key.name}+{key.id.hex()}+{_b64(bytes((key.kind,)) + value)}"


def _key_parts(text: str) -> tuple[str, int, bytes, bytes]:
    """Return (name, kind, 32 bytes, id)."""
    name, _, rest = text.strip().partition("+")
    id_text, _, value_text = rest.partition("+")
    value = _unb64(value_text)
    try:
        key_id = bytes.fromhex(id_text)
    except ValueError:
        key_id = b""
    right = value is not None and len(value) == 1 + SEED_BYTES
    if not _is_name(name) or len(key_id) != _ID_BYTES or not right or value is None:
        raise InputError("this is no key", hint="name+8 hex digits+base64, on one line")
    if value[0] not in {SIGNATURE, COSIGNATURE}:
        raise InputError(f"keys of kind {value[0]} are unknown", where=name)
    return name, value[0], value[1:], key_id


def _no_key(name: str) -> InputError:
    return InputError("the key's id does not fit the key", where=name, hint="copy it anew, whole")


def _is_name(name: str) -> bool:
    return bool(name) and name.isprintable() and not any(c.isspace() or c == "+" for c in name)


def _check_name(name: str) -> None:
    if not _is_name(name):
        raise InputError(f"{name[:80]!r} cannot name a key", hint="no space, no plus sign")


def _b64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _unb64(text: str) -> bytes | None:
    """Return the bytes of standard base64 in its one form, or None."""
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return value if _b64(value) == text else None
