"""Drivers are found by entry point, so that a third party adds one without editing us."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from fenglin.errors import InputError
from fenglin.model.states import PlacementKind

if TYPE_CHECKING:
    from fenglin.model.site import Site
    from fenglin.ports.driver import Capability, Driver, DriverContext, DriverFactory

DRIVER_GROUP = "fenglin.drivers"
D = TypeVar("D", bound="Driver")


@dataclass(frozen=True, slots=True)
class DriverKind(Generic[D]):
    """A factory that says, before any site is configured, what its drivers are.

    Attributes:
        make: Builds a driver.
        purpose: One line for people: what kind of site it reaches.
        capabilities: What its drivers declare at most; a site's own may be fewer.
        placement: Who picks the node.
        start_ms: What it costs such a site to begin one order, however small; pieces of arrays are
            made long enough to bear it.
        turn_ms: For how long such a site keeps a slot to itself between two tasks of an order.
        apart: Up to so many nodes each get an order of their own, where joining them is dearer.
    """

    make: Callable[[DriverContext, Mapping[str, object]], D]
    purpose: str
    capabilities: frozenset[Capability]
    placement: PlacementKind = PlacementKind.NODE
    start_ms: int = 0
    turn_ms: int = 0
    apart: int = 0

    def __call__(self, context: DriverContext, settings: Mapping[str, object]) -> D:
        """Return the driver of one site, as `DriverFactory` tells.

        Raises:
            InputError: a setting is unknown, missing or wrong.
        """
        return self.make(context, settings)


def driver_kind(
    purpose: str,
    capabilities: frozenset[Capability],
    placement: PlacementKind = PlacementKind.NODE,
    start_ms: int = 0,
    turn_ms: int = 0,
    apart: int = 0,
) -> Callable[[Callable[[DriverContext, Mapping[str, object]], D]], DriverKind[D]]:
    """Return the decorator that makes a factory function tell what its drivers are."""

    def decorate(make: Callable[[DriverContext, Mapping[str, object]], D]) -> DriverKind[D]:
        return DriverKind(make, purpose, capabilities, placement, start_ms, turn_ms, apart)

    return decorate


def installed_drivers() -> dict[str, tuple[EntryPoint, ...]]:
    """Return kind → what registers it, sorted by kind; more than one only by a clash."""
    found: dict[str, dict[str, EntryPoint]] = {}
    for point in entry_points(group=DRIVER_GROUP):
        found.setdefault(point.name, {}).setdefault(point.value, point)
    return {kind: tuple(points.values()) for kind, points in sorted(found.items())}


def package_of(points: Iterable[EntryPoint]) -> str:
    """Return the package (or packages) that entry points come from, with the version."""
    return " and ".join(
        f"{point.dist.name} {point.dist.version}" if point.dist else point.module
        for point in points
    )


def load_factory(kind: str, where: str = "") -> DriverFactory:
    """Return what builds drivers of a kind.

    Raises:
        InputError: no installed package has it, or several have, or it cannot be imported.
    """
    known = installed_drivers()
    if kind not in known:
        raise InputError(
            f"there is no driver {kind!r}", where=where, hint=f"installed: {', '.join(known)}"
        )
    point = known[kind][0]
    if len(known[kind]) > 1:
        raise InputError(
            f"several packages register the driver {kind!r}: {package_of(known[kind])}",
            where=where,
            hint="uninstall all but one of them",
        )
    try:
        return cast("DriverFactory", point.load())
    except Exception as error:  # whatever a package does when it is imported
        raise InputError(
            f"driver {kind!r} cannot be loaded: {type(error).__name__}: {error}",
            where=where or point.value,
            hint="its package lacks a dependency or is broken; install what it asks for",
        ) from error


def site_settings(site: Site, own: Mapping[str, object]) -> dict[str, object]:
    """Return what a factory is given for a site: its `settings`, and what the blocks declare."""
    return {
        **own,
        "flavors": site.flavors,
        "nodes": site.nodes,
        "licences": site.licences,
    }
