"""What drivers see, compared with what was declared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from fenglin.catalog.inventory.checks import Finding
from fenglin.catalog.inventory.facts import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fenglin.catalog.devices import Registry
    from fenglin.catalog.inventory.facts import Facility, Group
    from fenglin.model.states import ComputeClass

IN_POOL, ANSWERS, SERVES = "site_in_pool", "site_answers", "site_serves"
# Without an answer of every site these say nothing, neither that it fits nor that it does not.
NEED_EYES = frozenset({SERVES, "nodes_up", "cards_as_declared", "nodes_as_declared"})
_BLIND = frozenset({IN_POOL, ANSWERS})


class SeenFlavor(Struct, frozen=True, kw_only=True):
    """Equal nodes of a site, as its driver reports them.

    Attributes:
        name: Of the flavor.
        compute_class: Its class.
        device: What it calls its cards; empty for none.
        nodes: All of them.
        nodes_up: Those that can be used.
        cards_milli: Cards of all nodes, in thousandths.
    """

    name: str
    compute_class: ComputeClass
    device: str
    nodes: int
    nodes_up: int
    cards_milli: int


class SeenSite(Struct, frozen=True, kw_only=True):
    """One site of the pool, as it is seen.

    Attributes:
        name: Of the site.
        answers: Whether it does, and has told what it holds.
        drained: The operator's reason for giving it no work; None when it gets work.
        flavors: What it holds.
    """

    name: str
    answers: bool
    drained: str | None = None
    flavors: tuple[SeenFlavor, ...] = ()


def blind(found: Iterable[Finding]) -> bool:
    """Return whether a site could not be looked at, by the findings of its facility."""
    return any(one.rule in _BLIND for one in found)


def compare(facility: Facility, seen: Mapping[str, SeenSite], known: Registry) -> list[Finding]:
    """Return all in which a facility in use differs from what is seen, in a fixed order.

    Args:
        facility: As declared; without sites nothing can be seen of it.
        seen: Sites of the pool by name.
        known: The device registry.
    """
    if facility.status is not Status.IN_USE or not facility.sites:
        return []
    found = []
    for name in facility.sites:
        site = seen.get(name)
        if site is None:
            found.append(Finding(IN_POOL, f"site.{name}", f"the pool has no site {name}"))
        elif not site.answers:
            what = f"{name} does not answer, what it holds cannot be compared"
            found.append(Finding(ANSWERS, f"site.{name}", what))
    if found:
        return found
    sites = [seen[name] for name in facility.sites]
    return [*_service(sites), *_cards(facility, sites, known), *_nodes(facility, sites)]


def _service(sites: Iterable[SeenSite]) -> Iterator[Finding]:
    for site in sites:
        if site.drained is not None:
            what = f"{site.name} is declared in use and gets no work: {site.drained or 'drained'}"
            yield Finding(SERVES, f"site.{site.name}", what)
        count = sum(one.nodes for one in site.flavors)
        down = count - sum(one.nodes_up for one in site.flavors)
        if down:
            what = f"{down} of {count} nodes of {site.name} cannot be used"
            yield Finding("nodes_up", f"site.{site.name}", what)


def _cards(facility: Facility, sites: Iterable[SeenSite], known: Registry) -> Iterator[Finding]:
    """Compare cards per part: at least those for sale must be seen, at most all."""
    least: dict[str, int] = {}
    most: dict[str, int] = {}
    for group in facility.groups:
        part = known.part(group.device)
        if part is not None and part.cpu:
            continue
        key = part.key if part is not None else group.device
        least[key] = least.get(key, 0) + (group.sellable or group.count).milli
        most[key] = most.get(key, 0) + group.count.milli
    seen: dict[str, int] = {}
    for site in sites:
        for flavor in site.flavors:
            if flavor.cards_milli:
                part = known.part(flavor.device)
                key = part.key if part is not None else flavor.device
                seen[key] = seen.get(key, 0) + flavor.cards_milli
    for key in sorted({*most, *seen}):
        low, high, have = least.get(key, 0), most.get(key, 0), seen.get(key, 0)
        if not low <= have <= high:
            told = _n(high) if low == high else f"{_n(low)} to {_n(high)}"
            what = f"{told} x {key or 'cards without a name'} declared, drivers see {_n(have)}"
            yield Finding("cards_as_declared", f"device.{key}", what)


def _nodes(facility: Facility, sites: Iterable[SeenSite]) -> Iterator[Finding]:
    """Compare nodes per class, where every group of the class tells how many it has."""
    groups: dict[ComputeClass, list[Group]] = {}
    for group in facility.groups:
        groups.setdefault(group.compute_class, []).append(group)
    seen: dict[ComputeClass, int] = {}
    for site in sites:
        for flavor in site.flavors:
            seen[flavor.compute_class] = seen.get(flavor.compute_class, 0) + flavor.nodes
    for compute_class in sorted(groups):
        told = [one.nodes for one in groups[compute_class]]
        declared_milli = sum(one.milli for one in told if one is not None)
        have = seen.get(compute_class, 0)
        if all(told) and declared_milli != have * 1_000:
            what = f"{_n(declared_milli)} {compute_class} nodes declared, drivers see {have}"
            yield Finding("nodes_as_declared", f"class.{compute_class}", what)


def _n(milli: int) -> str:
    return f"{milli / 1_000:,.10g}"
