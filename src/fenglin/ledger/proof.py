"""One file with which a tenant proves, without the hub, what the ledger says of it.

The file holds the tenant's entries of a period, word for word, a checkpoint that the hub has
signed (and witnesses, where there are any), and the hashes that lead from the entries to the
checkpoint's root. With an earlier checkpoint it also shows that the ledger only grew since.

What it cannot show is that no further entry of the tenant was left out of the file: the tenant
compares the entries with what it knows of, such as its deposits.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from fenglin.errors import InputError
from fenglin.ledger import tree
from fenglin.ledger.accounts import available, held
from fenglin.ledger.entry import Entry, entry_hash
from fenglin.ledger.export import entry_json, read_jsonl
from fenglin.ledger.note import (
    COSIGNATURE,
    Checkpoint,
    PublicKey,
    open_checkpoint,
    read_note,
    verify_note,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FORMAT = "fenglin.ledger-proof/1"


class ProofFile(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file, as JSON.

    Attributes:
        format: `FORMAT`.
        account: The tenant's account.
        from_ms: First millisecond of the period.
        to_ms: First millisecond after it.
        key: The hub's public key, for people. A verifier believes only one that it got elsewhere.
        checkpoint: Signed note over the ledger.
        entries: Lines as `ledger export --format jsonl` writes them, rising.
        inclusion: Base64 hashes, from left to right, see `tree.inclusion`.
        earlier: Signed note that the tenant had before; empty for none.
        consistency: Base64 hashes, see `tree.consistency`.
    """

    format: str = FORMAT
    account: str
    from_ms: int
    to_ms: int
    key: str
    checkpoint: str
    entries: tuple[str, ...]
    inclusion: tuple[str, ...]
    earlier: str = ""
    consistency: tuple[str, ...] = ()


class ProofReport(Struct, frozen=True):
    """What a proof file shows.

    Attributes:
        checkpoint: Which ledger, of how many entries.
        entries: The proven entries.
        grew_from: Size of the earlier checkpoint that it goes on from; 0 without one.
        witnesses: (name, Unix time in seconds) of the witnesses who looked.
    """

    checkpoint: Checkpoint
    entries: tuple[Entry, ...]
    grew_from: int
    witnesses: tuple[tuple[str, int], ...]


_FILES = msgspec.json.Decoder(ProofFile)


def make_proof(
    account: str,
    period: tuple[int, int],
    key: PublicKey,
    notes: tuple[str, str],
    entries: Sequence[Entry],
    subtrees: tree.Subtrees,
) -> ProofFile:
    """Return the file for a tenant's entries.

    Args:
        account: The tenant's account.
        period: (from_ms, to_ms).
        key: The hub's.
        notes: The checkpoint, and an earlier one or an empty text.
        entries: Of the account and period, rising, all within the checkpoint; at least one.
        subtrees: Hashes of the ledger's tree.

    Raises:
        InputError: there is no entry, or a note is no checkpoint of this key.
    """
    whole = open_checkpoint(notes[0].encode(), key)
    grown: tuple[bytes, ...] = ()
    if notes[1]:
        grown = tree.consistency(open_checkpoint(notes[1].encode(), key).size, whole.size, subtrees)
    places = [entry.seq - 1 for entry in entries]
    return ProofFile(
        account=account,
        from_ms=period[0],
        to_ms=period[1],
        key=str(key),
        checkpoint=notes[0],
        entries=tuple(entry_json(entry) for entry in entries),
        inclusion=_texts(tree.inclusion(places, whole.size, subtrees)),
        earlier=notes[1],
        consistency=_texts(grown),
    )


def read_proof(raw: bytes) -> ProofFile:
    """Return the file of its JSON text.

    Raises:
        InputError: it is no proof file; says where.
    """
    try:
        file = _FILES.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise InputError(f"this is no proof file: {error}") from error
    if file.format != FORMAT:
        raise InputError(f"a proof of format {file.format[:80]!r}", hint=f"{FORMAT} is understood")
    return file


