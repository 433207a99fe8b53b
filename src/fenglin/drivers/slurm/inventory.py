"""What a cluster holds: how many nodes of a flavor's partition are usable, and its limits.

The hub's nodes of a delegated site are places, not machines: `std-0` is "one node of the flavor
std", and Slurm picks which. So as many places are up as the partition has usable nodes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec
import structlog

from fenglin.drivers.slurm.parse import card_type
from fenglin.errors import DriverError
from fenglin.ports.driver import SiteReport

if TYPE_CHECKING:
    from fenglin.drivers.slurm.cluster import Cluster
    from fenglin.drivers.slurm.commands import Limits
    from fenglin.drivers.slurm.parse import PartNode
    from fenglin.drivers.slurm.settings import SlurmSettings
    from fenglin.model.site import Node
    from fenglin.ports.driver import StartOrder

LIMITS_FOR_S = 600.0

_log = structlog.get_logger("fenglin.slurm")


class Inventory:
    """Asks one cluster, and remembers what rarely changes."""

    def __init__(self, slurm: Cluster, settings: SlurmSettings, where: str) -> None:
        """Take the cluster and what the configuration declares."""
        self._slurm = slurm
        self._settings = settings
        self._where = where
        self._limits: Limits | None = None
        self._limits_s = 0.0
        self._nodes: tuple[PartNode, ...] = ()
        self._licences: dict[str, int] | None = None
        self._down: dict[str, str] = {}

    async def report(self, generation: str) -> SiteReport:
        """Return what the site holds now.

        Raises:
            DriverError: Slurm cannot be asked, or a flavor's partition does not exist.
        """
        self._nodes = await self._slurm.nodes()
        self._tell()
        settings = self._settings
        self._licences = await self._slurm.licences()
        licences = _licences(settings.licences, self._licences)
        usable = {flavor.name: self._usable(flavor.name) for flavor in settings.flavors}
        nodes = []
        for node in settings.nodes:
            usable[node.flavor] -= 1
            nodes.append(_shown(node, up=usable[node.flavor] >= 0))
        return SiteReport(settings.flavors, tuple(nodes), licences, generation)

    def _tell(self) -> None:
        """Log what has changed of the nodes that take no jobs, with the reasons."""
        ours = {partition.name for partition in self._settings.partitions.values()}
        down = {n.name: n.problem for n in self._nodes if not n.up and n.partition in ours}
        for name in sorted(down.keys() | self._down.keys()):
            if down.get(name) != self._down.get(name):
                say = _log.warning if name in down else _log.info
                say("slurm_node", where=self._where, node=name, problem=down.get(name, ""))
        self._down = down

    async def limits(self) -> Limits:
        """Return what the cluster allows, at most ten minutes old.

        Raises:
            DriverError: Slurm cannot be asked.
        """
        now_s = time.monotonic()
        if self._limits is None or now_s > self._limits_s + LIMITS_FOR_S:
            self._limits = await self._slurm.limits()
            self._limits_s = now_s
        return self._limits

    async def licences(self, order: StartOrder) -> str:
        """Return the licences of a task as `sbatch` is told, of those that the cluster counts.

        Raises:
            DriverError: they could not be listed.
        """
        if order.licences and self._licences is None:
            self._licences = await self._slurm.licences()
        known = self._licences or {}
        return ",".join(f"{name}:{count}" for name, count in order.licences if name in known)

    async def card(self, order: StartOrder) -> str:
        """Return how the cluster spells the cards of an order's flavor.

        Raises:
            DriverError: its partition has typed cards, and none is that model.
        """
        partition = self._settings.partitions.get(order.flavor)
        if partition is None or partition.gres:
            return partition.gres if partition is not None else ""
        if not self._nodes:
            self._nodes = await self._slurm.nodes()
        model = next((f.accelerator for f in self._settings.flavors if f.name == order.flavor), "")
        kinds = frozenset(
            kind
            for node in self._nodes
            if node.partition == partition.name
            for kind, _ in node.cards
        )
        try:
            return card_type(model, kinds)
        except LookupError as error:
            raise DriverError(
                f"partition {partition.name} has no {model}, only {', '.join(sorted(kinds))}",
                where=self._where,
                hint=f"set partition.{order.flavor}.gres to the type that is meant",
            ) from error

    def _usable(self, flavor: str) -> int:
        """Return how many nodes of a flavor take jobs now or after their present ones."""
        partition = self._settings.partitions[flavor]
        listed = [node for node in self._nodes if node.partition == partition.name]
        if not listed:
            known = ", ".join(sorted({node.partition for node in self._nodes}))
            raise DriverError(
                f"there is no partition {partition.name}",
                where=self._where,
                hint=f"set partition.{flavor}; the cluster has: {known or 'none that we may see'}",
            )
        wanted = set(partition.constraint.split("&")) if _is_plain(partition.constraint) else set()
        return sum(node.up and wanted <= set(node.features) for node in listed)


def _licences(
    declared: tuple[tuple[str, int], ...], there: dict[str, int]
) -> tuple[tuple[str, int], ...]:
    """Return what jobs of ours may hold: what there is, or as much of it as was declared.

    What only the configuration knows, the hub counts by itself.
    """
    own = {name: min(count, there.get(name, count)) for name, count in declared}
    return tuple(sorted({**there, **own}.items()))


def _is_plain(constraint: str) -> bool:
    """Return whether a constraint is a plain list of features joined by `&`."""
    return bool(constraint) and not set(constraint) & set("|*()[]")


def _shown(node: Node, *, up: bool) -> Node:
    return node if node.up == up else msgspec.structs.replace(node, up=up)
