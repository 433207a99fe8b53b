"""What a training job that can change its size would do: goodput, learned from its own steps.

Goodput is the progress per second that a batch of the first size would make: throughput times
statistical efficiency. The models are those of Pollux (OSDI'21, sections 3 and 4). A step takes
`(compute ** overlap + network ** overlap) ** (1 / overlap)`; computing is linear in the batch on
a card, the network linear in the cards, with other terms within a node and across nodes. The
efficiency of a batch follows from the variance of the gradient, which a job measures on its way.

These are kernels: they run as they stand, or compiled.
"""

from __future__ import annotations

from math import ceil, exp, log, sqrt
from typing import NamedTuple

import numpy as np

from fenglin.planner.rounds.columns import Floats

# Terms of a step: compute (constant, per sample), network across nodes (constant, per card),
# network within a node (constant, per card), overlap.
TERMS = 7
LEAST = 1e-8
MOST_OVERLAP = 10.0
# Beyond two cards every further one adds its term.
PAIR = 2.0
TRIED_BATCHES = 50
ROUNDING = 1e-8
MOST_ITERATIONS = 120
HALVINGS = 25
ENOUGH = 1e-6
KINK = 1e-12
# A step must bring this part of what the slope promises; errors below that one are good enough.
SLACK = 1e-4
FIT_WELL = 1e-3


class Seen(NamedTuple):
    """Steps that were measured.

    Attributes:
        nodes: Nodes of each.
        cards: Cards.
        local: Batch on a card.
        compute_s: Time of a step without the network.
        step_s: Time of a step.
    """

    nodes: Floats
    cards: Floats
    local: Floats
    compute_s: Floats
    step_s: Floats


class Limits(NamedTuple):
    """Batches that a job may use.

    Attributes:
        first: The size that it was written for; progress counts in these.
        most: The largest.
        least_local: On a card.
        most_local: On a card.
    """

    first: float
    most: float
    least_local: float
    most_local: float


def network_s(terms: Floats, nodes: float, cards: float) -> float:
    """Return the time that gradients take to be summed."""
    if nodes > 1:
        return float(terms[2] + terms[3] * max(cards - PAIR, LEAST))
    if cards > 1:
        return float(terms[4] + terms[5] * max(cards - PAIR, LEAST))
    return LEAST


def misfit(terms: Floats, seen: Seen, slope: Floats) -> float:
    """Return how far the terms are from what was seen, and its slope by the terms' logarithms.

    It is the error of the logarithms (root of the mean square) of computing and of the step, plus
    a little for overlap and for terms that grow with the cards.
    """
    count, overlap = seen.nodes.size, terms[6]
    first, second = KINK, KINK
    by_first, by_second = np.zeros(TERMS), np.zeros(TERMS)
    for i in range(count):
        local, more = seen.local[i], max(seen.cards[i] - PAIR, LEAST)
        compute, net = terms[0] + terms[1] * local, network_s(terms, seen.nodes[i], seen.cards[i])
        far = log(compute / seen.compute_s[i])
        first += far * far / count
        by_first[0] += far / compute
        by_first[1] += far * local / compute
        power_c, power_n = compute**overlap, net**overlap
        both = power_c + power_n
        whole = log(both) / overlap
        off = whole - log(seen.step_s[i])
        second += off * off / count
        on_compute, on_net = power_c / compute / both, power_n / net / both
        by_second[0] += off * on_compute
        by_second[1] += off * on_compute * local
        if seen.nodes[i] > 1:
            by_second[2] += off * on_net
            by_second[3] += off * on_net * more
        elif seen.cards[i] > 1:
            by_second[4] += off * on_net
            by_second[5] += off * on_net * more
        bent = (power_c * log(compute) + power_n * log(net)) / both
        by_second[6] += off * (bent - whole) / overlap
    first, second = sqrt(first), sqrt(second)
    for k in range(TERMS):
        slope[k] = (by_first[k] / first + by_second[k] / second) / count * terms[k]
    slope[6] += 2e-3 * (overlap - 1.0) * overlap
    total = first + second + 1e-3 * (overlap - 1.0) ** 2
    for k in (2, 4):
        ratio = (terms[k + 1] / terms[k]) ** 2
        total += 1e-2 * ratio
        slope[k + 1] += 2e-2 * ratio
        slope[k] -= 2e-2 * ratio
    return float(total)


def start_terms(terms: Floats, seen: Seen, free: Floats) -> None:
    """Set the terms before a fit, and tell which of them what was seen says nothing about."""
    across, within, many, alike = False, False, False, True
    for i in range(seen.nodes.size):
        across = across or seen.nodes[i] > 1
        within = within or (seen.nodes[i] == 1 and seen.cards[i] > 1)
        many = many or seen.cards[i] > PAIR
        alike = alike and seen.local[i] == seen.local[0]
    free[:] = 1.0
    terms[0], terms[1], terms[2], terms[3] = 0.1, 0.01, 0.1, 0.01
    terms[4], terms[5], terms[6] = 0.1, 0.01, 1.05
    if alike:
        # One batch: half of its time is taken as constant, so larger ones look better.
        terms[0], free[0] = np.mean(seen.compute_s) / 2.0, 0.0
    if not across:
        terms[2], terms[3], free[2], free[3] = LEAST, LEAST, 0.0, 0.0
    if not within:
        terms[4], terms[5], free[4], free[5] = LEAST, LEAST, 0.0, 0.0
    if not many:
        terms[3], terms[5], free[3], free[5] = LEAST, LEAST, 0.0, 0.0


