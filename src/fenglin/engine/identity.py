"""Tokens for people: made, listed, replaced and revoked by those who may."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fenglin.engine.tokens import new_record
from fenglin.errors import ConflictError, DeniedError, InputError, NotFoundError
from fenglin.model.role import Role, Scope, may_grant, parse_role
from fenglin.wire.token_views import TokenAsk, TokenList, TokenView

if TYPE_CHECKING:
    from collections.abc import Callable

    from fenglin.ports.clock import Clock
    from fenglin.ports.hub import Principal
    from fenglin.ports.identity import Identity, NewToken, TokenRecord
    from fenglin.wire.token_views import RotateAsk

LONGEST_TTL_MS = 10 * 366 * 86_400_000
LONGEST_GRACE_MS = 30 * 86_400_000
_ID = re.compile(r"t([1-9]\d{0,8})", re.ASCII)
_MOST = 1_000


class TokenDesk:
    """Implements `ports.identity.TokenDesk`."""

    def __init__(
        self, identity: Identity, clock: Clock, epoch: Callable[[], int], accounts: frozenset[str]
    ) -> None:
        """Take the store's tokens, the clock, the leader's epoch, and the accounts there are."""
        self._identity = identity
        self._clock = clock
        self._epoch = epoch
        self._accounts = accounts

    async def own(self, principal: Principal) -> TokenView:
        """See `ports.identity.TokenDesk`."""
        if not principal.token:
            raise NotFoundError(
                "you came without a token", hint="this hub runs without authentication"
            )
        return self._view(await self._find(principal.token, principal.account))

    async def page(self, principal: Principal, *, after: int, limit: int) -> TokenList:
        """See `ports.identity.TokenDesk`."""
        _check_tenant(principal)
        rows = await self._identity.page(principal.account, after, limit + 1)
        items = [self._view(row) for row in rows[:limit]]
        return TokenList(items=items, next_after=rows[limit - 1].number if rows[limit:] else 0)

    async def make(self, ask: TokenAsk, principal: Principal) -> TokenView:
        """See `ports.identity.TokenDesk`."""
        _check_tenant(principal)
        role = parse_role(ask.role)
        if not may_grant(principal.scopes, role):
            raise DeniedError(
                f"a {principal.role} may not make a token of a {role}",
                where="role",
                hint="ask an operator of this hub",
            )
        if not 0 <= ask.ttl_ms <= LONGEST_TTL_MS:
            raise InputError("a token lives for at most ten years", where="ttl_ms")
        account = ask.account or principal.account
        # Another's account answers as one that does not exist.
        if account and (account not in self._accounts or principal.account not in {"", account}):
            raise _no_account()
        wanted = TokenAsk(
            digest=ask.digest,
            name=ask.name,
            role=role,
            account=account,
            party=ask.party,
            ttl_ms=ask.ttl_ms,
        )
        draft = new_record(wanted, principal.name, self._clock.now_ms())
        return self._same(await self._identity.add(self._epoch(), draft), draft)

    async def rotate(self, token: str, ask: RotateAsk, principal: Principal) -> TokenView:
        """See `ports.identity.TokenDesk`."""
        number = _number(token)
        if number != principal.token:
            _check_tenant(principal)
        if not 0 <= ask.grace_ms <= LONGEST_GRACE_MS:
            raise InputError("the old token may live on for at most 30 days", where="grace_ms")
        old = await self._find(number, principal.account)
        now_ms = self._clock.now_ms()
        wanted = TokenAsk(
            digest=ask.digest,
            name=old.name,
            role=old.role,
            account=old.account,
            party=old.party,
            ttl_ms=old.expires_ms - old.created_ms if old.expires_ms else 0,
        )
        draft = new_record(wanted, principal.name, now_ms)
        made = await self._identity.replace(self._epoch(), number, draft, now_ms + ask.grace_ms)
        return self._same(made, draft)

    async def revoke(self, token: str, principal: Principal) -> TokenView:
        """See `ports.identity.TokenDesk`."""
        number = _number(token)
        if number != principal.token:
            _check_tenant(principal)
        old = await self._find(number, principal.account)
        if old.role == Role.OPERATOR:
            await self._check_operator_left(number)
        gone = await self._identity.revoke(self._epoch(), number, self._clock.now_ms())
        return self._view(gone)

    async def _check_operator_left(self, number: int) -> None:
        now_ms = self._clock.now_ms()
        after = 0
        while rows := await self._identity.page("", after, _MOST):
            for row in rows:
                lasting = row.live(now_ms) and not row.expires_ms
                if row.role == Role.OPERATOR and lasting and row.number != number:
                    return
            after = rows[-1].number
        raise ConflictError(
            "no operator's token without an end would be left",
            where=f"t{number}",
            hint="make another first: fenglin token add NAME --role operator",
        )

    async def _find(self, number: int, account: str) -> TokenRecord:
        rows = await self._identity.page(account, number - 1, 1)
        if not rows or rows[0].number != number:
            raise NotFoundError(f"there is no token t{number}", where="token")
        return rows[0]

    def _same(self, made: TokenRecord, wanted: NewToken) -> TokenView:
        """Return a token that is as it was asked for."""
        for field in ("name", "role", "account", "party"):
            if getattr(made, field) != getattr(wanted, field):
                raise ConflictError(
                    "a token of this hash is there already", where="digest", hint="make a new one"
                )
        return self._view(made)

    def _view(self, row: TokenRecord) -> TokenView:
        return view_of(row, self._clock.now_ms())


def view_of(row: TokenRecord, now_ms: int) -> TokenView:
    """Return a token as the door tells it."""
    return TokenView(
        id=f"t{row.number}",
        name=row.name,
        role=row.role,
        scopes=row.scopes.split(),
        account=row.account,
        party=row.party,
        maker=row.maker,
        created_ms=row.created_ms,
        expires_ms=row.expires_ms,
        revoked_ms=row.revoked_ms,
        used_ms=row.used_ms,
        live=row.live(now_ms),
    )


def _check_tenant(principal: Principal) -> None:
    if not principal.may(Scope.TENANT):
        raise DeniedError(
            "this needs the scope tenant", hint="ask an administrator of your account"
        )


def _no_account() -> NotFoundError:
    return NotFoundError(
        "there is no such account",
        where="account",
        hint="fenglin account list shows those there are",
    )


def _number(token: str) -> int:
    match = _ID.fullmatch(token)
    if match is None:
        raise InputError(f"{token[:40]!r} is no token's id", hint="such as t7", where="token")
    return int(match[1])
