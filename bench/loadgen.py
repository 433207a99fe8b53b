"""The load generator for machines without wrk: one process, raw sockets, kept connections.

It is slower than wrk and takes more of the processor away from the hub, so the figures are
lower with it; the report says which one was used.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bench.figures import percentile

if TYPE_CHECKING:
    from collections.abc import Iterator

LENGTH = b"content-length:"


class Connection(asyncio.Protocol):
    """Sends a request, waits for its whole answer, and sends the next until time is up."""

    def __init__(self, requests: Iterator[bytes], until_s: float, ended: asyncio.Event) -> None:
        self._requests = requests
        self._until_s = until_s
        self._ended = ended
        self._buffer = bytearray()
        self._sent_s = 0.0
        self._transport: asyncio.Transport
        self.spent_s: list[float] = []
        self.bad = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
            self._send()

    def _send(self) -> None:
        self._sent_s = time.perf_counter()
        self._transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        """Take a piece of the answer; when it is whole, go on."""
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        heads = bytes(self._buffer[:head]).lower()
        at = heads.find(LENGTH)
        length = int(heads[at + len(LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self._buffer) < head + 4 + length:
            return
        now_s = time.perf_counter()
        if self._buffer[9:10] == b"2":
            self.spent_s.append(now_s - self._sent_s)
        else:
            self.bad += 1
        self._buffer.clear()
        if now_s < self._until_s:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count an end that came too early."""
        if exc is not None or time.perf_counter() < self._until_s:
            self.bad += 1
        self._ended.set()


def requests_of(order: dict[str, Any]) -> Iterator[bytes]:
    """Yield the requests as bytes, for ever."""
    body = order["body"].encode()
    host = urlsplit(order["url"]).netloc
    run = time.time_ns()
    for number, path in enumerate(itertools.cycle(order["paths"])):
        lines = [
            f"{order['method']} {path} HTTP/1.1",
            f"Host: {host}",
            f"Authorization: Bearer {order['token']}",
        ]
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        if order["keyed"]:
            lines.append(f"Idempotency-Key: {run}-{number}")
        yield "\r\n".join([*lines, "", ""]).encode() + body


async def put(order: dict[str, Any]) -> dict[str, float]:
    """Put the load on; return what came back."""
    loop = asyncio.get_running_loop()
    parts = urlsplit(order["url"])
    requests = requests_of(order)
    begun_s = time.perf_counter()
    made: list[tuple[Connection, asyncio.Event]] = []
    for _ in range(order["connections"]):
        ended = asyncio.Event()
        connection = Connection(requests, begun_s + order["seconds"], ended)
        await loop.create_connection(lambda c=connection: c, parts.hostname, parts.port)  # type: ignore[misc]
        made.append((connection, ended))
    for _, ended in made:
        await ended.wait()
    spent_ms = [spent * 1_000 for connection, _ in made for spent in connection.spent_s]
    return {
        "good": len(spent_ms),
        "bad": sum(connection.bad for connection, _ in made),
        "seconds": time.perf_counter() - begun_s,
        "p50_ms": percentile(spent_ms, 50) if spent_ms else 0.0,
        "p99_ms": percentile(spent_ms, 99) if spent_ms else 0.0,
    }


if __name__ == "__main__":
    answer = asyncio.run(put(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
    sys.stdout.write(json.dumps(answer) + "\n")