def check_proof(
    file: ProofFile, key: PublicKey, witnesses: Iterable[PublicKey] = (), held_before: str = ""
) -> ProofReport:
    """Verify a proof file without its hub.

    Args:
        file: What the hub gave.
        key: The hub's key, from a source that is not the file.
        witnesses: Keys of witnesses that must have cosigned the checkpoint.
        held_before: A checkpoint that the verifier kept; the file must go on from this one.

    Raises:
        InputError: something does not hold; says what, and of which entry.
    """
    whole = open_checkpoint(file.checkpoint.encode(), key)
    entries = _entries(file)
    leaves = {entry.seq - 1: entry.hash for entry in entries}
    found = tree.included_root(leaves, whole.size, _hashes(file.inclusion))
    if found != whole.root:
        raise InputError("the entries do not lead to the checkpoint's root: one was changed")
    for entry in entries:
        _check_concerns(entry, file)
    return ProofReport(
        whole, entries, _grown(file, key, whole, held_before), _seen(file, tuple(witnesses))
    )


def _entries(file: ProofFile) -> tuple[Entry, ...]:
    """Return the entries, each with the hash that its own fields ask for."""
    entries: list[Entry] = []
    for place, item in enumerate(read_jsonl(line.encode() for line in file.entries)):
        where = f"entries[{place}]"
        if not isinstance(item, Entry):
            raise InputError(item.why, where=where)
        if entry_hash(item) != item.hash:
            raise InputError(f"the fields of entry {item.seq} do not match its hash", where=where)
        if entries and item.seq <= entries[-1].seq:
            raise InputError(f"entry {item.seq} comes behind {entries[-1].seq}", where=where)
        entries.append(item)
    return tuple(entries)


def _check_concerns(entry: Entry, file: ProofFile) -> None:
    """Refuse an entry that is not of the account or the period that the file names."""
    if not file.from_ms <= entry.time_ms < file.to_ms:
        raise InputError(f"entry {entry.seq} is not of the period")
    mine = (available(file.account), held(file.account))
    if not any(leg.account in mine for leg in entry.legs):
        raise InputError(f"entry {entry.seq} is not of account {file.account!r}")


def _grown(file: ProofFile, key: PublicKey, whole: Checkpoint, held_before: str) -> int:
    """Return the size of the earlier checkpoint that the file goes on from; 0 without one."""
    if held_before and not file.earlier:
        raise InputError(
            "the file does not go on from the checkpoint that you kept",
            hint="ask the hub for a proof from that checkpoint",
        )
    if not file.earlier:
        return 0
    before = open_checkpoint(file.earlier.encode(), key)
    if held_before and open_checkpoint(held_before.encode(), key) != before:
        raise InputError("the file goes on from another checkpoint than the one that you kept")
    if before.origin != whole.origin:
        raise InputError(f"the checkpoints are of {before.origin!r} and {whole.origin!r}")
    why = tree.consistent(
        before.size, before.root, whole.size, whole.root, _hashes(file.consistency)
    )
    if why:
        raise InputError(f"the ledger was changed behind your checkpoint: {why}")
    return before.size


def _seen(file: ProofFile, witnesses: tuple[PublicKey, ...]) -> tuple[tuple[str, int], ...]:
    """Return when each wanted witness looked."""
    times = verify_note(read_note(file.checkpoint.encode()), witnesses)
    for key in witnesses:
        if key.kind != COSIGNATURE:
            raise InputError(f"the key of {key.name} is not a witness's")
        if key.name not in times:
            raise InputError(f"the witness {key.name} has not cosigned the checkpoint")
    return tuple(sorted(times.items()))


def _texts(hashes: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(base64.b64encode(one).decode() for one in hashes)


def _hashes(texts: Sequence[str]) -> tuple[bytes, ...]:
    try:
        hashes = tuple(base64.b64decode(text, validate=True) for text in texts)
    except ValueError as error:
        raise InputError("a hash of the proof is no base64") from error
    if any(len(one) != tree.HASH_BYTES for one in hashes):
        raise InputError(f"a hash of the proof is not of {tree.HASH_BYTES} bytes")
    return hashes
