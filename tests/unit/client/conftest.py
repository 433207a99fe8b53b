"""Both clients behind one face, so that each test says what the two must do alike."""

import asyncio
import inspect
from contextlib import contextmanager

import pytest

from fenglin.client import Client
from fenglin.client.aio import AsyncClient
from fenglin.client.aiotransport import AsyncTransport
from fenglin.client.transport import Transport


class Blocked:
    """Runs an `AsyncClient` on an event loop of its own, call by call."""

    def __init__(self, hub, token="", *, sleep=None, **more):
        async def pause(wait_s):
            sleep(wait_s)

        # The loop last: an address that is refused leaves none behind.
        self._client = AsyncClient(AsyncTransport(hub, token, sleep=pause, **more))
        self._loop = asyncio.new_event_loop()

    def close(self):
        self._client.close()
        self._run(asyncio.sleep(0.001))  # closed sockets are let go of in the next round

    def end(self):
        self.close()
        self._loop.close()

    def _run(self, work):
        return self._loop.run_until_complete(work)

    def _all(self, pieces):
        try:
            while True:
                yield self._run(anext(pieces))
        except StopAsyncIteration:
            return

    @contextmanager
    def _opened(self, manager):
        pieces = self._run(manager.__aenter__())
        try:
            yield self._all(pieces)
        finally:
            self._run(manager.__aexit__(None, None, None))

    def __getattr__(self, name):
        method = getattr(self._client, name)

        def call(*args, **more):
            found = method(*args, **more)
            if inspect.iscoroutine(found):
                return self._run(found)
            return self._opened(found) if hasattr(found, "__aenter__") else self._all(found)

        return call


@pytest.fixture(params=["blocking", "async"])
def connect(request):
    """Return a function that connects with either client, and close what it made."""
    made = []

    def build(hub, token="", **more):
        if request.param == "async":
            made.append(Blocked(hub, token, **more))
        else:
            made.append(Client(Transport(hub, token, **more)))
        return made[-1]

    yield build
    for one in made:
        one.end() if isinstance(one, Blocked) else one.close()
