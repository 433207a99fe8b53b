"""The text of a token, and what is kept of it.

Form: `fgl_` + 32 characters (160 random bits in base32) + 6 characters of CRC-32 in base32.
The checksum lets a secret scanner, and a hub, tell a token from other text without a query.
Whoever makes a token sends its hash to the hub and keeps the text, which nobody else ever sees.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import zlib

PREFIX = "fgl_"
RANDOM_BYTES = 20
_BODY_CHARS = 32
_CHECK_CHARS = 6


def token_text(random: bytes) -> str:
    """Return the token that is made of `RANDOM_BYTES` random bytes."""
    body = base64.b32encode(random).decode().lower()
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


def _check(body: str) -> str:
    crc = zlib.crc32(body.encode()).to_bytes(4, "big")
    return base64.b32encode(crc).decode().lower()[:_CHECK_CHARS]
