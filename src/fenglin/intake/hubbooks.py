"""What `fenglin.toml` says of the books: how the ledger is sealed, and who keeps its seals."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import Struct

from fenglin.errors import InputError
from fenglin.ledger.note import COSIGNATURE, PublicKey, parse_public_key
from fenglin.quantities.durations import parse_duration_ms
from fenglin.quantities.period import parse_offset_min

if TYPE_CHECKING:
    from collections.abc import Mapping

LEAST_SEAL_MS = 1_000
MOST_SEAL_MS = 7 * 24 * 3_600_000
MOST_PATIENCE_MS = 7 * 24 * 3_600_000


class WitnessBlock(Struct, frozen=True, forbid_unknown_fields=True):
    """`[ledger.witness.NAME]`.

    Attributes:
        url: Where it answers, without `/add-checkpoint`.
        key: Its public key, as `fenglin ledger witness` printed it.
    """

    url: str
    key: str


class LedgerBlock(Struct, frozen=True, forbid_unknown_fields=True):
    """`[ledger]`.

    Attributes:
        seal_every: Time between two checkpoints.
        checkpoint_to: Absolute folders that keep each checkpoint, better of other machines.
        witness: By name, which is for people.
    """

    seal_every: str | float | int = "10m"
    checkpoint_to: tuple[str, ...] = ()
    witness: dict[str, WitnessBlock] = {}


class BooksBlock(Struct, frozen=True, forbid_unknown_fields=True):
    """`[books]`.

    Attributes:
        zone: Offset from UTC of the clock by which months begin and end.
        patience: How long a site must differ from what was declared before it is an anomaly.
    """

    zone: str = "+08:00"
    patience: str | float | int = "10m"


def zone_of(block: BooksBlock) -> int:
    """Return the books' offset from UTC in minutes.

    Raises:
        InputError: it is none.
    """
    try:
        return parse_offset_min(block.zone)
    except InputError as error:
        raise InputError(error.what, where="books.zone", hint=error.hint) from error


def patience_of(block: BooksBlock) -> int:
    """Return how long the inventory may differ before an anomaly is opened, in milliseconds.

    Raises:
        InputError: it is no duration, or out of range.
    """
    try:
        patience_ms = parse_duration_ms(block.patience)
    except InputError as error:
        raise InputError(error.what, where="books.patience", hint=error.hint) from error
    if not 0 <= patience_ms <= MOST_PATIENCE_MS:
        raise InputError("out of range", where="books.patience", hint="0s to 7d")
    return patience_ms


class Sealing(Struct, frozen=True):
    """How the ledger is sealed.

    Attributes:
        every_ms: Time between two checkpoints.
        folders: Absolute.
        witnesses: (URL, key).
    """

    every_ms: int
    folders: tuple[str, ...] = ()
    witnesses: tuple[tuple[str, PublicKey], ...] = ()


def sealing_of(block: LedgerBlock) -> Sealing:
    """Check the block.

    Raises:
        InputError: says which key is wrong.
    """
    try:
        every_ms = parse_duration_ms(block.seal_every)
    except InputError as error:
        raise InputError(error.what, where="ledger.seal_every", hint=error.hint) from error
    if not LEAST_SEAL_MS <= every_ms <= MOST_SEAL_MS:
        raise InputError("out of range", where="ledger.seal_every", hint="1s to 7d")
    for folder in block.checkpoint_to:
        if not folder.startswith("/") or "\0" in folder:
            raise InputError(
                f"{folder[:80]!r} is no absolute folder",
                where="ledger.checkpoint_to",
                hint='write for example "/mnt/auditor"',
            )
    return Sealing(every_ms, block.checkpoint_to, _witnesses(block.witness))


def _witnesses(blocks: Mapping[str, WitnessBlock]) -> tuple[tuple[str, PublicKey], ...]:
    """Return (URL, key) of each, each witness once."""
    found: dict[str, tuple[str, PublicKey]] = {}
    for name, block in sorted(blocks.items()):
        where = f"ledger.witness.{name}"
        try:
            key = parse_public_key(block.key)
        except InputError as error:
            raise InputError(error.what, where=f"{where}.key", hint=error.hint) from error
        if key.kind != COSIGNATURE:
            raise InputError(
                "this is a log's key, not a witness's",
                where=f"{where}.key",
                hint="`fenglin ledger witness --state DIR --key-only` prints a witness's",
            )
        if key.name in found:
            raise InputError(f"the witness {key.name} is there twice", where=where)
        parts = urlsplit(block.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
            raise InputError(
                f"{block.url[:200]!r} is not the address of a witness",
                where=f"{where}.url",
                hint="http://HOST:PORT or https://HOST",
            )
        found[key.name] = (block.url, key)
    return tuple(found.values())
