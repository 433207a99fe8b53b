"""Our own packer: a pod goes where it takes the least from what may still be earned."""

from __future__ import annotations

import numpy as np

from fenglin.planner.packers.columns import FULL_MILLI, Ints, Nodes, Shapes, Worth
from fenglin.planner.packers.fragments import is_repeat, take_whole
from fenglin.planner.packers.worth import CURVE, cutting_duals, fill_tables, gather, node_worth

# It learns anew when a quarter more pods have arrived than at the last time, and 50.
LEARN_GROWTH = 1.25
LEARN_PODS = 50


def learn(shapes: Shapes, known: Worth) -> None:
    """Learn the worth of holes from the pods seen so far."""
    pods, cpu_milli = np.zeros(FULL_MILLI + 1), np.zeros(FULL_MILLI + 1)
    count = gather(shapes, known, pods, cpu_milli)
    size, worth, mean = np.zeros(count, dtype=np.int64), np.zeros(count), np.zeros(count)
    amount = np.zeros(count)
    i = 0
    for milli in range(1, FULL_MILLI + 1):
        if pods[milli] > 0.0:
            size[i] = milli
            amount[i] = pods[milli]
            mean[i] = cpu_milli[milli] / pods[milli]
            i += 1
    inverse, work = np.zeros((count, count)), np.zeros((4, max(count, FULL_MILLI + 1)))
    last = np.zeros(FULL_MILLI + 1, dtype=np.int64)
    cutting_duals(size, worth, amount, inverse, work, last)
    total = 0.0
    total_cpu = 0.0
    for i in range(count):
        worth[i] = worth[i] ** CURVE
        total += pods[size[i]] * worth[i]
        total_cpu += cpu_milli[size[i]]
    # Pods without any CPU, or no pods with GPUs yet: CPU has no price then.
    ratio = max(total_cpu, 1.0) / max(total, 1e-9)
    fill_tables(known, size, worth, mean, ratio)


def rate_packed(
    nodes: Nodes, node: int, shapes: Shapes, shape: int, known: Worth, before: float, spare: Ints
) -> tuple[float, int]:
    """Return minus the worth that a pod takes from a node where it fits, and the GPU it shares."""
    gpu_milli, gpus = nodes.gpu_milli[node], nodes.gpus[node]
    cpu_milli = nodes.cpu_milli[node] - shapes.cpu_milli[shape]
    wanted = shapes.gpu_milli[shape]
    spare[:] = gpu_milli
    if shapes.gpus[shape] != 1 or wanted == FULL_MILLI:
        take_whole(spare, gpus, shapes.gpus[shape])
        return node_worth(known, cpu_milli, spare, gpus) - before, -1
    best, at = -np.inf, -1
    for g in range(gpus):
        if gpu_milli[g] < wanted or is_repeat(gpu_milli, g):
            continue
        spare[g] -= wanted
        score = node_worth(known, cpu_milli, spare, gpus) - before
        spare[g] += wanted
        if score > best:
            best, at = score, g
    return best, at


KERNELS = (learn, rate_packed)
