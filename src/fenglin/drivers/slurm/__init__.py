"""The Slurm driver: a site with a scheduler of its own, reached by Slurm's commands.

An attempt is one Slurm job array named after the attempt's key, with an element per task where
the cluster allows so many (`layout`). Each element is the same runner that the local driver uses
(`element`), in a folder of its own on the file system that hub and nodes share (`shared`); the
hub merges their journals into one (`attempt`). Slurm is asked once for all attempts whether they
are still there (`observer`), and what it does not answer is not known. Nothing runs twice,
because an attempt is bound to one array and an element to one folder (`submitting`).

Commands and folders are those of the hub's own machine, or, over SSH, of a login node (`far`).
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from fenglin.drivers.slurm.commands import Slurm
from fenglin.drivers.slurm.ground import Here
from fenglin.drivers.slurm.settings import read_settings
from fenglin.drivers.slurm.shared import Shared
from fenglin.drivers.slurm.site import SlurmDriver, unusable
from fenglin.drivers.slurm.transport import LocalCommands
from fenglin.errors import InputError
from fenglin.model.states import PlacementKind
from fenglin.ports.discovery import driver_kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fenglin.drivers.slurm.cluster import Cluster
    from fenglin.drivers.slurm.settings import SlurmSettings
    from fenglin.ports.driver import DriverContext

__all__ = ["driver"]
# From sbatch to the first element, measured on a quiet cluster of small delays.
START_MS = 1_000
# From the end of an element to the start of the next in its place: slurmctld and slurmd tidy up.
TURN_MS = 300


@driver_kind(
    "A Slurm cluster, by its commands or slurmrestd.",
    SlurmDriver.capabilities,
    PlacementKind.DELEGATED,
    START_MS,
    TURN_MS,
)
def driver(context: DriverContext, settings: Mapping[str, object]) -> SlurmDriver:
    """Return the driver of a Slurm cluster whose commands run here, or on a login node.

    Raises:
        InputError: a setting is unknown, missing or wrong, or the shared folder cannot be used.
    """
    where = f"site.{context.site}"
    checked = read_settings(settings, where)
    if checked.place is not None:
        return _far(context, checked, where)
    try:
        # The folder itself is never made by us: an empty one in its place would be a file
        # system that is not mounted.
        checked.shared_dir.stat()
        shared = Shared(
            checked.shared_dir / context.hub / context.site,
            checked.log_cap_bytes,
            checked.containers,
        )
        shared.begin()
    except OSError as error:
        raise unusable(error, checked.shared_dir, where) from error
    return SlurmDriver(context, checked, _cluster(checked, where), Here(shared), shared)


def _cluster(settings: SlurmSettings, where: str) -> Cluster:
    """Return the way to ask a cluster from this machine."""
    if settings.rest is None:
        return Slurm(LocalCommands(where, settings.conf, settings.commands), where)
    # Loaded here: other sites need no HTTP.
    from fenglin.drivers.slurm.rest import RestSlurm  # noqa: PLC0415

    return RestSlurm(settings.rest, settings.conf, where)


def _far(context: DriverContext, settings: SlurmSettings, where: str) -> SlurmDriver:
    """Return the driver of a cluster that is reached over SSH."""
    if find_spec("asyncssh") is None:
        raise InputError(
            "a Slurm site over SSH needs the package asyncssh",
            where=f"{where}.ssh",
            hint="pip install 'fenglin[ssh]'",
        )
    # Loaded here: hubs without such a site neither have nor wait for asyncssh.
    from fenglin.drivers.slurm.far import FarCommands, Login, There  # noqa: PLC0415

    folder = context.directory / "mirror"
    try:
        shared = Shared(folder, settings.log_cap_bytes, settings.containers)
    except OSError as error:
        raise unusable(error, folder, where) from error
    login = Login(context, settings)
    there = There(login, shared, context.wake)
    slurm = Slurm(FarCommands(login), where)
    return SlurmDriver(context, settings, slurm, there, shared)
