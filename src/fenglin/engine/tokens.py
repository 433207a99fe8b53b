"""Bearer tokens: made once, kept only as a hash, recognised by a checksum before any lookup.

Form: `fgl_` + 32 characters (160 random bits in base32) + 6 characters of CRC-32 in base32.
The checksum lets a secret scanner, and this hub, tell a token from other text without a query.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import zlib
from typing import TYPE_CHECKING

from fenglin.errors import DeniedError
from fenglin.ports.store import NewToken

if TYPE_CHECKING:
    from fenglin.ports.clock import Clock
    from fenglin.ports.hub import Principal
    from fenglin.ports.store import Store

PREFIX = "fgl_"
RANDOM_BYTES = 20
_BODY_CHARS = 32
_CHECK_CHARS = 6
# A revoked token must stop within 5 s.
CACHE_MS = 2_000
MOST_CACHED = 1_024


def new_token() -> str:
    """Return a fresh token."""
    body = base64.b32encode(secrets.token_bytes(RANDOM_BYTES)).decode().lower()
    return PREFIX + body + _check(body)


def digest_of(token: str) -> bytes:
    """Return what is stored in a token's place."""
    return hashlib.sha256(token.encode()).digest()


def well_formed(token: str) -> bool:
    """Return whether the text could be a token of ours."""
    body = token[len(PREFIX) : len(PREFIX) + _BODY_CHARS]
    return (
        token.isascii()
        and token.startswith(PREFIX)
        and len(token) == len(PREFIX) + _BODY_CHARS + _CHECK_CHARS
        and hmac.compare_digest(token[-_CHECK_CHARS:], _check(body))
    )


class Tokens:
    """Answers who holds a token, from a short-lived cache of good answers only."""

    def __init__(self, store: Store, clock: Clock) -> None:
        """Take where the hashes are."""
        self._store = store
        self._clock = clock
        self._known: dict[bytes, tuple[int, Principal]] = {}

    async def holder(self, token: str) -> Principal:
        """Return who holds the token.

        Raises:
            DeniedError: nobody does (401).
        """
        if well_formed(token):
            digest = digest_of(token)
            now_ms = self._clock.monotonic_ms()
            until_ms, principal = self._known.get(digest, (0, None))
            if principal is not None and now_ms < until_ms:
                return principal
            principal = await self._store.token(digest)
            if principal is not None:
                if len(self._known) >= MOST_CACHED:
                    self._known.clear()
                self._known[digest] = (now_ms + CACHE_MS, principal)
                return principal
        raise DeniedError(
            "this token is not valid",
            hint="set FENGLIN_TOKEN to a token of this hub",
            http_status=401,
        )

    async def add(self, token: str, name: str, scopes: str, account: str) -> None:
        """Make a token known; only its hash is kept."""
        await self._store.add_token(
            NewToken(digest_of(token), name, scopes, account, self._clock.now_ms())
        )


def _check(body: str) -> str:
    crc = zlib.crc32(body.encode()).to_bytes(4, "big")
    return base64.b32encode(crc).decode().lower()[:_CHECK_CHARS]
