"""Logging in through an OpenID provider: what the hub is told, and as the door may ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fenglin.wire.login_views import LoginAsk, LoginView
    from fenglin.wire.token_views import TokenView


class RoleRule(Struct, frozen=True, kw_only=True):
    """Which holders of a claim get which role.

    Attributes:
        claim: Name of the claim in the ID token.
        value: What it must be, or hold where it is a list.
        role: Of `model.role`.
        account: Of roles within an account.
        account_claim: Claim whose text is the account; wins over `account`.
        party: Of roles that speak for one.
    """

    claim: str
    value: str
    role: str
    account: str = ""
    account_claim: str = ""
    party: str = ""


class LoginSettings(Struct, frozen=True, kw_only=True):
    """Whom the hub believes.

    Attributes:
        issuer: URL of the OpenID provider, as its tokens name it.
        client_id: The hub's name there: the audience of its ID tokens.
        client_secret: What people's programs show the provider; empty for nothing.
        session_ms: How long a token made by a login lives.
        rules: The first that fits counts; who fits none does not get in.
    """

    issuer: str
    client_id: str
    client_secret: str = ""
    session_ms: int
    rules: tuple[RoleRule, ...]


class Issuer(Protocol):
    """An OpenID provider, whose word is checked."""

    async def claims(self, id_token: str, nonce: str) -> Mapping[str, object]:
        """Return what an ID token says, once it is shown to be meant for this hub and login.

        Raises:
            DeniedError: it is not (401).
            UnavailableError: the provider's keys cannot be had.
        """
        ...


class LoginDesk(Protocol):
    """Logging in; open to all, since who comes has no token yet."""

    def settings(self) -> LoginView:
        """Return where to log in.

        Raises:
            NotFoundError: this hub has no OpenID provider.
        """
        ...

    async def enter(self, ask: LoginAsk) -> TokenView:
        """Make a token known for whoever shows an ID token that was issued for it.

        Raises:
            DeniedError: the ID token is not believed (401), or no rule admits its holder (403).
            NotFoundError: this hub has no OpenID provider.
            UnavailableError: the provider's keys cannot be had.
        """
        ...
