"""What the door may ask of the books: one small protocol for each of their rooms.

Every method that takes a principal checks it; a foreign object answers as a missing one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from fenglin.ledger.proof import ProofFile
    from fenglin.ports.hub import Principal
    from fenglin.wire.proof_views import CheckpointView, ConsistencyView


class ProofDesk(Protocol):
    """Checkpoints of the ledger, and proofs that lead to them."""

    async def checkpoint(self, principal: Principal, *, fresh: bool) -> CheckpointView:
        """Return the last signed checkpoint; with `fresh`, one of what the ledger is now.

        Raises:
            ConflictError: the ledger contradicts an earlier checkpoint.
        """
        ...

    async def consistency(self, old: int, new: int) -> ConsistencyView:
        """Prove that the ledger of `new` entries goes on from the one of `old`."""
        ...

    async def prove(
        self, account: str, from_ms: int, to_ms: int, earlier: str, principal: Principal
    ) -> ProofFile:
        """Return a proof file of an account's entries; `to_ms` 0 means now."""
        ...


class Books(Protocol):
    """The rooms."""

    @property
    def proofs(self) -> ProofDesk:
        """Return who proves the ledger to people who do not trust the hub."""
        ...

    @property
    def problems(self) -> tuple[str, ...]:
        """Return what a person must look at; empty when all is well."""
        ...
