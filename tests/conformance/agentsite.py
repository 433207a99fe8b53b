"""A site that dials in, in one process: mailbox, agent, and a line between them that can be cut."""

import asyncio
import contextlib
import time

import msgspec

from fenglin.agent.loop import Agent
from fenglin.agent.state import State
from fenglin.client.retry import Retry
from fenglin.drivers.agent import driver as agent_driver
from fenglin.drivers.local import driver as local_driver
from fenglin.errors import UnavailableError
from fenglin.wire import agent_views as words

EPOCH = 7
AT_ONCE = Retry(base_s=0.01, cap_s=0.05)


def sent(value, kind):
    """Return what arrives of a message: it goes over the line as JSON."""
    return msgspec.json.decode(msgspec.json.encode(value), type=kind)


class Line:
    """The agent's link to whichever mailbox is the present one; implements `agent.link.Link`."""

    def __init__(self, hub, site):
        self.hub, self.site = hub, site
        self.mailbox = None
        self.declared = ()
        self.epoch = EPOCH
        self.whole = asyncio.Event()
        self.whole.set()
        self.hangs = False
        self.deaf = asyncio.Event()
        self.carried = []
        self._open = set()

    def plug(self, mailbox, declared):
        """Let the line end at another mailbox: what was under way breaks."""
        self.mailbox, self.declared = mailbox, declared
        self.break_off()

    def break_off(self):
        for call in list(self._open):
            call.cancel()

    async def _over(self, call):
        """Run a call of the hub's side; it fails when the line is cut meanwhile."""
        if not self.whole.is_set() or self.mailbox is None:
            call.close()
            raise UnavailableError("the line is cut")
        task = asyncio.ensure_future(call)
        self._open.add(task)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.cancelled():
                task.cancel()
                raise
            raise UnavailableError("the line was cut") from None
        finally:
            self._open.discard(task)

    async def hello(self, hello):
        async def answer():
            flavors, nodes, licences = self.declared
            return words.Welcome(
                protocol=words.agree(words.PROTOCOL, hello.protocol, agent=False),
                hub=self.hub,
                epoch=self.epoch,
                session=self.mailbox.hello(sent(hello, words.Hello)),
                box=self.mailbox.box,
                flavors=flavors,
                nodes=nodes,
                licences=licences,
            )

        return sent(await self._over(answer()), words.Welcome)

    async def orders(self, ask, wait_s):
        async def answer():
            found = await self.mailbox.orders(sent(ask, words.OrdersAsk), wait_s)
            return words.Orders(self.hub, self.epoch, found)

        batch = sent(await self._over(answer()), words.Orders)
        self.carried += [order.kind for order in batch.orders]
        return batch

    async def answers(self, answers):
        async def answer():
            if self.hangs:
                await asyncio.Event().wait()
            self.mailbox.take(sent(answers, words.Answers))

        await self._over(answer())

    async def fetch(self, key, digest, goal):
        async def answer():
            source = await self.mailbox.input(key, digest)
            await asyncio.to_thread(goal.write_bytes, source.read_bytes())

        await self._over(answer())

    async def bring(self, place, file, *, executable):
        async def pieces():
            yield await asyncio.to_thread(file.read_bytes)

        await self._over(self.mailbox.keep(place, pieces(), executable=executable))

    def close(self):
        self.break_off()


class DialledSite:
    """One hub's agent at a folder, started when the first driver is built."""

    def __init__(self, hub, site, folder):
        self.line = Line(hub, site)
        self.folder = folder
        self.agent = self.running = None

    def begin(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.agent = Agent(
            self.line,
            State(self.folder),
            self.folder,
            site=self.line.site,
            driver=("local", local_driver),
            settings={},
            now_ms=lambda: time.time_ns() // 1_000_000,
            backoff=AT_ONCE,
        )
        self.running = asyncio.ensure_future(self.agent.run())

    async def end(self):
        if self.running is None:
            return
        self.running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.running
        await self.agent.close()
        self.running = None


__all__ = ["AT_ONCE", "EPOCH", "DialledSite", "Line", "agent_driver", "local_driver", "sent"]
