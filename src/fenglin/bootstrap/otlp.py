"""Sends traces to an OpenTelemetry collector, over OTLP/HTTP in JSON."""

from __future__ import annotations

import contextlib
from http.client import HTTPConnection, HTTPSConnection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fenglin.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

DEADLINE_S = 10.0
PATH = "/v1/traces"


def sender(url: str) -> Callable[[bytes], None] | None:
    """Return what sends one request to a collector; None without one.

    Args:
        url: Of the collector, such as `http://127.0.0.1:4318`; empty for none.
    """
    if not url:
        return None
    parts = urlsplit(url)
    connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    path = parts.path if parts.path not in ("", "/") else PATH

    def send(body: bytes) -> None:
        with contextlib.closing(connect(parts.netloc, timeout=DEADLINE_S)) as conn:
            conn.request("POST", path, body, {"Content-Type": "application/json"})
            answer = conn.getresponse()
            answer.read()
        if not 200 <= answer.status < 300:
            raise UnavailableError(f"the collector answered {answer.status}", where=parts.netloc)

    return send
