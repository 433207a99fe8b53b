"""Who holds a token: looked up by its hash, which is all that the hub knows of it."""

from __future__ import annotations

import re
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from fenglin.errors import DeniedError, FenglinError, InputError
from fenglin.model.role import REACH, Role, check_holder, parse_role
from fenglin.ports.hub import Principal
from fenglin.ports.identity import NewToken
from fenglin.wire.token_text import RANDOM_BYTES, digest_of, token_text, well_formed
from fenglin.wire.token_views import TokenAsk

if TYPE_CHECKING:
    from collections.abc import Callable

    from fenglin.ports.clock import Clock
    from fenglin.ports.identity import Identity, TokenRecord

# A revoked token must stop within 5 s.
CACHE_MS = 2_000
MOST_CACHED = 1_024
USE_STEP_MS = 3_600_000
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


def new_token() -> str:
    """Return a fresh token."""
    return token_text(secrets.token_bytes(RANDOM_BYTES))


class Tokens:
    """Answers who holds a token, from a short-lived cache of good answers only."""

    def __init__(self, identity: Identity, clock: Clock, epoch: Callable[[], int]) -> None:
        """Take where the hashes are, the clock, and the leader's epoch."""
        self._identity = identity
        self._clock = clock
        self._epoch = epoch
        self._known: dict[bytes, tuple[int, Principal]] = {}

    async def holder(self, token: str) -> Principal:
        """Return who holds the token.

        Raises:
            DeniedError: nobody does, or not any more (401).
        """
        if well_formed(token):
            digest = digest_of(token)
            now_ms = self._clock.monotonic_ms()
            until_ms, principal = self._known.get(digest, (0, None))
            if principal is not None and now_ms < until_ms:
                return principal
            record = await self._identity.find(digest)
            today_ms = self._clock.now_ms()
            if record is not None and record.live(today_ms):
                await self._note_use(record, today_ms)
                if len(self._known) >= MOST_CACHED:
                    self._known.clear()
                principal = principal_of(record)
                self._known[digest] = (now_ms + CACHE_MS, principal)
                return principal
        raise DeniedError(
            "this token is not valid",
            hint="set FENGLIN_TOKEN to a token of this hub",
            http_status=401,
        )

    async def _note_use(self, record: TokenRecord, now_ms: int) -> None:
        if now_ms - record.used_ms < USE_STEP_MS:
            return
        # Whether it is noted does not decide whether its holder may enter.
        with suppress(FenglinError):
            await self._identity.used(self._epoch(), record.number, now_ms)

    async def made(self) -> bool:
        """Return whether there is any token; the first leader of a database makes the first."""
        return await self._identity.any()

    async def first(self, token: str) -> None:
        """Make the first operator's token known; only its hash is kept."""
        await self._identity.add(
            self._epoch(),
            new_record(
                TokenAsk(name="admin", role=Role.OPERATOR, digest=digest_of(token).hex()),
                "hub",
                self._clock.now_ms(),
            ),
        )


def check_digest(digest: str) -> None:
    """Check that a text can be the hash of a token.

    Raises:
        InputError: it cannot.
    """
    if _DIGEST.fullmatch(digest) is None:
        raise InputError(
            "the digest is no SHA-256 in 64 hexadecimal digits",
            where="digest",
            hint="it is the hash of the token's text, which stays with its holder",
        )


def new_record(ask: TokenAsk, maker: str, now_ms: int) -> NewToken:
    """Return what is stored of a token that is made now.

    Raises:
        InputError: the role or hash is none, or the names do not fit the role.
    """
    check_digest(ask.digest)
    role = parse_role(ask.role)
    check_holder(role, ask.name, ask.account, ask.party)
    return NewToken(
        digest=bytes.fromhex(ask.digest),
        name=ask.name,
        role=role,
        scopes=" ".join(sorted(REACH[role].scopes)),
        account=ask.account,
        party=ask.party,
        maker=maker,
        created_ms=now_ms,
        expires_ms=now_ms + ask.ttl_ms if ask.ttl_ms else 0,
    )


def principal_of(record: TokenRecord) -> Principal:
    """Return who the holder of a token is."""
    return Principal(
        record.name,
        frozenset(record.scopes.split()),
        record.account,
        role=record.role,
        party=record.party,
        token=record.number,
    )
