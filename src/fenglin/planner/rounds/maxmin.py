"""Max-min fair shares of time on unlike workers: the linear program of Gavel's LAS, solved.

    maximise  t
    with      Σ_j gain[k, j] · part[k, j] ≥ t      for every job of kind k
              Σ_j part[k, j] ≤ 1                   for every job
              Σ_k many[k] · size[k] · part[k, j] ≤ workers[j]
              part ≥ 0

(Narayanan et al., OSDI'20, section 4.1.) Jobs of one kind have the same row, so the analytic
centre of the program over jobs gives them the same part, and we only keep one row a kind, with
its barrier counted `many` times. The barrier method follows the central path, as interior-point
solvers do, so among the many optima we return the one that they come near to. Each Newton step
costs a small system per kind and one of types + 1 equations that ties them together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fenglin.planner.rounds.columns import Floats, Ints

# The optimum is missed by at most this part of t.
GAP = 5e-5
# The barrier's weight falls by this much once the iterate is central enough.
FALL = 0.2
NEWTON_STEPS = 30
CENTRAL = 1e-3
# A step goes at most this far towards the nearest wall.
REACH = 0.95


class Fair(NamedTuple):
    """The program, by kind and type.

    Attributes:
        gain: Progress per time on the type; 0 where the kind cannot run.
        many: How many jobs of the kind there are.
        size: How many workers one takes.
        workers: By type.
    """

    gain: Floats
    many: Ints
    size: Ints
    workers: Ints


class Path(NamedTuple):
    """Where the iterate stands, and its scratch.

    Attributes:
        part: Shares of time, by kind and type.
        idle: By kind: time that is not given away.
        over: By kind: progress above t.
        spare: By type: workers that are not given away.
        answer: By kind: see `answer_kinds`.
        slope: By kind and type: gradient.
        step: By kind and type: Newton step.
        tie: The system of t and the types, with its right side as last column.
    """

    part: Floats
    idle: Floats
    over: Floats
    spare: Floats
    answer: Floats
    slope: Floats
    step: Floats
    tie: Floats


def eliminate(system: Floats) -> None:
    """Solve a system by elimination with pivots; the solutions replace the right columns."""
    size = system.shape[0]
    for c in range(size):
        pivot = c
        for r in range(c + 1, size):
            if abs(system[r, c]) > abs(system[pivot, c]):
                pivot = r
        for q in range(system.shape[1]):
            system[c, q], system[pivot, q] = system[pivot, q], system[c, q]
        for q in range(system.shape[1] - 1, c - 1, -1):
            system[c, q] /= system[c, c]
        for r in range(size):
            if r != c:
                for q in range(system.shape[1] - 1, c - 1, -1):
                    system[r, q] -= system[r, c] * system[c, q]


def measure(fair: Fair, path: Path, t: float) -> None:
    """Bring the slacks up to the parts and t."""
    for j in range(fair.workers.size):
        path.spare[j] = fair.workers[j]
    for k in range(fair.many.size):
        path.idle[k] = 1.0
        path.over[k] = -t
        for j in range(fair.workers.size):
            part = path.part[k, j]
            path.idle[k] -= part
            path.over[k] += fair.gain[k, j] * part
            path.spare[j] -= fair.many[k] * fair.size[k] * part


def answer_kinds(fair: Fair, path: Path) -> None:
    """Fill the gradients, and each kind's Newton step as a function of what ties kinds together.

    The unknowns of a kind are its step, and the multipliers of its time and of its progress
    (step along the wall over squared slack): unlike the plain Newton matrix this system stays
    sound when slacks are tiny. Columns: the constant part, per step of t, per crowding by type.
    """
    types = fair.workers.size
    system = np.zeros((types + 2, 2 * types + 4))
    for k in range(fair.many.size):
        system[:] = 0.0
        system[types, types] = -(path.idle[k] ** 2)
        system[types + 1, types + 1] = -(path.over[k] ** 2)
        system[types + 1, types + 3] = 1.0
        for j in range(types):
            gain, part = fair.gain[k, j], path.part[k, j]
            crowd = fair.size[k] / path.spare[j]
            slope = 1.0 / path.idle[k] - 1.0 / part - gain / path.over[k] + crowd
            path.slope[k, j] = fair.many[k] * slope
            system[j, j] = 1.0 / (part * part)
            system[j, types] = system[types, j] = 1.0
            system[j, types + 1] = system[types + 1, j] = gain
            system[j, types + 2] = -slope
            system[j, types + 4 + j] = -fair.size[k]
        eliminate(system)
        for r in range(types + 2):
            for q in range(types + 2):
                path.answer[k, r, q] = system[r, types + 2 + q]


def solve_tie(fair: Fair, path: Path, slope_t: float) -> None:
    """Solve for the step of t, and for how much more each type is crowded."""
    types = fair.workers.size
    tie = path.tie
    tie[:] = 0.0
    tie[0, types + 1] = slope_t
    for j in range(types):
        tie[1 + j, 1 + j] = -(path.spare[j] ** 2)
    for k in range(fair.many.size):
        many, load = fair.many[k], fair.many[k] * fair.size[k]
        tie[0, types + 1] -= many * path.answer[k, types + 1, 0]
        for q in range(types + 1):
            tie[0, q] += many * path.answer[k, types + 1, 1 + q]
        for j in range(types):
            tie[1 + j, types + 1] -= load * path.answer[k, j, 0]
            for q in range(types + 1):
                tie[1 + j, q] += load * path.answer[k, j, 1 + q]
    eliminate(tie)


def newton(fair: Fair, path: Path, push: float) -> tuple[float, float]:
    """Fill the Newton step; return the step of t, and the squared Newton decrement."""
    types = fair.workers.size
    slope_t = -push
    for k in range(fair.many.size):
        slope_t += fair.many[k] / path.over[k]
    answer_kinds(fair, path)
    solve_tie(fair, path, slope_t)
    rise = path.tie[0, types + 1]
    decrement = -slope_t * rise
    for k in range(fair.many.size):
        for j in range(types):
            step = path.answer[k, j, 0]
            for q in range(types + 1):
                step += path.answer[k, j, 1 + q] * path.tie[q, types + 1]
            path.step[k, j] = step
            decrement -= path.slope[k, j] * step
    return rise, decrement


def furthest(fair: Fair, path: Path, rise: float) -> float:
    """Return how much of the step may be taken before a wall is too near, at most 1."""
    least = REACH
    for k in range(fair.many.size):
        idle, over = 0.0, -rise
        for j in range(fair.workers.size):
            step = path.step[k, j]
            idle -= step
            over += fair.gain[k, j] * step
            least = max(least, -step / path.part[k, j])
        least = max(least, -idle / path.idle[k], -over / path.over[k])
    for j in range(fair.workers.size):
        spare = 0.0
        for k in range(fair.many.size):
            spare -= fair.many[k] * fair.size[k] * path.step[k, j]
        least = max(least, -spare / path.spare[j])
    return REACH / least


def begin(fair: Fair, path: Path) -> float:
    """Fill small equal parts; return a t below what everybody gets from them."""
    types = fair.workers.size
    load = 0
    for k in range(fair.many.size):
        load += fair.many[k] * fair.size[k]
    least = np.inf
    for k in range(fair.many.size):
        for j in range(types):
            path.part[k, j] = 0.5 * min(1.0 / types, fair.workers[j] / load)
        got = 0.0
        for j in range(types):
            got += fair.gain[k, j] * path.part[k, j]
        least = min(least, got)
    return 0.5 * least


def share_out(fair: Fair, path: Path) -> float:
    """Fill `path.part` with the central max-min fair parts; return t.

    Every kind must be able to run on a type that has workers, and every type must have some.
    """
    walls = fair.workers.size
    for k in range(fair.many.size):
        walls += fair.many[k] * (fair.workers.size + 2)
    t = begin(fair, path)
    weight = 1.0
    while True:
        for _ in range(NEWTON_STEPS):
            measure(fair, path, t)
            rise, decrement = newton(fair, path, 1.0 / weight)
            part = furthest(fair, path, rise)
            for k in range(fair.many.size):
                for j in range(fair.workers.size):
                    path.part[k, j] += part * path.step[k, j]
            t += part * rise
            if decrement < CENTRAL:
                break
        if weight * walls < GAP * t:
            return float(t)
        weight *= FALL


KERNELS = (
    eliminate,
    measure,
    answer_kinds,
    solve_tie,
    newton,
    furthest,
    begin,
    share_out,
)


def new_path(kinds: int, types: int) -> Path:
    """Return the scratch of a program of that size."""
    return Path(
        part=np.zeros((kinds, types)),
        idle=np.zeros(kinds),
        over=np.zeros(kinds),
        spare=np.zeros(types),
        answer=np.zeros((kinds, types + 2, types + 2)),
        slope=np.zeros((kinds, types)),
        step=np.zeros((kinds, types)),
        tie=np.zeros((types + 1, types + 2)),
    )
