"""The witness's door: one POST, served by uvicorn."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import structlog

from fenglin.errors import FenglinError
from fenglin.witness.rules import MAX_REQUEST_BYTES, PLAIN, Answer

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from fenglin.witness.rules import Witness

    Message = dict[str, Any]

PATH = "/add-checkpoint"
_BODY_S = 10.0
_MOST_OPEN = 64
_KEEP_ALIVE_S = 5

_log = structlog.get_logger("fenglin.witness")


def door(witness: Witness) -> Callable[..., Awaitable[None]]:
    """Return the ASGI application."""
    one_at_a_time = asyncio.Lock()

    async def app(
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["type"] != "http":
            return
        answer = await _answer(witness, one_at_a_time, scope, receive)
        body = answer.text.encode()
        headers = [
            (b"content-type", answer.kind.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"x-content-type-options", b"nosniff"),
        ]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


async def _answer(
    witness: Witness,
    one_at_a_time: asyncio.Lock,
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
) -> Answer:
    """Read the request within bounds and have it judged."""
    if scope["path"] != PATH:
        return Answer(HTTPStatus.NOT_FOUND, PLAIN, f"POST {PATH} is all there is\n")
    if scope["method"] != "POST":
        return Answer(HTTPStatus.METHOD_NOT_ALLOWED, PLAIN, "POST it\n")
    try:
        async with asyncio.timeout(_BODY_S):
            body = await _body(receive)
    except TimeoutError:
        return Answer(HTTPStatus.REQUEST_TIMEOUT, PLAIN, "the request took too long\n")
    if body is None:
        return Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, PLAIN, "too large\n")
    async with one_at_a_time:
        try:
            answer = await asyncio.to_thread(witness.add_checkpoint, body)
        except FenglinError as error:
            _log.error("witness_cannot_work", what=str(error))
            return Answer(HTTPStatus.INTERNAL_SERVER_ERROR, PLAIN, "the witness cannot work\n")
    _log.info("checkpoint_judged", status=int(answer.status), said=answer.text.strip()[:200])
    return answer


async def _body(receive: Callable[[], Awaitable[Message]]) -> bytes | None:
    """Return the request's body; None when it is too large."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b""
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_REQUEST_BYTES:
            return None
        if not message.get("more_body"):
            return b"".join(parts)


async def serve(witness: Witness, sock: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT."""
    import uvicorn  # noqa: PLC0415 - `fenglin --help` need not wait for it

    config = uvicorn.Config(
        door(witness),
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        limit_concurrency=_MOST_OPEN,
        timeout_keep_alive=_KEEP_ALIVE_S,
        h11_max_incomplete_event_size=16 * 1024,
    )
    await uvicorn.Server(config).serve(sockets=[sock])
