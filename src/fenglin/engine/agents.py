"""The room of agents: who may speak for a site, and what a site is told when it dials in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.errors import NotFoundError
from fenglin.ports.agent import HasMailbox
from fenglin.wire.agent_views import POLL_S, PROTOCOL, Orders, Welcome, agree

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fenglin.engine.pool import Pool
    from fenglin.ports.agent import Mailbox
    from fenglin.ports.driver import Driver
    from fenglin.ports.hub import Principal
    from fenglin.wire.agent_views import Answers, Hello, OrdersAsk


class Agents:
    """Implements `ports.agent.AgentDesk`."""

    def __init__(self, pool: Pool, drivers: Mapping[str, Driver]) -> None:
        """Take the drivers; those that have a mailbox are reached by agents."""
        self._pool = pool
        self._mailboxes = {
            site: driver.mailbox
            for site, driver in drivers.items()
            if isinstance(driver, HasMailbox)
        }

    async def hello(self, site: str, hello: Hello, who: Principal) -> Welcome:
        """See `ports.agent.AgentDesk`."""
        mailbox = self.mailbox(site, who)
        protocol = agree(PROTOCOL, hello.protocol, agent=False)
        session = mailbox.hello(hello)
        declared = self._pool.sites[site].site
        return Welcome(
            protocol=protocol,
            hub=self._pool.hub,
            epoch=self._pool.epoch,
            session=session,
            box=mailbox.box,
            flavors=declared.flavors,
            nodes=declared.nodes,
            licences=declared.licences,
            poll_s=POLL_S,
        )

    async def orders(self, site: str, ask: OrdersAsk, who: Principal) -> Orders:
        """See `ports.agent.AgentDesk`."""
        found = await self.mailbox(site, who).orders(ask, POLL_S)
        return Orders(self._pool.hub, self._pool.epoch, found)

    def take(self, site: str, answers: Answers, who: Principal) -> None:
        """See `ports.agent.AgentDesk`."""
        self.mailbox(site, who).take(answers)

    def mailbox(self, site: str, who: Principal) -> Mailbox:
        """See `ports.agent.AgentDesk`."""
        mailbox = self._mailboxes.get(site)
        if mailbox is None or not (who.party == site or who.may("admin")):
            raise NotFoundError(
                f"there is no site {site[:80]!r} that dials in",
                hint='its block in the hub\'s configuration needs driver = "agent"',
            )
        return mailbox
