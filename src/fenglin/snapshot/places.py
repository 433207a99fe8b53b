"""Sites, flavors, nodes and licences as columns in the snapshot's order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from fenglin.errors import InputError
from fenglin.model.site import Flavor, Node, Site
from fenglin.model.states import SiteState
from fenglin.quantities.resources import DIMENSIONS
from fenglin.snapshot.cards import layout
from fenglin.snapshot.snapshot import I32, I64, Bool

_NAME = attrgetter("name")


class Places(NamedTuple):
    """Columns of sites, flavors, nodes and licences; see `Snapshot`.

    Attributes:
        node_cards: [N, C] what each card of an idle node holds.
        licence_total: [L] what the sites offer.
    """

    sites: tuple[Site, ...]
    flavor_site: I32
    flavor_slot: I32
    node_flavor: I32
    node_names: tuple[str, ...]
    node_up: Bool
    node_capacity: I64
    node_cards: I64
    node_block: I32
    licence_names: tuple[tuple[int, str], ...]
    licence_total: I64

    def rows(self) -> dict[tuple[str, str], int]:
        """Return the row of each node by the names of its site and its own."""
        site_names = [self.sites[row].name for row in self.flavor_site.tolist()]
        return {
            (site_names[flavor_row], name): row
            for row, (flavor_row, name) in enumerate(
                zip(self.node_flavor.tolist(), self.node_names, strict=True)
            )
        }


def lay_out(sites: Iterable[Site]) -> Places:
    """Return the places of these sites.

    Raises:
        InputError: two sites, flavors of a site or nodes of a site have one name, or a node
            names a flavor that its site lacks.
    """
    ordered = tuple(sorted(sites, key=_NAME))
    refuse_twice("site", [site.name for site in ordered])
    flavors: list[Flavor] = []
    flavor_site: list[int] = []
    flavor_slot: list[int] = []
    counts: list[int] = []
    nodes: list[Node] = []
    for row, site in enumerate(ordered):
        for flavor, slot, mine in _by_flavor(site):
            flavors.append(flavor)
            flavor_site.append(row)
            flavor_slot.append(slot)
            counts.append(len(mine))
            nodes.extend(mine)
    node_flavor = np.repeat(np.arange(len(flavors), dtype=np.int32), counts)
    active = np.array([site.state is SiteState.ACTIVE for site in ordered], np.bool_)
    site_of = np.array(flavor_site, np.int32)
    up = np.fromiter((node.up for node in nodes), np.bool_, len(nodes))
    capacity = np.array([flavor.node.values() for flavor in flavors], np.int64)
    licences = sorted((row, *held) for row, site in enumerate(ordered) for held in site.licences)
    return Places(
        sites=ordered,
        flavor_site=site_of,
        flavor_slot=np.array(flavor_slot, np.int32),
        node_flavor=node_flavor,
        node_names=tuple([node.name for node in nodes]),
        node_up=up & active[site_of[node_flavor]],
        node_capacity=capacity.reshape(len(flavors), len(DIMENSIONS))[node_flavor],
        node_cards=_cards(flavors, counts)[node_flavor],
        node_block=_blocks(nodes, node_flavor),
        licence_names=tuple((row, name) for row, name, _ in licences),
        licence_total=np.array([count for _, _, count in licences], np.int64),
    )


def refuse_twice(what: str, names: Sequence[str]) -> None:
    """Raise when a name occurs twice.

    Raises:
        InputError: says which.
    """
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise InputError(f"{what} {twice[0]} occurs twice", hint="names must be unique")


def _by_flavor(site: Site) -> list[tuple[Flavor, int, list[Node]]]:
    """Return the site's flavors by name, each with its position and its nodes by name."""
    refuse_twice(f"node of site {site.name}", [node.name for node in site.nodes])
    refuse_twice(f"flavor of site {site.name}", [flavor.name for flavor in site.flavors])
    mine: dict[str, list[Node]] = {flavor.name: [] for flavor in site.flavors}
    for node in site.nodes:
        if node.flavor not in mine:
            raise InputError(
                f"node {node.name} of site {site.name} names a flavor that its site lacks",
                hint="check the inventory",
            )
        mine[node.flavor].append(node)
    slots = sorted(range(len(site.flavors)), key=lambda slot: site.flavors[slot].name)
    return [
        (flavor, slot, sorted(mine[flavor.name], key=_NAME))
        for slot in slots
        for flavor in (site.flavors[slot],)
    ]


def _cards(flavors: Sequence[Flavor], counts: Sequence[int]) -> I64:
    """Return [F, C] what the cards of an idle node hold."""
    layouts = [layout(flavor.node.accelerator_milli) for flavor in flavors]
    width = max((len(cards) for cards, n in zip(layouts, counts, strict=True) if n), default=0)
    table = np.zeros((len(flavors), width), np.int64)
    for row, cards in enumerate(layouts):
        table[row, : len(cards)] = cards[:width]
    return table


def _blocks(nodes: Sequence[Node], node_flavor: I32) -> I32:
    """Number the blocks within their flavors; a node without one is alone."""
    if not any(node.block for node in nodes):
        return np.arange(len(nodes), dtype=np.int32)
    number: dict[tuple[int, str], int] = {}
    rows: list[int] = []
    blocks = 0
    for flavor_row, node in zip(node_flavor.tolist(), nodes, strict=True):
        key = (flavor_row, node.block)
        if not node.block or key not in number:
            number[key] = blocks
            blocks += 1
        rows.append(number[key])
    return np.array(rows, np.int32)
