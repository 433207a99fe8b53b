"""The simple policies that the ATC'23 experiment compares: scores 0 to 100, cut to integers."""

from __future__ import annotations

from fenglin.planner.packers.columns import FULL_MILLI, SHARE_TAG, Ints, Nodes, Policy, Shapes

MOST_CPU_MILLI = 128_000
MOST_GPU_MILLI = 8_000

# Kernels compare with plain numbers: an enum's members are no constants to the compiler.
DOTPROD = int(Policy.DOTPROD)
GPUCLUSTERING = int(Policy.GPUCLUSTERING)
GPUPACKING = int(Policy.GPUPACKING)


def fits(nodes: Nodes, node: int, shapes: Shapes, shape: int) -> bool:
    """Return whether the pod may go to the node now."""
    if nodes.slots[node] < 1 or nodes.cpu_milli[node] < shapes.cpu_milli[shape]:
        return False
    if nodes.memory_mib[node] < shapes.memory_mib[shape]:
        return False
    if shapes.gpus[shape] == 0:
        return True
    models = shapes.models[shape]
    if models != 0 and not (models >> nodes.model[node]) & 1:
        return False
    fitting = 0
    for g in range(nodes.gpus[node]):
        if nodes.gpu_milli[node, g] >= shapes.gpu_milli[shape]:
            fitting += 1
    return fitting >= int(shapes.gpus[shape])


def tightest(gpu_milli: Ints, gpus: int, wanted: int) -> int:
    """Return the GPU that has the least left that is enough; -1 when none has."""
    best = -1
    for g in range(gpus):
        if gpu_milli[g] >= wanted and (best < 0 or gpu_milli[g] < gpu_milli[best]):
            best = g
    return best


def tag_of(shapes: Shapes, shape: int) -> int:
    """Return the kind of a GPU pod: a shared GPU, or so many whole ones."""
    if shapes.gpus[shape] == 1 and shapes.gpu_milli[shape] < FULL_MILLI:
        return SHARE_TAG
    return int(shapes.gpus[shape])


def rate_clustering(left: int, tags: int, tag: int) -> int:
    """Return the `gpuclustering` score: like pods together, and the fuller node first."""
    score = 25 * (MOST_GPU_MILLI - left) // MOST_GPU_MILLI
    if tags == 1 << tag:
        return score + 75
    if (tags >> tag) & 1:
        return score + 50
    return score + 25 if tags == 0 else score


def rate_packing(nodes: Nodes, node: int, shapes: Shapes, shape: int) -> int:
    """Return the `gpupacking` score: used GPUs, then free ones of used nodes, then free nodes."""
    gpus = nodes.gpus[node]
    free = 0
    for g in range(gpus):
        if nodes.gpu_milli[node, g] == FULL_MILLI:
            free += 1
    if free == gpus:
        return max(33 - free, free)
    if tag_of(shapes, shape) != SHARE_TAG:
        return max(50 - int(shapes.gpus[shape]), 33)
    place = tightest(nodes.gpu_milli[node], gpus, shapes.gpu_milli[shape])
    left = int(nodes.gpu_milli[node, place])
    if left == FULL_MILLI:
        return 49
    return max(100 - left * 100 // FULL_MILLI // 10, 50)


def rate_simple(
    policy: int, nodes: Nodes, node: int, shapes: Shapes, shape: int
) -> tuple[float, int]:
    """Return the score of a node where the pod fits, and the GPU it would share.

    `bestfit` is renormalised to 0..100 by the reference; that never changes which is the best.
    """
    wanted = shapes.gpu_milli[shape]
    place = -1
    if shapes.gpus[shape] == 1 and wanted < FULL_MILLI:
        place = tightest(nodes.gpu_milli[node], nodes.gpus[node], wanted)
    left = 0
    for g in range(nodes.gpus[node]):
        left += nodes.gpu_milli[node, g]
    cpu, asked_cpu = nodes.cpu_milli[node], shapes.cpu_milli[shape]
    asked = wanted * shapes.gpus[shape]
    if policy == DOTPROD:
        dot = cpu / MOST_CPU_MILLI * (asked_cpu / MOST_CPU_MILLI)
        dot += left / MOST_GPU_MILLI * (asked / MOST_GPU_MILLI)
        score = int(100.0 * (1.0 - dot / 2.0))
    elif shapes.gpus[shape] == 0 and (policy in (GPUCLUSTERING, GPUPACKING)):
        score = 0
    elif policy == GPUCLUSTERING:
        score = rate_clustering(left, nodes.tags[node], tag_of(shapes, shape))
    elif policy == GPUPACKING:
        score = rate_packing(nodes, node, shapes, shape)
    else:
        waste = (cpu - asked_cpu) / MOST_CPU_MILLI * 0.5
        waste += (left - asked) / MOST_GPU_MILLI * 0.5
        score = int((1.0 - waste) * 100.0)
    return float(score), place


KERNELS = (fits, tightest, tag_of, rate_clustering, rate_packing, rate_simple)
