"""Calls for tokens, for `Client.call` and `AsyncClient.call`."""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from fenglin.client.requests import API, Call
from fenglin.wire.token_views import RotateAsk, TokenAsk, TokenList, TokenView

_JSON = (("Content-Type", "application/json"),)


def own_token() -> Call[TokenView]:
    """Show the caller's own token."""
    return Call("GET", f"{API}/tokens/own", TokenView)


def list_tokens(after: int = 0, limit: int = 100) -> Call[TokenList]:
    """List tokens by number."""
    return Call("GET", f"{API}/tokens?after={after}&limit={limit}", TokenList)


def make_token(ask: TokenAsk) -> Call[TokenView]:
    """Make a token known, whose text stays here."""
    return Call("POST", f"{API}/tokens", TokenView, _JSON, msgspec.json.encode(ask))


def rotate_token(token: str, ask: RotateAsk) -> Call[TokenView]:
    """Replace a token by one whose text stays here."""
    return Call("POST", f"{_path(token)}/rotate", TokenView, _JSON, msgspec.json.encode(ask))


def revoke_token(token: str) -> Call[TokenView]:
    """Refuse a token from now on."""
    return Call("POST", f"{_path(token)}/revoke", TokenView)


def _path(token: str) -> str:
    return f"{API}/tokens/{quote(token, safe='')}"
