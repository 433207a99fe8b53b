"""What the door says of tokens."""

from __future__ import annotations

from msgspec import Struct


class TokenView(Struct, frozen=True, kw_only=True):
    """A token, without its text, which nobody keeps.

    Attributes:
        id: Such as `t7`.
        name: Of its holder.
        role: `operator`, `auditor`, `tenant-admin`, `member`, `viewer`, `provider` or `agent`.
        scopes: What it reaches.
        account: The only account it may use and see; empty for all.
        party: Provider or site it speaks for; empty for none.
        maker: Who made it.
        created_ms: Unix time.
        expires_ms: From then on it is refused; 0 for never.
        revoked_ms: 0 when it was not revoked.
        used_ms: Its last use, to the hour; 0 for never.
        live: Whether it lets its holder in.
    """

    id: str
    name: str
    role: str
    scopes: list[str]
    account: str
    party: str
    maker: str
    created_ms: int
    expires_ms: int
    revoked_ms: int
    used_ms: int
    live: bool


class TokenList(Struct, frozen=True, kw_only=True):
    """Tokens by number.

    Attributes:
        items: The tokens.
        next_after: Where the next page begins; 0 when there is none.
    """

    items: list[TokenView]
    next_after: int = 0


class TokenAsk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token to be made known. The same digest again makes nothing.

    Attributes:
        digest: SHA-256 of its text, in hexadecimal; the text itself stays with its holder.
        name: Of its holder, for people and the records.
        role: What its holder is.
        account: For roles within an account.
        party: For `provider` and `agent`.
        ttl_ms: How long it lives; 0 for ever.
    """

    digest: str
    name: str
    role: str = "member"
    account: str = ""
    party: str = ""
    ttl_ms: int = 0


class RotateAsk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a token is replaced.

    Attributes:
        digest: Of the new one.
        grace_ms: How long the old one goes on working.
    """

    digest: str
    grace_ms: int = 0
