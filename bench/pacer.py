"""Clients that keep a pace: each sends its next request when it is due, on a connection of its own.

One process for all of them, over raw sockets, so that it takes little of the processor away from
the hub. A client has one request on its way; one that is late sends at once, and does not make up
for what it has missed.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.figures import percentile

ANSWER_WITHIN_S = 60.0
# Late by less than this is the timer's fault and is made up for.
SLACK_S = 1.0


@dataclass(slots=True)
class Seen:
    """What the clients of one kind have seen.

    Attributes:
        spent_ms: Of each good answer, from its sending.
        at_s: When each came, from the begin.
        bad: Answers that were not good, and connections that broke.
        why: Of one of those.
    """

    spent_ms: list[float] = field(default_factory=list)
    at_s: list[float] = field(default_factory=list)
    bad: int = 0
    why: str = ""


async def client(order: dict[str, Any], kind: dict[str, Any], number: int, seen: Seen) -> None:
    """Send one client's requests until the time is over."""
    parts = urlsplit(order["url"])
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    step_s = kind["clients"] / kind["per_s"]
    begun = time.perf_counter()
    end_s, due_s = begun + order["seconds"], begun + step_s * number / kind["clients"]
    head = f"Host: {parts.netloc}\r\nAuthorization: Bearer {order['token']}\r\n"
    sent = 0
    try:
        while due_s < end_s:
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            method, path, body = kind["requests"][
                (number + sent * kind["clients"]) % len(kind["requests"])
            ]
            asked_s = time.perf_counter()
            text = json.dumps(body) if body is not None else ""
            key = f"Idempotency-Key: {begun}-{number}-{sent}\r\n" if body is not None else ""
            writer.write(
                f"{method} {path} HTTP/1.1\r\n{head}{key}Content-Type: application/json\r\n"
                f"Content-Length: {len(text)}\r\n\r\n{text}".encode()
            )
            async with asyncio.timeout(ANSWER_WITHIN_S):
                status, answer = await _answer(reader)
            now_s = time.perf_counter()
            sent += 1
            if status < 300:
                seen.spent_ms.append((now_s - asked_s) * 1_000)
                seen.at_s.append(now_s - begun)
            else:
                seen.bad += 1
                seen.why = f"{status} {answer[:200]!r}"
            due_s = max(due_s + step_s, now_s - SLACK_S)
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        seen.bad += 1
        seen.why = f"{type(error).__name__}: {error}"
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return int(head[9:12]), await reader.readexactly(length)


async def put(order: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Put all kinds of load on at once; return what was seen of each."""
    seen = {name: Seen() for name in order["kinds"]}
    await asyncio.gather(
        *(
            client(order, kind, number, seen[name])
            for name, kind in order["kinds"].items()
            for number in range(kind["clients"])
        )
    )
    return {
        name: {
            "per_s": len(one.spent_ms) / order["seconds"],
            "p50_ms": percentile(one.spent_ms, 50) if one.spent_ms else 0.0,
            "p99_ms": percentile(one.spent_ms, 99) if one.spent_ms else 0.0,
            "most_ms": max(one.spent_ms, default=0.0),
            "bad": one.bad,
            "why": one.why,
        }
        for name, one in seen.items()
    }


if __name__ == "__main__":
    answer = asyncio.run(put(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
    sys.stdout.write(json.dumps(answer) + "\n")
