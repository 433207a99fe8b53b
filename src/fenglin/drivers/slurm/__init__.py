"""The Slurm driver: a site with a scheduler of its own, reached by Slurm's commands.

An attempt is one Slurm job array named after the attempt's key, with an element per task where
the cluster allows so many (`layout`). Each element is the same runner that the local driver uses
(`element`), in a folder of its own on the file system that hub and nodes share (`shared`); the
hub merges their journals into one (`attempt`). Slurm is asked once for all attempts whether they
are still there (`observer`), and what it does not answer is not known. Nothing runs twice,
because an attempt is bound to one array and an element to one folder (`submitting`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.drivers.slurm.settings import read_settings
from fenglin.drivers.slurm.site import SlurmDriver
from fenglin.drivers.slurm.transport import LocalCommands

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fenglin.ports.driver import DriverContext

__all__ = ["driver"]


def driver(context: DriverContext, settings: Mapping[str, object]) -> SlurmDriver:
    """Return the driver of a Slurm cluster whose commands run on this machine.

    Raises:
        InputError: a setting is unknown, missing or wrong, or the shared folder cannot be used.
    """
    where = f"site.{context.site}"
    checked = read_settings(settings, where)
    transport = LocalCommands(where, checked.conf, checked.commands)
    return SlurmDriver(context, checked, transport)
