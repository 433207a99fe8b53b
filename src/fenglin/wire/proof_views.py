"""What the door says of checkpoints and proofs."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable


class CheckpointView(Struct, frozen=True, kw_only=True):
    """A signed statement of what the ledger is.

    Attributes:
        key: The hub's public key. Note it once, from a source you trust; compare it ever after.
        size: Number of entries that it covers.
        checkpoint: Signed note, with the cosignatures of witnesses.
    """

    key: str
    size: int
    checkpoint: str


class ConsistencyView(Struct, frozen=True, kw_only=True):
    """Proof that a ledger goes on from an earlier one.

    Attributes:
        old: Size of the earlier one.
        new: Size of the later one.
        hashes: Base64, in the order of RFC 6962.
    """

    old: int
    new: int
    hashes: list[str]

    @classmethod
    def of(cls, old: int, new: int, hashes: Iterable[bytes]) -> ConsistencyView:
        """Return the view of a proof."""
        texts = [base64.b64encode(one).decode() for one in hashes]
        return cls(old=old, new=new, hashes=texts)


class ProofAsk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose entries are to be proven.

    Attributes:
        account: The tenant's account; empty for the caller's own.
        from_ms: First millisecond of the period.
        to_ms: First millisecond after it; 0 for now.
        earlier: A checkpoint that the caller kept; the proof then shows that the ledger only grew.
    """

    account: str = ""
    from_ms: int = 0
    to_ms: int = 0
    earlier: str = ""
