"""The snapshot's rows as the planner's steps want them: flavors with their sites and nodes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fenglin.catalog.network import Network
from fenglin.model.site import Flavor, Site
from fenglin.snapshot.snapshot import I32, Snapshot


class FlavorView(NamedTuple):
    """One flavor row.

    Attributes:
        row: Flavor row.
        site_row: Row of its site.
        site: Its site.
        flavor: Its record.
        first: Row of its first node.
        stop: Row after its last node.
        up_nodes: How many of its nodes are usable.
        block_nodes: How many nodes its largest block has.
        block_up_nodes: How many usable nodes the block with most of them has.
        network: The pool's links.
    """

    row: int
    site_row: int
    site: Site
    flavor: Flavor
    first: int
    stop: int
    up_nodes: int
    block_nodes: int
    block_up_nodes: int
    network: Network

    @property
    def label(self) -> str:
        """Return `site/flavor`."""
        return f"{self.site.name}/{self.flavor.name}"


def flavor_views(snapshot: Snapshot) -> tuple[FlavorView, ...]:
    """Return all flavors in row order. Node rows of a flavor are contiguous by contract."""
    rows = np.arange(len(snapshot.flavor_site))
    first = np.searchsorted(snapshot.node_flavor, rows, side="left").tolist()
    stop = np.searchsorted(snapshot.node_flavor, rows, side="right").tolist()
    ups = np.concatenate(([0], np.cumsum(snapshot.node_up)))
    block_nodes = _largest_blocks(snapshot, snapshot.node_block)
    block_up_nodes = _largest_blocks(snapshot, snapshot.node_block[snapshot.node_up])
    network = Network(snapshot.sites)
    views: list[FlavorView] = []
    for row, (site_row, slot) in enumerate(
        zip(snapshot.flavor_site.tolist(), snapshot.flavor_slot.tolist(), strict=True)
    ):
        site = snapshot.sites[site_row]
        views.append(
            FlavorView(
                row,
                site_row,
                site,
                site.flavors[slot],
                first[row],
                stop[row],
                int(ups[stop[row]] - ups[first[row]]),
                block_nodes[row],
                block_up_nodes[row],
                network,
            )
        )
    return tuple(views)


def _largest_blocks(snapshot: Snapshot, blocks: I32) -> list[int]:
    """Return per flavor how often the most frequent of its blocks occurs in `blocks`."""
    most = np.zeros(len(snapshot.flavor_site), np.int64)
    if len(snapshot.node_block):
        count = np.bincount(blocks, minlength=int(snapshot.node_block.max()) + 1)
        flavor = np.zeros(len(count), np.int64)
        flavor[snapshot.node_block] = snapshot.node_flavor
        np.maximum.at(most, flavor, count)
    found: list[int] = most.tolist()
    return found
