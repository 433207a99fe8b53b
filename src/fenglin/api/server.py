"""Runs the door on a socket, inside an event loop that somebody else owns."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.server import Server

from fenglin.api.protocol import MAX_CONNECTIONS, GuardedProtocol
from fenglin.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fenglin.api.door import Door

KEEP_ALIVE_S = 30
GRACE_S = 2
CANCEL_S = 1.0
BACKLOG = 512


class _Server(Server):
    """Uvicorn's server, told when it has started, and without its signal handlers."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None] | None) -> None:
        super().__init__(config)
        self._tell = started

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the owner of the process."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take connections, and say so."""
        await super().startup(sockets)
        if self._tell is not None:
            self._tell()


def bind(host: str, port: int) -> socket.socket:
    """Return a listening-ready socket, so that the port is known before anything is served.

    Args:
        host: Address or name; an IPv6 address without brackets.
        port: 0 lets the system choose; read it from `getsockname()`.

    Raises:
        UnavailableError: The address cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        except OSError:
            bound.close()
            raise
    except OSError as error:
        raise UnavailableError(
            f"cannot listen: {error.strerror or error}",
            where=f"{host}:{port}",
            hint="another hub may be running; choose another address with --listen",
        ) from None
    return bound


async def serve(
    app: Door,
    *,
    sockets: Sequence[socket.socket],
    stop: asyncio.Event,
    started: Callable[[], None] | None = None,
    max_connections: int = MAX_CONNECTIONS,
    grace_s: int = GRACE_S,
) -> None:
    """Serve until `stop` is set, then end open requests within `grace_s` and return.

    Args:
        app: From `create_app`.
        sockets: Bound, such as by `bind`; closed at the end.
        stop: Set by the owner of the process, for example on SIGTERM.
        started: Called once connections are being taken.
        max_connections: Connections beyond this are told to come back later.
        grace_s: How long requests may still run; long polls and followed logs end at once.
    """
    config = uvicorn.Config(
        app,
        http=GuardedProtocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        # Its warnings repeat what a client sent wrong; our own log tells what matters.
        log_level="critical",
        server_header=False,
        proxy_headers=False,
        limit_concurrency=max_connections,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=grace_s,
        backlog=BACKLOG,
    )
    server = _Server(config, started)

    async def watch() -> None:
        await stop.wait()
        app.begin_stop()
        server.should_exit = True

    watcher = asyncio.create_task(watch(), name="api-stop")
    try:
        await server.serve(list(sockets))
        if server.server_state.tasks:
            # Cancelled by now; they must have let go of the hub before it is closed.
            await asyncio.wait(server.server_state.tasks, timeout=CANCEL_S)
    finally:
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
