"""The Kubernetes driver: a namespace of a cluster, reached over its HTTP interface.

An attempt is a claim (a ConfigMap named after the attempt's key), a Secret with what its tasks are
told, and Jobs with a pod per task (`manifests`). One watch each for claims, Jobs and pods keeps a
copy of what is ours (`mirror`); what pods say of their ends is written down on the hub's disk
(`record`) and told from there (`observer`). Stops are a wish in the claim, carried out by whichever
hub looks after the site (`keeper`); pods that start later read it themselves. Nothing runs twice,
because names are made of keys and a name exists once (`starting`).
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

    from fenglin.drivers.kubernetes.site import KubernetesDriver
    from fenglin.ports.driver import DriverContext

__all__ = ["driver"]
CAPABILITIES = frozenset(
    {
        Capability.ARRAYS,
        Capability.ARTIFACTS,
        Capability.FENCE,
        Capability.FOLLOW,
        Capability.IMAGES,
        Capability.INPUTS,
        Capability.MEMORY_LIMIT,
        Capability.SECRETS,
        Capability.STOP_TASKS,
    }
)


@driver_kind("A namespace of a Kubernetes cluster.", CAPABILITIES, PlacementKind.DELEGATED)
def driver(context: DriverContext, settings: Mapping[str, object]) -> KubernetesDriver:
    """Return the driver of a namespace.

    Raises:
        InputError: a setting is unknown, missing or wrong, or the `kubernetes` extra is not
            installed.
    """
    where = f"site.{context.site}"
    if find_spec("lightkube") is None:
        raise InputError(
            "the Kubernetes driver needs the package lightkube",
            where=where,
            hint="pip install 'fenglin[kubernetes]'",
        )
    # Loaded here: hubs without such a site neither have nor wait for it.
    from fenglin.drivers.kubernetes.settings import read_settings  # noqa: PLC0415
    from fenglin.drivers.kubernetes.site import KubernetesDriver  # noqa: PLC0415

    return KubernetesDriver(context, read_settings(settings, where))
