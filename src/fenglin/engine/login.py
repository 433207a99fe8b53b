"""Logging in: what an OpenID provider says of somebody becomes a token of a role."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.engine.identity import view_of
from fenglin.engine.tokens import check_digest, new_record
from fenglin.errors import DeniedError, NotFoundError
from fenglin.model.role import REACH, parse_role
from fenglin.wire.login_views import LoginView, nonce_of
from fenglin.wire.token_views import TokenAsk

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fenglin.model.role import LoginSettings, RoleRule
    from fenglin.ports.clock import Clock
    from fenglin.ports.identity import Identity
    from fenglin.ports.login import Issuer
    from fenglin.wire.login_views import LoginAsk
    from fenglin.wire.token_views import TokenView

_NAMES = ("preferred_username", "email", "sub")
_LONGEST_NAME = 128


class LoginDesk:
    """Implements `ports.login.LoginDesk`."""

    def __init__(
        self,
        settings: LoginSettings | None,
        issuer: Issuer | None,
        identity: Identity,
        clock: Clock,
        epoch: Callable[[], int],
        accounts: frozenset[str],
    ) -> None:
        """Take whom to believe (None: nobody logs in), the tokens, and the accounts there are."""
        self._settings = settings
        self._issuer = issuer
        self._identity = identity
        self._clock = clock
        self._epoch = epoch
        self._accounts = accounts

    def settings(self) -> LoginView:
        """See `ports.login.LoginDesk`."""
        if self._settings is None:
            raise _nowhere()
        return LoginView(
            issuer=self._settings.issuer,
            client_id=self._settings.client_id,
            client_secret=self._settings.client_secret,
        )

    async def enter(self, ask: LoginAsk) -> TokenView:
        """See `ports.login.LoginDesk`."""
        if self._settings is None or self._issuer is None:
            raise _nowhere()
        check_digest(ask.digest)
        claims = await self._issuer.claims(ask.id_token, nonce_of(ask.digest))
        rule, account = self._admit(claims)
        wanted = TokenAsk(
            digest=ask.digest,
            name=_name(claims),
            role=rule.role,
            account=account,
            party=rule.party,
            ttl_ms=self._settings.session_ms,
        )
        now_ms = self._clock.now_ms()
        draft = new_record(wanted, f"login:{claims.get('sub')}"[:_LONGEST_NAME], now_ms)
        return view_of(await self._identity.add(self._epoch(), draft), now_ms)

    def _admit(self, claims: Mapping[str, object]) -> tuple[RoleRule, str]:
        """Return the first rule that fits, and the account it leads to."""
        assert self._settings is not None  # noqa: S101 - `enter` has looked
        for rule in self._settings.rules:
            if not _holds(claims.get(rule.claim), rule.value):
                continue
            account = rule.account
            if rule.account_claim:
                named = claims.get(rule.account_claim)
                account = named if isinstance(named, str) else ""
            if not REACH[parse_role(rule.role)].of_account or account in self._accounts:
                return rule, account
        raise DeniedError(
            "you are known, but nothing here is open to you",
            hint="ask an operator of this hub to name you under [login]",
        )


def _holds(claim: object, value: str) -> bool:
    return value in claim if isinstance(claim, list) else claim == value


def _name(claims: Mapping[str, object]) -> str:
    for claim in _NAMES:
        name = claims.get(claim)
        if isinstance(name, str) and name and name.isprintable():
            return name[:_LONGEST_NAME]
    raise DeniedError("the ID token does not say who you are", http_status=401)


def _nowhere() -> NotFoundError:
    return NotFoundError(
        "this hub has no OpenID provider", hint="ask an operator for a token: fenglin token add"
    )
