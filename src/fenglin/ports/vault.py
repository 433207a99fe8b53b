"""Secrets of accounts: as the store keeps them, as keys seal them, and as the door may ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fenglin.model.secret import Secret
    from fenglin.ports.hub import Principal
    from fenglin.wire.secret_views import SecretAsk, SecretList, SecretView


class SecretId(NamedTuple):
    """What a sealed value belongs to; it opens as nothing else.

    Attributes:
        account: Whose it is.
        name: By which jobs name it.
        version: From 1.
    """

    account: str
    name: str
    version: int


class Sealed(NamedTuple):
    """A value as it is stored.

    Attributes:
        key: Id of the key.
        nonce: Never used twice with a key.
        data: Ciphertext and tag.
    """

    key: str
    nonce: bytes
    data: bytes


class SecretRecord(NamedTuple):
    """A secret as the store keeps it.

    Attributes:
        id: What it is.
        sealed: Its value.
        changed_ms: Unix time when it was set.
        changed_by: By whom.
    """

    id: SecretId
    sealed: Sealed
    changed_ms: int
    changed_by: str


class Keyring(Protocol):
    """The keys that seal values. Each call may read a file."""

    def seal(self, value: Secret, of: SecretId) -> Sealed:
        """Seal a value with the newest key; the first key is made when there is none.

        Raises:
            DamageError: the keys cannot be read.
            UnavailableError: a key cannot be written.
        """
        ...

    def open(self, sealed: Sealed, of: SecretId) -> Secret:
        """Return the value.

        Raises:
            KeyMissingError: its key is not there, or the keys cannot be read.
            DamageError: this was not sealed as what it is now.
        """
        ...


class Secrets(Protocol):
    """Secrets, as the store keeps them."""

    async def put(
        self,
        epoch: int,
        account: str,
        name: str,
        seal: Callable[[SecretId], SecretRecord],
        most: int,
    ) -> SecretRecord:
        """Store a new version; `seal` is told which, inside the transaction.

        Raises:
            LimitError: the account has `most` secrets already, and none of this name.
            StaleEpochError: another leader took over.
        """
        ...

    async def list(self, account: str) -> Sequence[SecretRecord]:
        """Return an account's secrets (empty: all), by account and name."""
        ...

    async def find(self, account: str, names: Sequence[str]) -> dict[str, SecretRecord]:
        """Return those of an account that there are, by name."""
        ...

    async def remove(self, epoch: int, account: str, name: str) -> SecretRecord | None:
        """Remove a secret and return what it was; None when there is none.

        Raises:
            StaleEpochError: another leader took over.
        """
        ...


class SecretDesk(Protocol):
    """Secrets, for members of their account and for operators.

    Another's account answers as one that does not exist.
    """

    async def put(
        self, name: str, account: str, ask: SecretAsk, principal: Principal
    ) -> SecretView:
        """Keep a value under a name; an earlier one is replaced.

        Args:
            name: Of the secret.
            account: Whose; empty for the caller's.
            ask: The value.
            principal: Who asks.

        Raises:
            InputError: there is no such account, or name or value cannot be kept.
            LimitError: the account has too many.
        """
        ...

    async def list(self, account: str, principal: Principal) -> SecretList:
        """List an account's secrets; an operator who names none gets all."""
        ...

    async def remove(self, name: str, account: str, principal: Principal) -> SecretView:
        """Forget a secret; jobs that name it no longer start.

        Raises:
            InputError: there is no such account.
            NotFoundError: it has no such secret.
        """
        ...


class Vault(Protocol):
    """Secrets, for attempts that start."""

    async def open(
        self, account: str, wanted: Sequence[tuple[str, str]]
    ) -> tuple[tuple[str, Secret], ...]:
        """Return (variable, value) pairs for an attempt that starts now.

        Raises:
            NotFoundError: a secret was removed meanwhile.
            KeyMissingError: the key of one is not among those that the hub has.
            DamageError: one was changed in the store.
        """
        ...
