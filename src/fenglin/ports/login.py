"""Logging in through an OpenID provider: what the hub is told, and as the door may ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fenglin.wire.login_views import LoginAsk, LoginView
    from fenglin.wire.token_views import TokenView


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
