"""An OpenID provider: its keys fetched with care, its ID tokens checked claim by claim.

Checks as OpenID Connect Core 1.0, 3.1.3.7, and RFC 8725: the algorithm is one of ours, never the
token's choice; the key is one of the provider's published ones, whatever `jku`, `jwk` or `x5u`
of the token's head say.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fenglin.errors import DeniedError, InputError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from joserfc.jwk import KeySet

    from fenglin.ports.clock import Clock

# Asymmetric ones only: the keys are public, and a public key must never serve as a secret.
ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
LEEWAY_S = 60
MOST_AGE_S = 600
KEYS_LIVE_MS = 600_000
LEAST_FETCH_MS = 30_000
MOST_TOKEN_CHARS = 16_384
_MOST_BYTES = 1 << 20
_TIMEOUT_S = 5.0


class OidcIssuer:
    """Implements `ports.login.Issuer`.

    Args:
        issuer: URL, as tokens name it.
        client_id: The audience of tokens that are meant for us.
        clock: Of this process.

    Raises:
        InputError: the extra `oidc` is not installed.
    """

    def __init__(self, issuer: str, client_id: str, clock: Clock) -> None:
        try:
            import httpx  # noqa: PLC0415 - an extra
            import joserfc.jwt  # noqa: PLC0415
        except ImportError as error:
            raise InputError(
                "logging in needs Fenglin's extra oidc",
                where="login",
                hint="pip install 'fenglin[oidc]'",
            ) from error
        self._httpx, self._jwt = httpx, joserfc.jwt
        self._issuer = issuer
        self._client_id = client_id
        self._clock = clock
        self._keys: KeySet | None = None
        self._fetched_ms = 0
        self._fetching = asyncio.Lock()

    async def claims(self, id_token: str, nonce: str) -> Mapping[str, object]:
        """See `ports.login.Issuer`."""
        if len(id_token) > MOST_TOKEN_CHARS or not id_token.isascii():
            raise _unbelieved("it is no ID token")
        keys = await self._known_keys(fresh=False)
        try:
            claims = self._verified(id_token, keys)
        except LookupError:
            # The provider may have changed its key since.
            claims = self._once_more(id_token, await self._known_keys(fresh=True))
        self._check(claims, nonce)
        return claims

    def _once_more(self, id_token: str, keys: KeySet) -> dict[str, Any]:
        try:
            return self._verified(id_token, keys)
        except LookupError:
            raise _unbelieved("it is signed by no key of the provider") from None

    def _verified(self, id_token: str, keys: KeySet) -> dict[str, Any]:
        """Return the claims of a token with a good signature.

        Raises:
            DeniedError: the signature or the form is bad.
            LookupError: the provider has no such key.
        """
        from joserfc.errors import InvalidKeyIdError, JoseError  # noqa: PLC0415 - an extra

        try:
            return dict(self._jwt.decode(id_token, keys, algorithms=list(ALGORITHMS)).claims)
        except InvalidKeyIdError as error:
            raise LookupError from error
        except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise _unbelieved("its signature or form is bad") from error

    def _check(self, claims: Mapping[str, Any], nonce: str) -> None:
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        other = len(audiences) > 1 and claims.get("azp") != self._client_id
        subject = claims.get("sub")
        for wrong, why in (
            (claims.get("iss") != self._issuer, "another provider issued it"),
            (self._client_id not in audiences, "it is meant for somebody else"),
            (other, "it was made for another client"),
            (claims.get("nonce") != nonce, "it belongs to another login"),
            (not isinstance(subject, str) or not subject, "it does not say whose it is"),
        ):
            if wrong:
                raise _unbelieved(why)
        _check_times(claims, self._clock.now_ms() / 1_000)

    async def _known_keys(self, *, fresh: bool) -> KeySet:
        """Return the provider's keys; asked for at most every `LEAST_FETCH_MS`."""
        async with self._fetching:
            age_ms = self._clock.monotonic_ms() - self._fetched_ms
            wanted_ms = LEAST_FETCH_MS if fresh else KEYS_LIVE_MS
            if self._keys is None or age_ms >= wanted_ms:
                self._keys = await self._fetch()
                self._fetched_ms = self._clock.monotonic_ms()
            return self._keys

    async def _fetch(self) -> KeySet:
        from joserfc.errors import JoseError  # noqa: PLC0415 - an extra
        from joserfc.jwk import KeySet  # noqa: PLC0415

        async with self._httpx.AsyncClient(
            timeout=_TIMEOUT_S, follow_redirects=False, trust_env=False
        ) as client:
            about = await self._json(
                client, self._issuer.rstrip("/") + "/.well-known/openid-configuration"
            )
            if about.get("issuer") != self._issuer:
                raise self._away("it names another issuer")
            place = about.get("jwks_uri")
            if not isinstance(place, str) or not self._may_ask(place):
                raise self._away("it keeps its keys in no place that can be asked")
            listed = await self._json(client, place)
        try:
            return KeySet.import_key_set(listed)  # type: ignore[arg-type]
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise self._away("its keys cannot be read") from error

    def _may_ask(self, place: str) -> bool:
        """Return whether keys may come from there: by TLS, or from this machine as the issuer."""
        ours, theirs = urlsplit(self._issuer), urlsplit(place)
        if theirs.scheme == "https" and theirs.hostname:
            return True
        return ours.scheme == "http" and theirs[:2] == ours[:2]

    async def _json(self, client: Any, url: str) -> dict[str, Any]:  # noqa: ANN401 - an extra's
        try:
            async with client.stream("GET", url) as answer:
                if answer.status_code != 200:
                    raise self._away(f"{url} answered {answer.status_code}")
                body = b""
                async for piece in answer.aiter_bytes():
                    body += piece
                    if len(body) > _MOST_BYTES:
                        raise self._away(f"{url} answered more than {_MOST_BYTES} bytes")
            found = json.loads(body)
        except (self._httpx.HTTPError, ValueError, RecursionError) as error:
            raise self._away(f"{url} cannot be read: {type(error).__name__}") from error
        if not isinstance(found, dict):
            raise self._away(f"{url} answered no object")
        return found

    def _away(self, why: str) -> UnavailableError:
        return UnavailableError(
            f"the OpenID provider cannot be asked: {why}",
            where=self._issuer,
            hint="check `issuer` under [login], and that the hub reaches it",
        )


def _check_times(claims: Mapping[str, Any], now_s: float) -> None:
    for claim, value in (*claims.items(), ("exp", claims.get("exp")), ("iat", claims.get("iat"))):
        if claim in {"exp", "iat", "nbf"} and not _is_time(value):
            raise _unbelieved(f"its {claim} is no time")
    if claims["exp"] + LEEWAY_S <= now_s:
        raise _unbelieved("its time is over")
    if not now_s - MOST_AGE_S <= claims["iat"] <= now_s + LEEWAY_S:
        raise _unbelieved("it was not issued just now")
    if claims.get("nbf", 0) > now_s + LEEWAY_S:
        raise _unbelieved("its time has not come")


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _unbelieved(why: str) -> DeniedError:
    return DeniedError(f"the ID token is not believed: {why}", hint="log in again", http_status=401)
