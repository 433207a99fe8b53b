"""Runs an agent in the foreground until SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fenglin.agent.link import HttpLink
from fenglin.agent.loop import Agent
from fenglin.agent.settings import AgentFile, read_agent_file, tls_context
from fenglin.agent.state import State
from fenglin.daemon import log_to, owned
from fenglin.ports.discovery import load_factory

if TYPE_CHECKING:
    from collections.abc import Callable

    from fenglin.client.settings import Settings


def run_agent(hub: Settings, site: str, config: Path | None, data: Path | None) -> int:
    """Run a site's agent until SIGTERM or SIGINT; return the exit code.

    Args:
        hub: Where the hub is, and the site's token.
        site: Name of the site in the hub's configuration.
        config: The agent's own file; None for a site that is this machine.
        data: Folder of its state; None takes the file's.

    Raises:
        FenglinError: it cannot start, or the hub refuses for good; says why.
    """
    file = read_agent_file(config) if config is not None else AgentFile()
    base = config.parent if config is not None else Path()
    log_to(sys.stderr, file.log, "log")
    folder = (data if data is not None else base / file.data).absolute()
    tls = tls_context(file.tls, base) if hub.hub.startswith("https:") else None
    factory = load_factory(file.driver, "driver")
    with owned(folder, "agent"):
        state = State(folder)

        def make() -> Agent:
            return Agent(
                HttpLink(hub.hub, site, hub.token, tls),
                state,
                folder,
                site=site,
                driver=(file.driver, factory),
                settings=file.settings,
                now_ms=lambda: time.time_ns() // 1_000_000,
            )

        asyncio.run(_until_stopped(make))
    return 0


async def _until_stopped(make: Callable[[], Agent]) -> None:
    """Run an agent until a signal asks for its end."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    agent = make()
    running = asyncio.create_task(agent.run())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
    finally:
        for task in (running, stopping):
            task.cancel()
        await asyncio.gather(running, stopping, return_exceptions=True)
        await agent.close()
