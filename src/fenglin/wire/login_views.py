"""What the door says of logging in through an OpenID provider."""

from __future__ import annotations

import base64
import hashlib

from msgspec import Struct


class LoginView(Struct, frozen=True, kw_only=True):
    """Where to log in.

    Attributes:
        issuer: URL of the OpenID provider.
        client_id: The hub's name there.
        client_secret: For providers that want one even of programs on people's machines, where
            it is no secret (RFC 8252, 8.5); empty for none.
    """

    issuer: str
    client_id: str
    client_secret: str = ""


class LoginAsk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A proof of who somebody is, for a token that they have made.

    Attributes:
        id_token: From the provider, with `nonce_of(digest)` as its nonce.
        digest: SHA-256 of the token's text, in hexadecimal.
    """

    id_token: str
    digest: str


def nonce_of(digest: str) -> str:
    """Return the nonce that ties an ID token to one Fenglin token.

    An ID token that is seen by others is of no use to them: it admits nothing but the token
    whose hash it names, and that token's text has never left its maker.
    """
    return base64.urlsafe_b64encode(
        hashlib.sha256(f"fenglin-login:{digest}".encode()).digest()
    ).decode()
