"""Which nodes each job gets: first fit from a list of free ranges, lowest numbers first."""

from __future__ import annotations

from typing import NamedTuple

from fenglin.planner.backfill.twins import Column

NONE = -1

# Places in `Nodes.state`.
FREE_HEAD = 0
SPARE_HEAD = 1
WRITTEN = 2
NODES_SIZE = 3


class Nodes(NamedTuple):
    """Ranges of nodes in linked lists, each sorted: one list is free, each job has its own.

    Attributes:
        first: First node of each range.
        length: Nodes in each range.
        after: Next range of the same list, or `NONE`.
        head: First range of each job, or `NONE`.
        log_job: Job of each range that was ever given, as far as the columns reach.
        log_first: Its first node.
        log_length: Its nodes.
        state: Head of the free list and of the unused ranges; how many ranges were given.
    """

    first: Column
    length: Column
    after: Column
    head: Column
    log_job: Column
    log_first: Column
    log_length: Column
    state: Column


def write_down(nodes: Nodes, job: int, place: int) -> None:
    """Log one range of a job; only count it when the log is full."""
    row = nodes.state[WRITTEN]
    if row < len(nodes.log_job):
        nodes.log_job[row] = job
        nodes.log_first[row] = nodes.first[place]
        nodes.log_length[row] = nodes.length[place]
    nodes.state[WRITTEN] = row + 1


def take(nodes: Nodes, job: int, procs: int) -> bool:
    """Give a job the lowest free nodes; False when there are too few."""
    last = NONE
    while procs > 0:
        place = nodes.state[FREE_HEAD]
        if place == NONE:
            return False
        if nodes.length[place] > procs:
            piece = nodes.state[SPARE_HEAD]
            nodes.state[SPARE_HEAD] = nodes.after[piece]
            nodes.first[piece] = nodes.first[place]
            nodes.length[piece] = procs
            nodes.first[place] += procs
            nodes.length[place] -= procs
            place = piece
        else:
            nodes.state[FREE_HEAD] = nodes.after[place]
        procs -= nodes.length[place]
        nodes.after[place] = NONE
        if last == NONE:
            nodes.head[job] = place
        else:
            nodes.after[last] = place
        last = place
        write_down(nodes, job, place)
    return True


def give_back(nodes: Nodes, job: int) -> None:
    """Return a job's ranges to the free list, joined with their neighbours."""
    before = NONE
    place = nodes.state[FREE_HEAD]
    piece = nodes.head[job]
    nodes.head[job] = NONE
    while piece != NONE:
        following = nodes.after[piece]
        while place != NONE and nodes.first[place] < nodes.first[piece]:
            before, place = place, nodes.after[place]
        if before != NONE and nodes.first[before] + nodes.length[before] == nodes.first[piece]:
            nodes.length[before] += nodes.length[piece]
            nodes.after[piece] = nodes.state[SPARE_HEAD]
            nodes.state[SPARE_HEAD] = piece
        else:
            nodes.after[piece] = place
            if before == NONE:
                nodes.state[FREE_HEAD] = piece
            else:
                nodes.after[before] = piece
            before = piece
        if place != NONE and nodes.first[before] + nodes.length[before] == nodes.first[place]:
            nodes.length[before] += nodes.length[place]
            gone, place = place, nodes.after[place]
            nodes.after[before] = place
            nodes.after[gone] = nodes.state[SPARE_HEAD]
            nodes.state[SPARE_HEAD] = gone
        piece = following


KERNELS = (write_down, take, give_back)
