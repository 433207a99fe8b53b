"""Gangs: tasks that need one slot on each of several distinct nodes, all or none."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nsmallest


def gangs_in(counts: Sequence[int], nodes: int) -> int:
    """Return how many gangs of `nodes` distinct nodes fit when node i has counts[i] slots.

    g gangs fit exactly when the sum of min(counts[i], g) reaches g × nodes: no node may serve
    a gang twice. That is monotone in g, so bisect.
    """
    if nodes == 1:
        return sum(counts)
    low, high = 0, sum(counts) // nodes
    while low < high:
        middle = (low + high + 1) // 2
        if sum(min(count, middle) for count in counts) >= middle * nodes:
            low = middle
        else:
            high = middle - 1
    return low


def gang_nodes(counts: Sequence[int], nodes: int) -> list[int]:
    """Return the positions of the `nodes` emptiest nodes, sorted; fewer when there are fewer.

    Taking from the largest counts keeps `gangs_in` of the rest as large as it can be.
    """
    free = [i for i, count in enumerate(counts) if count > 0]
    return sorted(nsmallest(nodes, free, key=lambda i: (-counts[i], i)))
