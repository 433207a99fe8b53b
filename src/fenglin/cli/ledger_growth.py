"""Whether a hub's ledger goes on from checkpoints that were kept outside."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import msgspec

from fenglin.client.proofs import checkpoint, consistency
from fenglin.ledger.note import read_checkpoint, read_note
from fenglin.ledger.tree import consistent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.client import Client
    from fenglin.ledger.note import Checkpoint
    from fenglin.wire.views import LedgerCheck


def grown(client: Client, check: LedgerCheck, seals: Sequence[Checkpoint]) -> LedgerCheck:
    """Return the check, spoilt if the ledger does not go on from each checkpoint."""
    now = read_checkpoint(read_note(client.call(checkpoint()).checkpoint.encode()).text)
    fitted = 0
    for seal in sorted(seals, key=lambda one: one.size):
        why = _why_not(client, seal, now)
        if why:
            bad_seq = min(fitted, now.size) + 1
            return msgspec.structs.replace(check, ok=False, first_bad_seq=bad_seq, problem=why)
        fitted = seal.size
    return msgspec.structs.replace(check, sealed=max(fitted, check.sealed))


def _why_not(client: Client, seal: Checkpoint, now: Checkpoint) -> str:
    """Return why the ledger of today does not go on from a checkpoint; empty if it does."""
    if seal.origin != now.origin:
        return f"the checkpoint is of {seal.origin}, this ledger is {now.origin}"
    if seal.size > now.size:
        return f"missing: a checkpoint was signed over {seal.size} entries, there are {now.size}"
    proof = client.call(consistency(seal.size, now.size)).hashes
    hashes = tuple(base64.b64decode(one) for one in proof)
    return consistent(seal.size, seal.root, now.size, now.root, hashes)
