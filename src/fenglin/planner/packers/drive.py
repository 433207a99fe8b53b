"""The loop over arriving pods, for every policy: score, choose, take; nothing is ever moved."""

from __future__ import annotations

import numpy as np

from fenglin.planner.packers.columns import (
    FULL_MILLI,
    Floats,
    Ints,
    Mind,
    Nodes,
    Policy,
    Shapes,
)
from fenglin.planner.packers.fragments import (
    KERNELS as FRAGMENT_KERNELS,
)
from fenglin.planner.packers.fragments import (
    fragments,
    rate_fgd,
    take_whole,
)
from fenglin.planner.packers.packed import (
    KERNELS as PACKED_KERNELS,
)
from fenglin.planner.packers.packed import (
    LEARN_GROWTH,
    LEARN_PODS,
    learn,
    learn_scarcity,
    rate_packed,
)
from fenglin.planner.packers.scores import KERNELS as SCORE_KERNELS
from fenglin.planner.packers.scores import fits, rate_simple, tag_of
from fenglin.planner.packers.worth import KERNELS as WORTH_KERNELS
from fenglin.planner.packers.worth import node_worth

RANDOM = int(Policy.RANDOM)
FGD = int(Policy.FGD)
PACKED = int(Policy.PACKED)

NOWHERE = -1
# Scores closer than this are equal: sums of worth differ in their last bits.
EQUAL = 1e-12

# Lehmer's generator with the constants of Park and Miller: whole numbers, the same everywhere.
MULTIPLIER = 48_271
MODULUS = 2_147_483_647


def think(policy: int, nodes: Nodes, node: int, mind: Mind) -> float:
    """Return what the policy thinks of a node as it is: fragments, or worth."""
    gpu_milli, gpus = nodes.gpu_milli[node], nodes.gpus[node]
    if policy == FGD:
        cpu_milli = nodes.cpu_milli[node]
        return fragments(cpu_milli, gpu_milli, gpus, nodes.model[node], mind.typical)
    if policy == PACKED:
        return node_worth(mind.known, nodes.cpu_milli[node], gpu_milli, gpus)
    return 0.0


def rate(policy: int, nodes: Nodes, node: int, shapes: Shapes, shape: int, mind: Mind) -> None:
    """Note the score of a node for a pod, and the GPU it would share."""
    book = mind.book
    if not fits(nodes, node, shapes, shape):
        book.score[shape, node] = -np.inf
        return
    before = book.before[node]
    if policy == FGD:
        score, gpu = rate_fgd(nodes, node, shapes, shape, mind.typical, before, book.spare)
    elif policy == PACKED:
        score, gpu = rate_packed(nodes, node, shapes, shape, mind.known, before, book.spare)
    else:
        score, gpu = rate_simple(policy, nodes, node, shapes, shape)
    book.score[shape, node] = score
    book.gpu[shape, node] = gpu


def refresh(
    policy: int,
    nodes: Nodes,
    shapes: Shapes,
    shape: int,
    mind: Mind,
    arrival: int,
    changes: int,
) -> None:
    """Bring the scores of a shape up to date: only nodes that have changed are looked at."""
    book = mind.book
    if book.known[shape] < 0:
        for node in range(nodes.gpus.size):
            rate(policy, nodes, node, shapes, shape, mind)
    else:
        for i in range(book.known[shape], changes):
            node = book.changed[i]
            # A node where the pod did not fit will not have it later: nothing is given back.
            if book.stamp[node] != arrival + 1 and book.score[shape, node] > -np.inf:
                rate(policy, nodes, node, shapes, shape, mind)
            book.stamp[node] = arrival + 1
    book.known[shape] = changes


def choose(nodes: Nodes, score: Floats) -> int:
    """Return the node with the highest score, ties to the smallest order; or `NOWHERE`."""
    best = NOWHERE
    for node in range(score.size):
        if score[node] == -np.inf:
            continue
        if best == NOWHERE or score[node] > score[best] + EQUAL:
            best = node
            continue
        near = score[node] >= score[best] - EQUAL
        if near and nodes.order[node] < nodes.order[best]:
            best = node
    return best


