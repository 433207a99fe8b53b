"""What `packed` knows: the worth of what is left on a GPU, learned from the arrived pods.

How many GPUs would it take to serve pods such as have arrived, cut in the best way? The dual
prices of that cutting-stock problem (Gilmore and Gomory 1961) are what each size of pod is
worth: a size for which every hole is good enough is worth nothing, one that ruins a whole GPU is
worth a GPU. The worth of a hole is the best set of pods that fits in it, less their CPU at a
given price.
"""

from __future__ import annotations

from fenglin.planner.packers.columns import FULL_MILLI, Floats, Ints, Shapes, Worth

# The grid of CPU prices: from the first, in units of the mean worth of the CPU that pods ask
# for, each so many times the one before; and a price of zero.
FIRST_PRICE = 0.15
PRICE_STEP = 1.35

# The CPU of a size is its own mean and a share of the mean of all per worth: sizes mix on nodes.
OWN_CPU = 0.7
ALL_CPU = 0.5

# A little below 1: small holes are worth a little more than the duals say, for the duals assume
# that everything still comes in the right proportion.
CURVE = 0.97

MOST_PIVOTS = 2_000
TINY = 1e-9


def best_cut(size: Ints, worth: Floats, best: Floats, last: Ints) -> None:
    """Fill, for each free amount up to a GPU, the best worth of pods in it and the last of them."""
    best[0] = 0.0
    last[0] = -1
    for room in range(1, FULL_MILLI + 1):
        best[room] = best[room - 1]
        last[room] = -1
        for i in range(size.size):
            if size[i] > room:
                break
            value = best[room - size[i]] + worth[i]
            if value > best[room] + 1e-12:
                best[room] = value
                last[room] = i


def entering(
    size: Ints, worth: Floats, best: Floats, last: Ints, column: Floats
) -> tuple[bool, float]:
    """Fill the column that improves the cutting most; return whether there is one, and its cost.

    Either serving less than is cut (a negative worth), or a cut worth more than a GPU.
    """
    if size.size == 0:
        return False, 0.0
    column[:] = 0.0
    lowest = 0
    for i in range(size.size):
        if worth[i] < worth[lowest]:
            lowest = i
    if worth[lowest] < -TINY:
        column[lowest] = -1.0
        return True, 0.0
    best_cut(size, worth, best, last)
    if best[FULL_MILLI] <= 1.0 + 1e-7:
        return False, 0.0
    room = FULL_MILLI
    while room > 0:
        if last[room] < 0:
            room -= 1
        else:
            column[last[room]] += 1.0
            room -= size[last[room]]
    return True, 1.0


def pivot(inverse: Floats, amount: Floats, column: Floats, direction: Floats) -> int:
    """Bring a column into the basis; return the place that it takes, -1 when there is none."""
    count = amount.size
    leaving = -1
    step = 0.0
    for i in range(count):
        direction[i] = 0.0
        for j in range(count):
            direction[i] += inverse[i, j] * column[j]
        if direction[i] > TINY:
            ratio = amount[i] / direction[i]
            if leaving < 0 or ratio < step:
                leaving, step = i, ratio
    if leaving < 0:
        return -1
    for j in range(count):
        inverse[leaving, j] /= direction[leaving]
    for i in range(count):
        if i != leaving and direction[i] != 0.0:
            amount[i] -= step * direction[i]
            for j in range(count):
                inverse[i, j] -= direction[i] * inverse[leaving, j]
    amount[leaving] = step
    return leaving


def cutting_duals(
    size: Ints, worth: Floats, amount: Floats, inverse: Floats, work: Floats, last: Ints
) -> None:
    """Solve the cutting of pods from GPUs; leave the worth of each size, in GPUs.

    Args:
        size: GPU milli, rising.
        worth: Filled.
        amount: How many pods of each size; used up.
        inverse: Room for the inverse of the basis, zeros.
        work: Room of four rows, each as long as a GPU has milli and one more.
        last: Room of that length.
    """
    count = size.size
    best, column = work[0], work[1, :count]
    direction, cost = work[2, :count], work[3, :count]
    for i in range(count):
        copies = FULL_MILLI // size[i]
        inverse[i, i] = 1.0 / copies
        amount[i] /= copies
        cost[i] = 1.0
    for _ in range(MOST_PIVOTS):
        for j in range(count):
            worth[j] = 0.0
            for i in range(count):
                worth[j] += cost[i] * inverse[i, j]
        found, price = entering(size, worth, best, last, column)
        if not found:
            break
        place = pivot(inverse, amount, column, direction)
        if place < 0:
            break
        cost[place] = price
    for j in range(count):
        worth[j] = max(worth[j], 0.0)


def gather(shapes: Shapes, known: Worth, pods: Floats, cpu_milli: Floats) -> int:
    """Sum GPUs and CPU of the arrived pods by GPU size; return how many sizes there are."""
    pods[:] = 0.0
    cpu_milli[:] = 0.0
    for s in range(shapes.gpus.size):
        if shapes.gpus[s] > 0:
            pods[shapes.gpu_milli[s]] += known.seen[s] * shapes.gpus[s]
            cpu_milli[shapes.gpu_milli[s]] += known.seen[s] * shapes.cpu_milli[s]
    count = 0
    for size in range(1, FULL_MILLI + 1):
        if pods[size] > 0.0:
            count += 1
    return count


def fill_tables(known: Worth, size: Ints, worth: Floats, cpu_milli: Floats, ratio: float) -> None:
    """Fill the grid of CPU prices and, for each, the worth of each hole.

    Args:
        known: Its price and table are filled.
        size: GPU milli, rising.
        worth: Of each size, in GPUs.
        cpu_milli: Mean CPU of a pod of each size.
        ratio: CPU milli that is asked for with a GPU's worth, over all pods.
    """
    for p in range(known.price.size):
        known.price[p] = 0.0 if p == 0 else FIRST_PRICE * PRICE_STEP ** (p - 1) / ratio
        row = known.table[p]
        row[0] = 0.0
        for room in range(1, FULL_MILLI + 1):
            best = row[room - 1]
            for i in range(size.size):
                if size[i] > room:
                    break
                cpu = OWN_CPU * cpu_milli[i] + ALL_CPU * ratio * worth[i]
                gain = worth[i] - known.price[p] * cpu
                if gain > 0.0 and gain + row[room - size[i]] > best:
                    best = gain + row[room - size[i]]
            row[room] = best


def node_worth(known: Worth, cpu_milli: int, gpu_milli: Ints, gpus: int) -> float:
    """Return what may still be earned on a node, in GPUs: a Lagrangian bound on its packing.

    At any CPU price the worth of its holes and of its CPU together is no less than the best
    that fits; so the least over the prices is the sharpest such bound.
    """
    least = 0.0
    for p in range(known.price.size):
        total = known.price[p] * cpu_milli
        for g in range(gpus):
            total += known.table[p, gpu_milli[g]]
        if p == 0 or total < least:
            least = total
    return least


KERNELS = (best_cut, entering, pivot, cutting_duals, gather, fill_tables, node_worth)
