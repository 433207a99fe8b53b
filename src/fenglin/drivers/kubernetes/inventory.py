"""What a cluster holds: how many of its nodes can take pods of each flavor.

The hub's nodes of a delegated site are places, not machines: `std-0` is "one node of the flavor
std", and Kubernetes picks which. So as many places are up as nodes of the group are usable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fenglin.catalog.devices import lookup
from fenglin.catalog.extended_resources import PRODUCT_LABELS, extended_resource
from fenglin.drivers.kubernetes.settings import read_taint
from fenglin.errors import DriverError
from fenglin.model.reason import Reason
from fenglin.ports.driver import SiteReport

if TYPE_CHECKING:
    from fenglin.drivers.kubernetes.cluster import Cluster
    from fenglin.drivers.kubernetes.settings import Group, KubernetesSettings
    from fenglin.drivers.kubernetes.views import Node, Taint
    from fenglin.model.site import Flavor

_KEEPS_OFF = frozenset({"NoSchedule", "NoExecute"})


async def report(cluster: Cluster, settings: KubernetesSettings) -> SiteReport:
    """Return what the site holds now; as declared where we may not see the nodes.

    Raises:
        DriverError: the cluster cannot be asked.
    """
    generation = await cluster.generation()
    found = await cluster.nodes()
    if found is None:
        return SiteReport(settings.flavors, settings.nodes, settings.licences, generation)
    usable = {
        flavor.name: sum(is_usable(node, flavor, settings.groups[flavor.name]) for node in found)
        for flavor in settings.flavors
    }
    nodes = []
    for node in settings.nodes:
        usable[node.flavor] -= 1
        nodes.append(msgspec.structs.replace(node, up=usable[node.flavor] >= 0))
    return SiteReport(settings.flavors, tuple(nodes), settings.licences, generation)


def is_usable(node: Node, flavor: Flavor, group: Group) -> bool:
    """Return whether a node is one of a flavor and takes its pods, now or later."""
    labels = node.metadata.labels
    if any(labels.get(name) != value for name, value in group.selector.items()):
        return False
    ready = any(c.type == "Ready" and c.status == "True" for c in node.status.conditions)
    if not ready or node.spec.unschedulable:
        return False
    if any(
        not _tolerated(taint, group) for taint in node.spec.taints if taint.effect in _KEEPS_OFF
    ):
        return False
    return not flavor.accelerator or _has_cards(node, flavor, group)


def card_resource(settings: KubernetesSettings, flavor: str, where: str) -> str:
    """Return the extended resource of a flavor's cards.

    Raises:
        DriverError: the registry knows none.
    """
    group = settings.groups[flavor]
    model = next((f.accelerator for f in settings.flavors if f.name == flavor), "")
    found = group.resource or extended_resource(model)
    if not found:
        raise DriverError(
            f"no extended resource is known for {model or 'cards of this flavor'}",
            where=where,
            hint=f'set group.{flavor}.resource, such as "nvidia.com/gpu"',
            reason=Reason.ACCELERATOR_UNKNOWN.value,
        )
    return found


def _has_cards(node: Node, flavor: Flavor, group: Group) -> bool:
    """Return whether a node has cards, and none of another model as far as its labels tell."""
    resource = group.resource or extended_resource(flavor.accelerator)
    amount = node.status.allocatable.get(resource, "0")
    if amount in {"", "0"}:
        return False
    wanted = lookup(flavor.accelerator)
    shown = [node.metadata.labels[n] for n in PRODUCT_LABELS if n in node.metadata.labels]
    devices = [device for text in shown if (device := lookup(text)) is not None]
    return wanted is None or all(device is wanted for device in devices)


def _tolerated(taint: Taint, group: Group) -> bool:
    for text in group.tolerations:
        given = read_taint(text)
        if (
            given.key == taint.key
            and given.value in {"", taint.value}
            and given.effect in {"", taint.effect}
        ):
            return True
    return False
