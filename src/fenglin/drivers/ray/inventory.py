"""What a cluster holds: how many places of each flavor its living nodes have room for.

The hub's nodes of a delegated site are places, not machines: `std-0` is "as much as one node of
the flavor std", and Ray picks where. A large machine has room for several.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from fenglin.catalog.devices import lookup
from fenglin.errors import DriverError
from fenglin.ports.driver import SiteReport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.drivers.ray.rest import RayNode
    from fenglin.drivers.ray.settings import RaySettings
    from fenglin.model.site import Flavor
    from fenglin.ports.driver import StartOrder

TYPE_PREFIX = "accelerator_type:"
MARK = 0.001
# How Ray counts cards, by vendor, where it does not count them as GPU.
_COUNTED = {"Huawei": "NPU"}
# What confines a process to its cards, by vendor.
_VARIABLES = {
    "NVIDIA": "CUDA_VISIBLE_DEVICES",
    "Huawei": "ASCEND_RT_VISIBLE_DEVICES",
    "AMD": "HIP_VISIBLE_DEVICES",
    "Hygon": "HIP_VISIBLE_DEVICES",
}


def report(settings: RaySettings, nodes: Sequence[RayNode], session: str) -> SiteReport:
    """Return what the site holds, of what is declared."""
    room = {
        flavor.name: sum(_places(settings, flavor, node) for node in nodes if node.up)
        for flavor in settings.flavors
    }
    shown = []
    for node in settings.nodes:
        room[node.flavor] -= 1
        up = room[node.flavor] >= 0
        shown.append(node if node.up == up else replace(node, up=up))
    return SiteReport(settings.flavors, tuple(shown), settings.licences, session)


def custom_needs(
    settings: RaySettings, order: StartOrder, nodes: Sequence[RayNode], where: str
) -> dict[str, float]:
    """Return what one slot of an order takes besides CPU and memory, by Ray's names.

    Raises:
        DriverError: the cluster has other cards only.
    """
    flavor = next((f for f in settings.flavors if f.name == order.flavor), None)
    needs: dict[str, float] = {}
    if order.flavor in settings.resources:
        needs[settings.resources[order.flavor]] = MARK
    cards = order.resources.accelerator_milli / 1_000
    if not cards or flavor is None:
        return needs
    needs[card_resource(flavor.accelerator)] = cards
    kinds = {kind for node in nodes if node.up for kind in _kinds(node)}
    same = sorted(kind for kind in kinds if _same(kind, flavor.accelerator))
    if same:
        needs[TYPE_PREFIX + same[0]] = MARK
    elif kinds:
        raise DriverError(
            f"the cluster has no {flavor.accelerator}, only {', '.join(sorted(kinds))}",
            where=where,
            hint="correct the flavor's accelerator",
        )
    return needs


def card_resource(accelerator: str) -> str:
    """Return as what Ray counts cards of a model."""
    device = lookup(accelerator)
    return _COUNTED.get(device.vendor, "GPU") if device is not None else "GPU"


def cards_variable(accelerator: str) -> str:
    """Return the variable that confines a process to its cards; empty when none is known."""
    device = lookup(accelerator)
    return _VARIABLES.get(device.vendor, "") if device is not None else ""


def _places(settings: RaySettings, flavor: Flavor, node: RayNode) -> int:
    """Return how many places of a flavor a node has room for."""
    total = node.resources_total or {}
    mark = settings.resources.get(flavor.name)
    if mark is not None and mark not in total:
        return 0
    bounds = [_fits(total.get("CPU", 0) * 1_000, flavor.node.cpu_milli)]
    if flavor.node.accelerator_milli:
        kinds = _kinds(node)
        if kinds and not any(_same(kind, flavor.accelerator) for kind in kinds):
            return 0
        cards = total.get(card_resource(flavor.accelerator), 0) * 1_000
        bounds.append(_fits(cards, flavor.node.accelerator_milli))
    # Ray keeps part of a machine's memory for its own object store.
    bounds.append(_fits(total.get("memory", 0), flavor.node.memory_bytes))
    return min(bounds)


def _fits(have: float, need: int) -> int:
    return int(have // need) if need else 1_000_000


def _kinds(node: RayNode) -> list[str]:
    """Return the models that a node says it has."""
    names = node.resources_total or {}
    return [n.removeprefix(TYPE_PREFIX) for n in names if n.startswith(TYPE_PREFIX)]


def _same(kind: str, accelerator: str) -> bool:
    # Ray writes A100-80G where the maker writes A100-80GB.
    device = lookup(kind) or lookup(f"{kind}B")
    return kind.casefold() == accelerator.casefold() or (
        device is not None and device == lookup(accelerator)
    )
