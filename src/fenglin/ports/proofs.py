"""What proves the ledger to people who do not trust the hub: checkpoints, and who keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fenglin.ledger.note import PublicKey
    from fenglin.ledger.proof import ProofFile

    # Size of an earlier tree → consistency proof from it to the checkpoint that is shown.
    Prove = Callable[[int], Awaitable[tuple[bytes, ...]]]


class Proofs(Protocol):
    """The ledger's tree and checkpoints, as the store keeps them."""

    key: PublicKey

    async def check_point(self, epoch: int, now_ms: int) -> tuple[str, bool]:
        """Sign what the ledger is now; return the checkpoint, and whether it is a new one.

        Raises:
            ConflictError: the ledger contradicts an earlier checkpoint; nothing was signed.
            StaleEpochError: another leader took over.
        """
        ...

    async def latest(self) -> str:
        """Return the last checkpoint with its cosignatures; empty before the first."""
        ...

    async def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """Return the proof that the ledger of `new` entries goes on from the one of `old`.

        Raises:
            InputError: `old` is larger than `new`.
            NotFoundError: the ledger has fewer entries.
        """
        ...

    async def prove(self, account: str, from_ms: int, to_ms: int, earlier: str) -> ProofFile:
        """Return a proof file for what the last checkpoint covers of an account's period.

        Raises:
            InputError: `earlier` is no checkpoint of this ledger.
            NotFoundError: no entry of the account lies in the period and the checkpoint.
        """
        ...

    async def add_cosignature(self, epoch: int, size: int, witness: str, line: str) -> None:
        """Keep what a witness said of the checkpoint of that size."""
        ...


class Outlet(Protocol):
    """A place that the hub does not control and that keeps its checkpoints.

    Attributes:
        name: For people; a witness's is its key's.
    """

    name: str

    async def show(self, note: str, size: int, prove: Prove) -> str:
        """Hand a checkpoint over; return the line that a witness adds to it, empty for none.

        Raises:
            UnavailableError: it cannot be reached now.
            ConflictError: it knows another ledger than this one: a person must look.
        """
        ...
