"""Fragmentation gradient descent, as in "Beware of Fragmentation" (Weng et al., ATC'23)."""

from __future__ import annotations

import math

from fenglin.planner.packers.columns import FULL_MILLI, Ints, Nodes, Shapes, Typical


def too_small(gpu_milli: Ints, gpus: int, wanted: int, needed: int) -> int:
    """Return what is left on GPUs too small for a pod; -1 when it does not find enough GPUs."""
    fitting = 0
    small = 0
    for g in range(gpus):
        if gpu_milli[g] >= wanted:
            fitting += 1
        else:
            small += int(gpu_milli[g])
    return small if fitting >= needed else -1


def fragments(cpu_milli: int, gpu_milli: Ints, gpus: int, model: int, typical: Typical) -> float:
    """Return how much of a node's free GPU milli a typical pod could not use, in the mean.

    All that is left counts when the typical pod cannot run there or wants no GPU; else what is
    left on GPUs that are too small for it. The sums are kept apart by reason and added in a
    fixed order, since the published figures depend on their last bits.
    """
    both = few_gpus = few_cpus = content = starved = closed = 0.0
    left = 0
    for g in range(gpus):
        left += gpu_milli[g]
    for t in range(typical.share.size):
        share = typical.share[t]
        enough_cpu = cpu_milli >= typical.cpu_milli[t]
        wanted = typical.gpu_milli[t]
        if wanted == 0:
            if enough_cpu:
                content += share * left
            else:
                starved += share * left
            continue
        if typical.models[t] != 0 and not (typical.models[t] >> model) & 1:
            closed += share * left
            continue
        small = too_small(gpu_milli, gpus, wanted, typical.gpus[t])
        if small >= 0:
            if enough_cpu:
                few_gpus += share * small
            else:
                few_cpus += share * left
        elif enough_cpu:
            few_gpus += share * left
        else:
            both += share * left
    return both + few_gpus + few_cpus + content + starved + closed


def take_whole(spare: Ints, gpus: int, wanted: int) -> None:
    """Take free GPUs, those with the lowest number first."""
    taken = 0
    for g in range(gpus):
        if taken < wanted and spare[g] == FULL_MILLI:
            spare[g] = 0
            taken += 1


def is_repeat(gpu_milli: Ints, place: int) -> bool:
    """Return whether a GPU before this one has as much left: sharing it would be the same."""
    for g in range(place):  # noqa: SIM110 - Numba compiles no generator in any()
        if gpu_milli[g] == gpu_milli[place]:
            return True
    return False


def downhill(before: float, after: float) -> int:
    """Return the score, 0 to 100, of a change in fragments."""
    return int(1.0 / (1.0 + math.exp(-(before - after) / 1000)) * 100.0)


def rate_fgd(
    nodes: Nodes,
    node: int,
    shapes: Shapes,
    shape: int,
    typical: Typical,
    before: float,
    spare: Ints,
) -> tuple[float, int]:
    """Return the score of a node where the pod fits, and the GPU it would share."""
    gpu_milli = nodes.gpu_milli[node]
    gpus, model = nodes.gpus[node], nodes.model[node]
    cpu_milli = nodes.cpu_milli[node] - shapes.cpu_milli[shape]
    wanted = shapes.gpu_milli[shape]
    spare[:] = gpu_milli
    if shapes.gpus[shape] != 1 or wanted == FULL_MILLI:
        take_whole(spare, gpus, shapes.gpus[shape])
        after = fragments(cpu_milli, spare, gpus, model, typical)
        return float(downhill(before, after)), -1
    best, at = -1, -1
    for g in range(gpus):
        if gpu_milli[g] < wanted or is_repeat(gpu_milli, g):
            continue
        spare[g] -= wanted
        score = downhill(before, fragments(cpu_milli, spare, gpus, model, typical))
        spare[g] += wanted
        if score > best:
            best, at = score, g
    return float(best), at


KERNELS = (too_small, fragments, take_whole, is_repeat, downhill, rate_fgd)
