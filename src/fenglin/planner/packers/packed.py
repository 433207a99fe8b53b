"""Our own packer: a pod goes where it takes the least from what may still be earned."""

from __future__ import annotations

import numpy as np

from fenglin.planner.packers.columns import FULL_MILLI, Ints, Nodes, Shapes, Worth
from fenglin.planner.packers.fragments import is_repeat, take_whole
from fenglin.planner.packers.worth import CURVE, cutting_duals, fill_tables, gather, node_worth

# It learns anew when a quarter more pods have arrived than at the last time, and 50.
LEARN_GROWTH = 1.25
LEARN_PODS = 50

# A pod pays, per GPU, this part of the scarcity of the model it takes.
SCARCITY_PRICE = 0.15
# Breaking a free node costs this, times the odds that a GPU is asked for by a pod that wants
# several; the margin keeps the odds finite where all pods do.
OPENING_PRICE = 0.2
ODDS_MARGIN = 1.1


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


def learn_scarcity(shapes: Shapes, known: Worth) -> None:
    """Learn which models are asked for by name, and how much is asked for in several GPUs."""
    known.scarcity[:] = 0.0
    total = 1e-9
    several = 0.0
    for s in range(shapes.gpus.size):
        asked = known.seen[s] * shapes.gpus[s] * shapes.gpu_milli[s] / FULL_MILLI
        total += asked
        if shapes.gpus[s] > 1:
            several += asked
        if asked == 0.0 or shapes.models[s] == 0:
            continue
        lawful = 1e-9
        for m in range(known.capacity.size):
            if (shapes.models[s] >> m) & 1:
                lawful += known.capacity[m]
        for m in range(known.capacity.size):
            if (shapes.models[s] >> m) & 1:
                known.scarcity[m] += asked * known.capacity[m] / lawful
    cluster = known.capacity.sum()
    for m in range(known.capacity.size):
        if known.capacity[m] > 0.0:
            known.scarcity[m] *= cluster / known.capacity[m] / total
    share = several / total
    known.opening[0] = OPENING_PRICE * share / (ODDS_MARGIN - share)


def surcharge(nodes: Nodes, node: int, shapes: Shapes, shape: int, known: Worth) -> float:
    """Return what a pod pays beside worth: for a scarce model, and for breaking a free node."""
    asked = shapes.gpus[shape] * shapes.gpu_milli[shape] / FULL_MILLI
    price = SCARCITY_PRICE * known.scarcity[nodes.model[node]] * asked
    gpus = nodes.gpus[node]
    if shapes.gpus[shape] >= gpus:
        return float(price)
    for g in range(gpus):
        if nodes.gpu_milli[node, g] < FULL_MILLI:
            return float(price)
    return float(price + known.opening[0] * gpus / nodes.gpu_milli.shape[1])


def rate_packed(
    nodes: Nodes, node: int, shapes: Shapes, shape: int, known: Worth, before: float, spare: Ints
) -> tuple[float, int]:
    """Return minus what a pod costs on a node where it fits, and the GPU it would share."""
    before += surcharge(nodes, node, shapes, shape, known)
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


KERNELS = (learn, learn_scarcity, surcharge, rate_packed)
