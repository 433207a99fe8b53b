"""Who holds which token: as the store keeps it, and as the door may ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from fenglin.ports.hub import Principal
    from fenglin.wire.token_views import RotateAsk, TokenAsk, TokenList, TokenView


class NewToken(Struct, frozen=True, kw_only=True):
    """A token to be known by its hash.

    Attributes:
        digest: SHA-256 of its text.
        name: Of its holder.
        role: Of `model.role`.
        scopes: Separated by blanks.
        account: The only account it may use; empty for all.
        party: Provider or site that it speaks for; empty for none.
        maker: Who made it.
        created_ms: Unix time.
        expires_ms: Unix time from which it is refused; 0 for never.
    """

    digest: bytes
    name: str
    role: str
    scopes: str
    account: str
    party: str
    maker: str
    created_ms: int
    expires_ms: int


class TokenRecord(NewToken, frozen=True, kw_only=True):
    """A token that is known.

    Attributes:
        number: In its id, `t7`.
        revoked_ms: Unix time; 0 when it was not.
        used_ms: Unix time of its last use, to the hour; 0 for never.
    """

    number: int
    revoked_ms: int
    used_ms: int

    def live(self, now_ms: int) -> bool:
        """Return whether it lets its holder in."""
        return not self.revoked_ms and (not self.expires_ms or now_ms < self.expires_ms)


class Identity(Protocol):
    """The tokens, as the store keeps them."""

    async def any(self) -> bool:
        """Return whether any token is known."""
        ...

    async def find(self, digest: bytes) -> TokenRecord | None:
        """Return the token of this hash, live or not."""
        ...

    async def page(self, account: str, after: int, limit: int) -> list[TokenRecord]:
        """Return an account's tokens (empty: all) by number."""
        ...

    async def add(self, epoch: int, token: NewToken) -> TokenRecord:
        """Make a token known; one whose hash is there is returned as it is.

        Raises:
            StaleEpochError: another leader took over.
        """
        ...

    async def replace(
        self, epoch: int, number: int, token: NewToken, old_expires_ms: int
    ) -> TokenRecord:
        """Make a token known, and let an old one end no later than at a time.

        Raises:
            ConflictError: the old one is no longer live.
            StaleEpochError: another leader took over.
        """
        ...

    async def revoke(self, epoch: int, number: int, now_ms: int) -> TokenRecord:
        """Refuse a token from now on; one that was revoked keeps its time.

        Raises:
            StaleEpochError: another leader took over.
        """
        ...

    async def used(self, epoch: int, number: int, now_ms: int) -> None:
        """Write down when a token was used.

        Raises:
            StaleEpochError: another leader took over.
        """
        ...


class TokenDesk(Protocol):
    """Tokens, for their holders and for those who give them out.

    Who has the scope `tenant` sees and makes tokens of its own account only; a token of another
    account answers as a missing one.
    """

    async def own(self, principal: Principal) -> TokenView:
        """Return the caller's own token."""
        ...

    async def page(self, principal: Principal, *, after: int, limit: int) -> TokenList:
        """Return tokens by number."""
        ...

    async def make(self, ask: TokenAsk, principal: Principal) -> TokenView:
        """Make a token known.

        Raises:
            DeniedError: the caller may not give out this role.
            ConflictError: a token of this hash is there, and is another one.
            InputError: the role, a name or the time is none.
            NotFoundError: there is no such account.
        """
        ...

    async def rotate(self, token: str, ask: RotateAsk, principal: Principal) -> TokenView:
        """Make a token like another known, which goes on working for a while.

        Raises:
            ConflictError: it is no longer live.
            NotFoundError: there is none, or it is another's.
        """
        ...

    async def revoke(self, token: str, principal: Principal) -> TokenView:
        """Refuse a token from now on.

        Raises:
            ConflictError: no operator's token would be left.
            NotFoundError: there is none, or it is another's.
        """
        ...
