"""The Ray driver: a cluster with a scheduler of its own, reached by the REST API of Ray's jobs.

An attempt is one job whose submission id is the attempt's key. What fits in one place (the slots
of one share) runs in the job's entrypoint itself, on the node where Ray has room for it; what
needs several places is dealt out to actors, spread over the nodes (`node`). All news, output and
artifacts go into the job's log, which is followed and brought home line by line (`observer`,
`spool`). A cluster is losable: what ran in a former life of it has ended when a new life has stood
at its address for a while.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from fenglin.errors import InputError
from fenglin.model.states import PlacementKind
from fenglin.ports.discovery import driver_kind
from fenglin.ports.driver import Capability

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fenglin.drivers.ray.site import RayDriver
    from fenglin.ports.driver import DriverContext

__all__ = ["driver"]
START_MS = 4_000
APART = 4
CAPABILITIES = frozenset(
    {
        Capability.ARRAYS,
        Capability.ARTIFACTS,
        Capability.FOLLOW,
        Capability.INPUTS,
        Capability.MEMORY_LIMIT,
        Capability.METERS,
    }
)


# A job of one place needs no actors, which take as long again to come as the job itself.
@driver_kind(
    "A Ray cluster, by its jobs API.", CAPABILITIES, PlacementKind.DELEGATED, START_MS, apart=APART
)
def driver(context: DriverContext, settings: Mapping[str, object]) -> RayDriver:
    """Return the driver of a Ray cluster.

    Raises:
        InputError: a setting is unknown, missing or wrong, or the `ray` extra is not installed.
    """
    where = f"site.{context.site}"
    if find_spec("httpx") is None:
        raise InputError(
            "the Ray driver needs the package httpx", where=where, hint="pip install 'fenglin[ray]'"
        )
    # Loaded here: hubs without such a site do not wait for it.
    from fenglin.drivers.ray.settings import read_settings  # noqa: PLC0415
    from fenglin.drivers.ray.site import RayDriver  # noqa: PLC0415

    return RayDriver(context, CAPABILITIES, read_settings(settings, where))
