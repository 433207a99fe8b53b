"""The line to the hub: what the agent says over it, and how that goes over HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from typing import TYPE_CHECKING, Protocol

from fenglin.client.agents import (
    agent_answers,
    agent_artifact,
    agent_hello,
    agent_input,
    agent_orders,
)
from fenglin.client.aio import AsyncClient
from fenglin.client.aiotransport import AsyncTransport
from fenglin.client.retry import Retry
from fenglin.errors import UnavailableError

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from fenglin.wire.agent_views import Answers, Hello, Orders, OrdersAsk, Welcome

# The agent has a patience of its own; a line that hangs is noticed soon.
TIMEOUT_S = 15.0


class Link(Protocol):
    """A hub, reached. Every call raises a FenglinError; UnavailableError may pass."""

    async def hello(self, hello: Hello) -> Welcome:
        """Begin a session."""
        ...

    async def orders(self, ask: OrdersAsk, wait_s: float) -> Orders:
        """Wait for orders."""
        ...

    async def answers(self, answers: Answers) -> None:
        """Answer orders."""
        ...

    async def fetch(self, key: str, digest: str, goal: Path) -> None:
        """Fetch an input; it appears whole, with the content that its digest tells."""
        ...

    async def bring(self, place: tuple[str, int, str], file: Path, *, executable: bool) -> None:
        """Bring a file that a task (key, index, path) left."""
        ...

    def close(self) -> None:
        """Hang up."""
        ...


class HttpLink:
    """A hub over HTTP, with a site's token and, for TLS, certificates."""

    def __init__(self, hub: str, site: str, token: str, tls: ssl.SSLContext | None = None) -> None:
        """Take where the hub is and as whom to speak; opens no connection yet."""
        self._site = site
        self._transport = AsyncTransport(
            hub, token, timeout_s=TIMEOUT_S, retry=Retry(tries=1), tls=tls
        )
        self._client = AsyncClient(self._transport)

    async def hello(self, hello: Hello) -> Welcome:
        """See `Link`."""
        return await self._client.call(agent_hello(self._site, hello))

    async def orders(self, ask: OrdersAsk, wait_s: float) -> Orders:
        """See `Link`."""
        return await self._client.call(agent_orders(self._site, ask, wait_s))

    async def answers(self, answers: Answers) -> None:
        """See `Link`."""
        await self._transport.send(agent_answers(self._site, answers))

    async def fetch(self, key: str, digest: str, goal: Path) -> None:
        """See `Link`."""
        draft = goal.with_name(f"{digest}.{secrets.token_hex(4)}")
        seen = hashlib.sha256()
        try:
            with draft.open("xb") as file:
                async with self._transport.stream(agent_input(self._site, key, digest)) as pieces:
                    async for piece in pieces:
                        seen.update(piece)
                        await asyncio.to_thread(file.write, piece)
            if seen.hexdigest() != digest:
                raise UnavailableError(
                    "an input changed on its way, or at the hub while it was read", where=digest
                )
            draft.replace(goal)
        finally:
            draft.unlink(missing_ok=True)

    async def bring(self, place: tuple[str, int, str], file: Path, *, executable: bool) -> None:
        """See `Link`."""
        await self._transport.send(agent_artifact(self._site, place, file, executable=executable))

    def close(self) -> None:
        """See `Link`."""
        self._client.close()
