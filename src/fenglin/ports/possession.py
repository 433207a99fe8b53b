"""Who has proved to possess which file, by having sent all of its bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class Possession(Protocol):
    """Accounts and the content addresses that their members have uploaded."""

    async def note(self, epoch: int, account: str, sha256: str, now_ms: int) -> None:
        """Note that a member of an account has sent a file.

        Raises:
            StaleEpochError: another leader took over.
        """
        ...

    async def held(self, account: str, sha256s: Sequence[str]) -> frozenset[str]:
        """Return those of the addresses that the account possesses."""
        ...
