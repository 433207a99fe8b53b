"""Logging in through a browser: the authorization code flow with PKCE (RFC 8252, RFC 7636)."""

from __future__ import annotations

import secrets
import time
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from fenglin.client.requests import API, Call
from fenglin.errors import DeniedError, InputError, UnavailableError
from fenglin.wire.login_views import LoginAsk, LoginView, nonce_of
from fenglin.wire.token_views import TokenView

if TYPE_CHECKING:
    from collections.abc import Callable

_JSON = (("Content-Type", "application/json"),)
_SCOPES = "openid profile email"
_CALLBACK = "/callback"
_TIMEOUT_S = 10.0


def read_login() -> Call[LoginView]:
    """Ask where to log in."""
    return Call("GET", f"{API}/login", LoginView)


def login(ask: LoginAsk) -> Call[TokenView]:
    """Show an ID token, and have a token of ours made known for it."""
    return Call("POST", f"{API}/login", TokenView, _JSON, msgspec.json.encode(ask))


def id_token_for(
    where: LoginView, digest: str, show: Callable[[str], None], patience_s: float
) -> str:
    """Let a person log in at the provider; return the ID token that it gives.

    Args:
        where: The provider.
        digest: Of the token that is to be known; the ID token is tied to it.
        show: Takes the address that the person must open in a browser.
        patience_s: How long to wait for the person.

    Raises:
        DeniedError: the provider refused.
        InputError: the extra `oidc` is not installed.
        UnavailableError: the provider cannot be asked, or nobody came back in time.
    """
    try:
        import httpx  # noqa: PLC0415 - an extra
        from authlib.integrations.base_client import (  # type: ignore[import-untyped]  # noqa: PLC0415
            OAuthError,
        )
        from authlib.integrations.httpx_client import (  # type: ignore[import-untyped]  # noqa: PLC0415
            OAuth2Client,
        )
    except ImportError as error:
        raise InputError(
            "logging in needs Fenglin's extra oidc", hint="pip install 'fenglin[oidc]'"
        ) from error
    with closing(_Callback()) as callback:
        try:
            about = _about(httpx, where.issuer)
            with OAuth2Client(
                where.client_id,
                where.client_secret or None,
                scope=_SCOPES,
                redirect_uri=callback.address,
                code_challenge_method="S256",
                token_endpoint_auth_method="client_secret_post" if where.client_secret else "none",
                timeout=_TIMEOUT_S,
                follow_redirects=False,
                trust_env=False,
            ) as client:
                verifier = secrets.token_urlsafe(48)
                address, state = client.create_authorization_url(
                    about["authorization_endpoint"],
                    code_verifier=verifier,
                    nonce=nonce_of(digest),
                )
                show(address)
                found = callback.wait(state, patience_s)
                answer = client.fetch_token(
                    about["token_endpoint"], code=found, code_verifier=verifier, state=state
                )
        except OAuthError as error:
            raise DeniedError(f"the provider refused: {error.error}") from error
        except (httpx.HTTPError, KeyError, ValueError, TypeError) as error:
            raise UnavailableError(
                f"the provider cannot be asked: {type(error).__name__}", where=where.issuer
            ) from error
    token = answer.get("id_token")
    if not isinstance(token, str):
        raise UnavailableError("the provider gave no ID token", where=where.issuer)
    return token


def _about(httpx: Any, issuer: str) -> dict[str, Any]:  # noqa: ANN401 - an extra
    answer = httpx.get(
        issuer.rstrip("/") + "/.well-known/openid-configuration",
        timeout=_TIMEOUT_S,
        follow_redirects=False,
        trust_env=False,
    )
    answer.raise_for_status()
    about: dict[str, Any] = answer.json()
    for name in ("authorization_endpoint", "token_endpoint"):
        place = urlsplit(about[name])
        if place.scheme != "https" and place[:2] != urlsplit(issuer)[:2]:
            raise ValueError(name)
    return about


class _Callback:
    """Waits on a port of this machine's loopback for the browser to come back."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}
        found = self._found

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                if parts.path == _CALLBACK and not found:
                    asked = parse_qs(parts.query)
                    found.update({name: values[0] for name, values in asked.items()})
                self.send_response(200 if parts.path == _CALLBACK else 404)
                self.send_header("Content-Type", "text/plain; charset=utf-8")
                self.end_headers()
                self.wfile.write(b"Fenglin: you may close this page.\n")

            def log_message(self, *_: object) -> None:
                """Say nothing: the address holds the code."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        """Where the provider sends the browser back to."""
        return f"http://127.0.0.1:{self._server.server_port}{_CALLBACK}"

    def close(self) -> None:
        """Give the port back."""
        self._server.server_close()

    def wait(self, state: str, patience_s: float) -> str:
        """Return the code that the browser brought.

        Raises:
            DeniedError: it brought a refusal, or the answer to another question.
            UnavailableError: it did not come.
        """
        ends_s = time.monotonic() + patience_s
        while not self._found:
            left_s = ends_s - time.monotonic()
            if left_s <= 0:
                raise UnavailableError("nobody logged in", hint="run the command again")
            self._server.timeout = min(left_s, 1.0)
            self._server.handle_request()
        if not secrets.compare_digest(self._found.get("state", ""), state):
            raise DeniedError("the browser brought the answer to another login")
        if "code" not in self._found:
            raise DeniedError(f"the provider refused: {self._found.get('error', 'no code')[:80]}")
        return self._found["code"]