def moved(terms: Floats, way: Floats, length: float, free: Floats, out: Floats) -> None:
    """Write the terms after a step in their logarithms, kept within their limits."""
    for k in range(TERMS):
        out[k] = terms[k]
        if free[k] > 0.0:
            out[k] = max(terms[k] * exp(min(max(length * way[k], -4.0), 4.0)), LEAST)
    out[6] = min(max(out[6], 1.0), MOST_OVERLAP)


def turned(curve: Floats, step: Floats, turn: Floats) -> None:
    """Bring the inverse curvature up to date after a step that turned the slope (BFGS)."""
    along = np.sum(step * turn)
    if along <= KINK:
        return
    shift = np.zeros(TERMS)
    for k in range(TERMS):
        shift[k] = np.sum(curve[k] * turn)
    bend = 1.0 + np.sum(turn * shift) / along
    for k in range(TERMS):
        for m in range(TERMS):
            both = shift[k] * step[m] + step[k] * shift[m]
            curve[k, m] += (bend * step[k] * step[m] - both) / along


def fit(seen: Seen, terms: Floats) -> None:
    """Fit the terms to what was seen, by a quasi-Newton search on their logarithms."""
    free, slope, after = np.ones(TERMS), np.zeros(TERMS), np.zeros(TERMS)
    way, tried = np.zeros(TERMS), np.zeros(TERMS)
    start_terms(terms, seen, free)
    curve = np.eye(TERMS)
    value = misfit(terms, seen, slope)
    slope *= free
    for _ in range(MOST_ITERATIONS):
        for k in range(TERMS):
            way[k] = -np.sum(curve[k] * slope)
        down = np.sum(way * slope)
        if down >= 0.0:
            curve, way = np.eye(TERMS), -slope
            down = -np.sum(slope * slope)
        length, better = 1.0, value
        for _ in range(HALVINGS):
            moved(terms, way, length, free, tried)
            better = misfit(tried, seen, after)
            if better <= value + SLACK * length * down:
                break
            length /= 2.0
        if better >= value:
            break
        after *= free
        turned(curve, np.log(tried / terms), after - slope)
        small = better >= value - ENOUGH * max(value, FIT_WELL)
        terms[:], slope[:], value = tried, after, better
        if small:
            break
    if not (seen.nodes > 1).any():
        # Nothing was seen across nodes: it is no faster than within one.
        terms[2], terms[3] = max(terms[2], terms[4] * 1.1), max(terms[3], terms[5] * 1.1)


def best_batch(
    terms: Floats, sqr: float, var: float, limits: Limits, nodes: float, cards: float
) -> tuple[float, int, int]:
    """Return the highest goodput on these cards, with the batch on a card and the extra passes.

    Args:
        terms: Of a step.
        sqr: Squared norm of the gradient.
        var: Its variance.
        limits: Batches that are allowed.
        nodes: Nodes.
        cards: Cards on them in all.

    Returns:
        Progress per second (0: nothing is allowed), batch on a card of one pass, and passes
        before the one that synchronises.
    """
    low = max(limits.first, limits.least_local * cards)
    net, overlap = network_s(terms, nodes, cards), terms[6]
    best, best_local, best_extra = 0.0, 0, 0
    for i in range(TRIED_BATCHES):
        share = low * (limits.most / low) ** (i / (TRIED_BATCHES - 1)) / cards
        extra = ceil(share / limits.most_local - ROUNDING) - 1
        if cards == 1 and share > limits.first + ROUNDING:
            extra = max(extra, 1)
        local = ceil(share / (extra + 1) - ROUNDING)
        if not limits.least_local <= local <= limits.most_local:
            continue
        compute = terms[0] + terms[1] * local
        took_s = extra * compute + (compute**overlap + net**overlap) ** (1.0 / overlap)
        scale = cards * local * (extra + 1) / limits.first
        rest = var / scale + sqr
        gain = (var + sqr) / rest if rest > 0.0 else 1.0
        if gain / took_s > best:
            best, best_local, best_extra = gain / took_s, local, extra
    return best, best_local, best_extra


def goodputs(
    terms: Floats, sqr: float, var: float, limits: Limits, nodes: Floats, cards: Floats,
    out: Floats,
) -> None:  # fmt: skip
    """Write the highest goodput by configuration."""
    for c in range(cards.size):
        out[c] = best_batch(terms, sqr, var, limits, nodes[c], cards[c])[0]


KERNELS = (network_s, misfit, start_terms, moved, turned, fit, best_batch, goodputs)