def draw(state: Ints, below: int) -> int:
    """Return a number from 0 to below one less, and step the generator."""
    state[0] = state[0] * MULTIPLIER % MODULUS
    return int(state[0]) % below


def choose_random(
    nodes: Nodes, shapes: Shapes, shape: int, state: Ints, spare: Ints
) -> tuple[int, int]:
    """Return any node where the pod fits, and any GPU there that it may share."""
    fitting = 0
    for node in range(nodes.gpus.size):
        if fits(nodes, node, shapes, shape):
            fitting += 1
    if fitting == 0:
        return NOWHERE, -1
    skip = draw(state, fitting)
    chosen = NOWHERE
    for node in range(nodes.gpus.size):
        if fits(nodes, node, shapes, shape):
            if skip == 0:
                chosen = node
                break
            skip -= 1
    if shapes.gpus[shape] != 1 or shapes.gpu_milli[shape] == FULL_MILLI:
        return chosen, -1
    found = 0
    for g in range(nodes.gpus[chosen]):
        if nodes.gpu_milli[chosen, g] >= shapes.gpu_milli[shape]:
            spare[found] = g
            found += 1
    return chosen, spare[draw(state, found)]


def take(nodes: Nodes, node: int, shapes: Shapes, shape: int, gpu: int) -> None:
    """Give a node's resources to a pod; a GPU of -1 stands for whole GPUs or none."""
    nodes.cpu_milli[node] -= shapes.cpu_milli[shape]
    nodes.memory_mib[node] -= shapes.memory_mib[shape]
    nodes.slots[node] -= 1
    if shapes.gpus[shape] > 0:
        nodes.tags[node] |= 1 << tag_of(shapes, shape)
    if gpu >= 0:
        nodes.gpu_milli[node, gpu] -= shapes.gpu_milli[shape]
    else:
        take_whole(nodes.gpu_milli[node], nodes.gpus[node], shapes.gpus[shape])


def drive(
    policy: int,
    nodes: Nodes,
    shapes: Shapes,
    arrivals: Ints,
    mind: Mind,
    state: Ints,
    chosen: Ints,
    shared: Ints,
) -> None:
    """Place the pods one by one; fill the node and the shared GPU of each.

    Args:
        policy: A member of `Policy`.
        nodes: Used up.
        shapes: Of the pods.
        arrivals: Shape of each pod, in the order of arrival.
        mind: What is learned goes in there; its book is fresh.
        state: Of the generator, for `random`.
        chosen: By arrival: the node, or `NOWHERE`.
        shared: By arrival: the GPU that it shares; -1 for whole GPUs or none.
    """
    known, book = mind.known, mind.book
    changes = 0
    lesson = 0
    if policy == FGD:
        for node in range(nodes.gpus.size):
            book.before[node] = think(policy, nodes, node, mind)
    for a in range(arrivals.size):
        shape = arrivals[a]
        known.seen[shape] += 1.0
        if policy == PACKED and a >= lesson:
            lesson = int(a * LEARN_GROWTH) + LEARN_PODS
            learn(shapes, known)
            learn_scarcity(shapes, known)
            book.known[:] = -1
            for node in range(nodes.gpus.size):
                book.before[node] = think(policy, nodes, node, mind)
        if policy == RANDOM:
            best, gpu = choose_random(nodes, shapes, shape, state, book.spare)
        else:
            refresh(policy, nodes, shapes, shape, mind, a, changes)
            best = choose(nodes, book.score[shape])
            gpu = book.gpu[shape, best] if best != NOWHERE else -1
        chosen[a] = best
        shared[a] = gpu
        if best != NOWHERE:
            take(nodes, best, shapes, shape, gpu)
            book.before[best] = think(policy, nodes, best, mind)
            book.changed[changes] = best
            changes += 1


KERNELS = (
    *FRAGMENT_KERNELS,
    *SCORE_KERNELS,
    *WORTH_KERNELS,
    *PACKED_KERNELS,
    think,
    rate,
    refresh,
    choose,
    draw,
    choose_random,
    take,
    drive,
)
