"""The local driver: a site on this machine whose tasks are real processes.

One small runner process per attempt (`fenglin.runner`) is the parent of the tasks and outlives
the hub; this side only makes attempt folders, starts runners, and reads what they wrote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.drivers.local.settings import check_machine, read_settings
from fenglin.drivers.local.site import LocalDriver
from fenglin.ports.discovery import driver_kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fenglin.ports.driver import DriverContext

__all__ = ["driver"]


@driver_kind("Processes on the hub's own machine.", LocalDriver.capabilities)
def driver(context: DriverContext, settings: Mapping[str, object]) -> LocalDriver:
    """Return the driver of a site on this machine.

    Raises:
        InputError: a setting is unknown or wrong, or this machine cannot run tasks.
    """
    where = f"site.{context.site}"
    check_machine(where)
    return LocalDriver(context, read_settings(settings, where))
