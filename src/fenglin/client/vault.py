"""Calls for secrets, for `Client.call` and `AsyncClient.call`."""

from __future__ import annotations

from urllib.parse import quote, urlencode

import msgspec

from fenglin.client.requests import API, Call
from fenglin.wire.secret_views import SecretAsk, SecretList, SecretView

_JSON = (("Content-Type", "application/json"),)


def list_secrets(account: str = "") -> Call[SecretList]:
    """List an account's secrets (empty: those that the caller may see), without values."""
    return Call("GET", f"{API}/secrets{_of(account)}", SecretList)


def set_secret(name: str, value: str, account: str = "") -> Call[SecretView]:
    """Keep a value under a name; of an account, or the caller's own."""
    body = msgspec.json.encode(SecretAsk(value=value))
    return Call("PUT", f"{_path(name)}{_of(account)}", SecretView, _JSON, body)


def remove_secret(name: str, account: str = "") -> Call[SecretView]:
    """Forget a secret."""
    return Call("DELETE", f"{_path(name)}{_of(account)}", SecretView)


def _path(name: str) -> str:
    return f"{API}/secrets/{quote(name, safe='')}"


def _of(account: str) -> str:
    return "?" + urlencode({"account": account}) if account else ""
