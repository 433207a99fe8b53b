"""The agent driver: a site that takes no connection from outside and dials in itself.

Calls become orders in a mailbox that the site's agent (`fenglin agent`) empties; there another
driver carries them out. What each attempt needs from this machine stands in a note.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.drivers.agent.site import AgentDriver, read_settings
from fenglin.ports.discovery import driver_kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fenglin.ports.driver import DriverContext

__all__ = ["driver"]


@driver_kind("A site that dials in by an agent of its own.", AgentDriver.capabilities)
def driver(context: DriverContext, settings: Mapping[str, object]) -> AgentDriver:
    """Return the driver of a site that dials in.

    Raises:
        InputError: a setting is unknown or wrong.
    """
    return AgentDriver(context, read_settings(settings, f"site.{context.site}"))
