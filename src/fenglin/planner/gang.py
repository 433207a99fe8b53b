"""Gangs: tasks that need one slot on each of several distinct nodes, all or none."""

from __future__ import annotations

import numpy as np

from fenglin.snapshot.snapshot import I64


def gangs_in(counts: I64, nodes: int) -> int:
    """Return how many gangs of `nodes` distinct nodes fit when node i has counts[i] slots.

    g gangs fit exactly when the sum of min(counts[i], g) reaches g × nodes: no node may serve
    a gang twice. That is monotone in g, so bisect.
    """
    low, high = 0, int(counts.sum()) // nodes
    if nodes == 1:
        return high
    while low < high:
        middle = (low + high + 1) // 2
        if int(np.minimum(counts, middle).sum()) >= middle * nodes:
            low = middle
        else:
            high = middle - 1
    return low


def gangs_by_block(counts: I64, block: I64, nodes: int) -> I64:
    """Return for each block how many gangs fit inside it: as `gangs_in`, all blocks at once.

    Args:
        counts: [n] slots of each node.
        block: [n] number of each node's block, from 0.
        nodes: Of one gang.
    """
    blocks = int(block.max()) + 1 if len(block) else 0
    high = _sums(counts, block, blocks) // nodes
    low = np.zeros(blocks, np.int64)
    while (low < high).any():
        middle = (low + high + 1) // 2
        filled = _sums(np.minimum(counts, middle[block]), block, blocks)
        enough = filled >= middle * nodes
        low = np.where(enough, middle, low)
        high = np.where(enough, high, middle - 1)
    return low


def gang_nodes(counts: I64, nodes: int) -> I64:
    """Return the positions of the `nodes` emptiest nodes, sorted; fewer when there are fewer.

    Taking from the largest counts keeps `gangs_in` of the rest as large as it can be.
    """
    order = np.argsort(-counts, kind="stable")[:nodes]
    return np.sort(order[counts[order] > 0])


def gang_nodes_in_block(counts: I64, block: I64, nodes: int) -> I64:
    """Return the positions of one gang's nodes in the tightest block that holds it, or none.

    That is the block with the fewest slots, so that the roomy ones are kept for larger gangs;
    inside it the emptiest nodes are taken.
    """
    fitting = np.bincount(block[counts > 0])
    holds = np.flatnonzero(fitting >= nodes)
    if not len(holds):
        return np.zeros(0, np.int64)
    slots = _sums(counts, block, len(fitting))[holds]
    inside: I64 = np.flatnonzero(block == holds[int(np.argmin(slots))])
    return inside[gang_nodes(counts[inside], nodes)]


def _sums(counts: I64, block: I64, blocks: int) -> I64:
    """Return the sum of counts of each block; exact, as all are far below 2^53."""
    return np.bincount(block, weights=counts, minlength=blocks).astype(np.int64)
