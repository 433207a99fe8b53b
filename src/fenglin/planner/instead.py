"""What a waiting job could be instead to start now: smaller, shorter, or somewhere else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from msgspec import structs

from fenglin.model.job import Topology
from fenglin.model.plan import Option
from fenglin.planner.aftermath import Turn
from fenglin.planner.draft import Draft
from fenglin.planner.feasible import out_of_service, refuse
from fenglin.planner.lent import tasks_in
from fenglin.planner.pack import Pool
from fenglin.planner.runtime import FOREVER, Runtime
from fenglin.planner.view import FlavorView
from fenglin.planner.words import amount_of, count_of
from fenglin.quantities.durations import format_duration
from fenglin.quantities.money import format_money
from fenglin.snapshot.cards import rooms
from fenglin.snapshot.snapshot import I64, Bool, Shape

_CARDS = 3


@dataclass(frozen=True, slots=True)
class Wait:
    """A job that found no room.

    Attributes:
        draft: Of its plan; nothing is granted from it.
        turn: What it found.
        row: Job row.
        shape: Its shape.
        runtime: What is known of its runtime.
        tasks: Waiting tasks.
        options: As in its receipt.
    """

    draft: Draft
    turn: Turn
    row: int
    shape: Shape
    runtime: Runtime
    tasks: int
    options: tuple[Option, ...]


def instead(wait: Wait) -> str:
    """Return `memory ≤ 12GiB, or at b/std for 0.8 CNY more`; empty where nothing would help."""
    found = [_shorter(wait), _smaller(wait), _elsewhere(wait)]
    return ", or ".join(text for text in found if text)


def _shorter(wait: Wait) -> str:
    """Name the longest limit with which it could borrow what is kept for those ahead."""
    lent, shape, draft = wait.turn.lent, wait.shape, wait.draft
    if lent is None or shape.licences:
        return ""
    now_ms, up = draft.snapshot.now_ms, draft.snapshot.node_up
    longest = 0
    for view in _possible(wait):
        limit_ms = min(FOREVER, now_ms + wait.runtime.limit_on(view.flavor))
        for begin_ms in sorted({booking.start_ms for booking, _ in wait.turn.ahead}):
            nodes, counts = lent.counts_everywhere(shape, view, up, begin_ms)
            fits = tasks_in(shape, counts, draft.snapshot.node_block[nodes])
            if begin_ms < limit_ms and fits:
                longest = max(longest, begin_ms - now_ms)
    return f"with a timeout ≤ {format_duration(longest)}" if longest else ""


def _smaller(wait: Wait) -> str:
    """Name the one amount that, made smaller, asks for the least sacrifice."""
    found: list[tuple[float, int, str]] = []
    shape = wait.shape
    for view in _possible(wait):
        pool = wait.turn.open
        if shape.nodes > 1:
            nodes = _count(shape, view, wait)
            if nodes:
                found.append((nodes / shape.nodes, -view.row, f"with {count_of(nodes, 'node')}"))
        for dimension, need in enumerate(shape.resources.values()):
            most = _most_of(dimension, wait, view, pool) if need else 0
            if 0 < most < need:
                text = f"with at most {amount_of(dimension, most)}"
                found.append((most / need, -view.row, text))
    return max(found)[2] if found else ""


def _elsewhere(wait: Wait) -> str:
    """Name the cheapest place that only the job's own wishes exclude, and what it would cost."""
    draft = wait.draft
    free = structs.replace(
        wait.shape, compute_class=None, sites=(), regions=(), require=(), near="", latency_ms=0
    )
    if free == wait.shape or free.licences:
        return ""
    shape_row = draft.job_shape[wait.row]
    found: list[tuple[int, FlavorView]] = []
    for view in draft.flavors:
        excluded = refuse(wait.shape, view) is not None and refuse(free, view) is None
        if not excluded or out_of_service(free, view) is not None:
            continue
        if _count(free, view, wait) >= free.nodes:
            figures = draft.figures(view, shape_row, wait.runtime, wait.tasks, 1)
            found.append((figures.price_micro, view))
    if not found:
        return ""
    price, view = min(found, key=lambda pair: (pair[0], pair[1].row))
    own = [option.price_micro for option in wait.options if option.start_ms]
    if not own:
        return f"at {view.label}"
    more = price - min(own)
    currency = view.flavor.price_for(wait.shape.tariff).currency
    if not more:
        return f"at {view.label} for the same price"
    return (
        f"at {view.label} for {format_money(abs(more), currency)} {'more' if more > 0 else 'less'}"
    )


def _possible(wait: Wait) -> list[FlavorView]:
    """Return the flavors in service that can hold the job."""
    flavors = wait.draft.flavors
    rows = np.flatnonzero(wait.draft.possible[wait.draft.job_shape[wait.row]]).tolist()
    return [flavors[row] for row in rows if out_of_service(wait.shape, flavors[row]) is None]


def _fits(shape: Shape, view: FlavorView, wait: Wait, without: int = -1) -> Bool:
    """Return on which of the flavor's nodes a task's part fits, but for one dimension."""
    pool = wait.turn.open
    fits: Bool = np.array(wait.draft.snapshot.node_up[view.first : view.stop])
    for dimension, need in enumerate(shape.resources.values()):
        if need and dimension != without:
            fits &= pool.free[dimension][view.first : view.stop] >= need
    milli = shape.resources.accelerator_milli
    if milli and without != _CARDS:
        fits &= rooms(pool.cards[view.first : view.stop], milli) > 0
    return fits


def _count(shape: Shape, view: FlavorView, wait: Wait) -> int:
    """Return on how many nodes (of one block, if it must be) a task's part fits."""
    return _largest(shape, view, wait, _fits(shape, view, wait).astype(np.int64), 1)


def _largest(shape: Shape, view: FlavorView, wait: Wait, has: I64, least: int) -> int:
    """Return how many nodes have that much, in the block that has most of them if it must."""
    enough = has >= least
    if shape.topology is Topology.BLOCK and enough.any():
        block = wait.draft.snapshot.node_block[view.first : view.stop][enough]
        return int(np.unique(block, return_counts=True)[1].max())
    return int(enough.sum())


def _most_of(dimension: int, wait: Wait, view: FlavorView, pool: Pool) -> int:
    """Return how much of one dimension each of enough nodes has that have all else."""
    shape = wait.shape
    fits = _fits(shape, view, wait, without=dimension)
    has: I64 = pool.free_for(shape, dimension)[view.first : view.stop]
    levels = np.unique(has[fits & (has > 0)])
    for most in levels[::-1].tolist() if shape.topology is Topology.BLOCK else ():
        if _largest(shape, view, wait, np.where(fits, has, 0), most) >= shape.nodes:
            return int(most)
    ranked = np.sort(has[fits])[::-1]
    if shape.topology is Topology.BLOCK or len(ranked) < shape.nodes:
        return 0
    return max(0, int(ranked[shape.nodes - 1]))
