"""The cheapest way through a chain of tasks, data moved between regions included.

Dynamic programming (Bellman) over regions. Within a region only the cheapest offer matters,
since moving data costs the same from all of them: with R regions a step is R² sums, whatever the
size of the catalogue. All money is whole micro-USD, so the answer is exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct

from fenglin.catalog.offers.columns import Ints, Mask
from fenglin.catalog.offers.egress import FREE, EgressTable, matrix
from fenglin.catalog.offers.need import OfferNeed
from fenglin.catalog.offers.search import Offer, cheapest_by_place, offer_at, price_kind
from fenglin.errors import InputError
from fenglin.quantities.money import rate_micro

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.catalog.offers.catalogue import Catalogue

MAX_TOTAL_MICRO = 10**18
_SECONDS_PER_HOUR = 3_600
_MILLI = 1_000


class ChainTask(Struct, frozen=True, kw_only=True):
    """One task of a chain.

    Attributes:
        name: For the answer.
        needs: Alternatives, any of which will do; at least one.
        runtime_s: How long it runs, in seconds.
        nodes: How many machines it takes.
        output_milli_gb: Data that the next task reads, in thousandths of a GB (10^9 bytes).
    """

    name: str
    needs: tuple[OfferNeed, ...]
    runtime_s: int
    nodes: int = 1
    output_milli_gb: int = 0


class ChainStep(Struct, frozen=True, kw_only=True):
    """Where one task runs.

    Attributes:
        task: Its name.
        offer: On what.
        nodes: How many of these.
        cost_micro: For its whole runtime, in micro-USD.
        egress_micro: For bringing in what the task before it made.
        egress_assumed: Whether the price for that was not known and a high one assumed.
    """

    task: str
    offer: Offer
    nodes: int
    cost_micro: int
    egress_micro: int
    egress_assumed: bool


class ChainPlan(Struct, frozen=True, kw_only=True):
    """The cheapest placement of a chain.

    Attributes:
        steps: One per task, in order.
        total_micro: Machines and moved data together, in micro-USD.
        stuck: Name of the first task that nothing suits; empty when the plan is whole.
    """

    steps: tuple[ChainStep, ...]
    total_micro: int
    stuck: str = ""


class _Stage(Struct):
    """What a task could run on: one offer per place."""

    places: Ints
    rows: Ints
    costs: Ints
    picked: Ints
    moved: Ints
    assumed: Mask


def plan_chain(
    catalogue: Catalogue, tasks: Sequence[ChainTask], egress: EgressTable = FREE
) -> ChainPlan:
    """Return the cheapest placement of tasks that run one after another.

    Of placements that cost the same, the one whose last task lies in the first place by name
    wins, then that of the task before it, and so on.

    Args:
        catalogue: Offers.
        tasks: In the order in which they run.
        egress: Prices of moving data; free unless given.

    Raises:
        InputError: a sum could exceed a trillion dollars.
    """
    prices, assumed = matrix(egress, catalogue.places)
    _check_size(catalogue, tasks, int(prices.max(initial=0)))
    stages: list[_Stage] = []
    total: Ints = np.zeros(0, dtype=np.int64)
    for i, task in enumerate(tasks):
        places, rows, hourly = cheapest_by_place(catalogue, task.needs)
        if len(places) == 0:
            return ChainPlan(steps=(), total_micro=0, stuck=task.name)
        costs = _costs(hourly, task)
        stage = _Stage(places, rows, costs, places, np.zeros_like(places), places < 0)
        if i == 0:
            total = costs
        else:
            before = stages[-1].places
            pairs = np.ix_(before, places)
            move = _moved(prices[pairs], tasks[i - 1].output_milli_gb)
            sums = total[:, None] + move
            stage.picked = sums.argmin(axis=0)
            here = np.arange(len(places))
            stage.moved = move[stage.picked, here]
            stage.assumed = assumed[pairs][stage.picked, here] & (stage.moved > 0)
            total = sums[stage.picked, here] + costs
        stages.append(stage)
    return _traced(catalogue, tasks, stages, total)


def _traced(
    catalogue: Catalogue, tasks: Sequence[ChainTask], stages: list[_Stage], total: Ints
) -> ChainPlan:
    """Follow the choices back from the end."""
    if not stages:
        return ChainPlan(steps=(), total_micro=0)
    at = int(total.argmin())
    whole = int(total[at])
    steps = []
    for task, stage in zip(reversed(tasks), reversed(stages), strict=True):
        row = int(stage.rows[at])
        steps.append(
            ChainStep(
                task=task.name,
                offer=offer_at(catalogue, row, spot=task.needs[0].spot),
                nodes=task.nodes,
                cost_micro=int(stage.costs[at]),
                egress_micro=int(stage.moved[at]),
                egress_assumed=bool(stage.assumed[at]),
            )
        )
        at = int(stage.picked[at])
    return ChainPlan(steps=tuple(reversed(steps)), total_micro=whole)


def _costs(hourly: Ints, task: ChainTask) -> Ints:
    """Return what the whole task costs at each hourly price, rounded half to even once."""
    seconds = task.runtime_s * task.nodes
    return np.array(
        [rate_micro(seconds, _SECONDS_PER_HOUR, price) for price in hourly.tolist()],
        dtype=np.int64,
    )


def _moved(price_micro: Ints, milli_gb: int) -> Ints:
    """Return what moving the data costs at each price per GB, rounded half to even."""
    whole, rest = np.divmod(price_micro * milli_gb, _MILLI)
    up = (2 * rest > _MILLI) | ((2 * rest == _MILLI) & (whole % 2 == 1))
    cost: Ints = whole + up
    return cost


def _check_size(catalogue: Catalogue, tasks: Sequence[ChainTask], dearest_move: int) -> None:
    """Refuse a chain whose sums might not fit into 64 bits."""
    bound = 0
    for task in tasks:
        kinds = {price_kind(need) for need in task.needs}
        if len(kinds) > 1:
            raise InputError(
                "alternatives of one task must all be spot, or none", where=f"task {task.name}"
            )
        dearest = max((int(catalogue.amounts[kind].max(initial=0)) for kind in kinds), default=0)
        bound += dearest * task.runtime_s * task.nodes // _SECONDS_PER_HOUR + 1
        bound += dearest_move * task.output_milli_gb
    if bound > MAX_TOTAL_MICRO:
        raise InputError(
            "the chain could cost more than a trillion dollars",
            hint="check hours, nodes and outputs",
        )
