"""Calls of a site's agent, for `AsyncClient.call`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import msgspec

from fenglin.client.requests import API, Call, Raw
from fenglin.wire.agent_views import Answers, Hello, Orders, OrdersAsk, Welcome

if TYPE_CHECKING:
    from pathlib import Path

UPLOAD_S = 60.0
SLOWEST_BYTES_S = 2**17
_JSON = (("Content-Type", "application/json"),)


def agent_hello(site: str, hello: Hello) -> Call[Welcome]:
    """Begin a session."""
    return Call("POST", _path(site, "hello"), Welcome, _JSON, msgspec.json.encode(hello))


def agent_orders(site: str, ask: OrdersAsk, wait_s: float) -> Call[Orders]:
    """Wait for orders."""
    body = msgspec.json.encode(ask)
    return Call("POST", _path(site, "orders"), Orders, _JSON, body, extra_s=wait_s)


def agent_answers(site: str, answers: Answers) -> Call[Raw]:
    """Answer orders."""
    return Call("POST", _path(site, "answers"), Raw, _JSON, msgspec.json.encode(answers))


def agent_input(site: str, key: str, digest: str) -> Call[Raw]:
    """Read an input."""
    return Call("GET", _path(site, "inputs", key, digest), Raw)


def agent_artifact(
    site: str, place: tuple[str, int, str], file: Path, *, executable: bool
) -> Call[Raw]:
    """Bring a file that a task (key, index, path) left.

    Raises:
        OSError: the file is gone.
    """
    key, task, path = place
    # Names are bytes; the query takes printable text only.
    name = quote(os.fsencode(path), safe="/")
    query = urlencode({"path": name, "executable": "true" if executable else "false"})
    where = f"{_path(site, 'artifacts', key, str(task))}?{query}"
    extra_s = UPLOAD_S + file.stat().st_size / SLOWEST_BYTES_S
    return Call("PUT", where, Raw, body=file, extra_s=extra_s)


def _path(*parts: str) -> str:
    return "/".join((f"{API}/agent", *(quote(part, safe="") for part in parts)))
