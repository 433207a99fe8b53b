"""The bound by linear programming: tasks may be cut to pieces, and gangs spread as they like.

Nodes that are alike (flavor, what is free) form a class. The variables are how many slots of each
shape a class takes; the constraints are what of each amount the class has free in all, how many
slots fit node by node, how many tasks want to start, and each site's licences. Everything else
(whole tasks, gangs on distinct nodes, quotas, money, order) is left out, so no plan can fill more.

Solved with HiGHS, which comes with the extra `simulate` and is loaded only here: the cycle itself
states the combinatorial bound of `bound.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fenglin.errors import UnavailableError
from fenglin.planner.bound import bound_slots, room_per_shape, wanted_per_shape
from fenglin.planner.draft import Draft
from fenglin.planner.order import may_start
from fenglin.planner.policy import BALANCED, Policy
from fenglin.quantities.resources import DIMENSIONS
from fenglin.snapshot.cards import rooms
from fenglin.snapshot.snapshot import I64, Snapshot

F64 = NDArray[np.float64]
_CARDS = DIMENSIONS.index("accelerator_milli")
# With more variables than this, classes are joined by flavor: looser, but soon solved.
MOST_VARIABLES = 60_000
_TOLERANCE = 1e-6


class Bounds(NamedTuple):
    """Upper bounds on the slots that any plan could fill.

    Attributes:
        combinatorial: As every plan states it.
        linear: By linear programming.
    """

    combinatorial: int
    linear: int

    @property
    def slots(self) -> int:
        """Return the tighter of both."""
        return min(self)


def bounds(snapshot: Snapshot, policy: Policy = BALANCED) -> Bounds:
    """Return both bounds for one picture of the pool.

    Raises:
        UnavailableError: HiGHS is not installed.
    """
    eligible = may_start(snapshot)
    wanted = wanted_per_shape(snapshot, eligible)
    draft = Draft(snapshot, policy)
    room = room_per_shape(draft, wanted)
    most = linear_bound(draft, wanted, [1.0] * len(snapshot.shapes))
    return Bounds(bound_slots(snapshot, wanted, room), int(most + _TOLERANCE * max(1.0, most)))


def linear_bound(
    draft: Draft, wanted: Sequence[int], worth: Sequence[float], least: Sequence[int] = ()
) -> float:
    """Return the most that can be had when slots of each shape are worth so much.

    Args:
        draft: Before anything is granted.
        wanted: Per shape, tasks that would start at once.
        worth: Per shape, of one slot (a gang of n nodes has n).
        least: Per shape, slots that must start; none unless given.

    Raises:
        UnavailableError: HiGHS is not installed, or found that so much cannot start.
    """
    shapes = [row for row, count in enumerate(wanted) if count > 0 and draft.possible[row].any()]
    if not shapes or not draft.snapshot.node_up.any():
        return 0.0
    classes = _classes(draft, len(shapes))
    problem = _Problem(draft, shapes, classes, wanted, worth)
    problem.least = [float(least[row]) if least else 0.0 for row in shapes]
    return problem.solve() if problem.variables else 0.0


class _Class(NamedTuple):
    """Nodes that are alike."""

    flavor: int
    nodes: I64


def _classes(draft: Draft, shapes: int) -> list[_Class]:
    """Return the usable nodes by flavor and what is free, or by flavor alone if that is much."""
    snapshot = draft.snapshot
    up = np.flatnonzero(snapshot.node_up)
    flavor = snapshot.node_flavor[up].astype(np.int64)[:, None]
    like = np.concatenate((flavor, snapshot.node_free[up], snapshot.node_cards[up]), axis=1)
    number = np.unique(like, axis=0, return_inverse=True)[1].reshape(-1)
    if (int(number.max()) + 1) * shapes > MOST_VARIABLES:
        number = np.unique(flavor, return_inverse=True)[1].reshape(-1)
    ranks = np.argsort(number, kind="stable")
    parts = np.split(up[ranks], np.cumsum(np.bincount(number))[:-1])
    return [_Class(int(snapshot.node_flavor[part[0]]), part) for part in parts]


class _Problem:
    """The linear program, column by column."""

    def __init__(
        self,
        draft: Draft,
        shapes: Sequence[int],
        classes: Sequence[_Class],
        wanted: Sequence[int],
        worth: Sequence[float],
    ) -> None:
        self.draft = draft
        self.shapes = shapes
        self.classes = classes
        self.least: Sequence[float] = ()
        snapshot = draft.snapshot
        self.upper: list[float] = []
        self.worth: list[float] = []
        self.starts: list[int] = [0]
        self.rows: list[int] = []
        self.values: list[float] = []
        width = len(DIMENSIONS)
        # Rows: per shape what is wanted, per class and dimension what is free, per licence.
        self.limits: list[float] = [float(wanted[s] * snapshot.shapes[s].nodes) for s in shapes]
        free = np.maximum(0, snapshot.node_free)
        self.free = np.array([free[one.nodes].sum(axis=0) for one in classes], np.float64)
        self.limits += [1.0] * (len(classes) * width)
        self.limits += snapshot.licence_free.astype(np.float64).tolist()
        self.licence = {name: at for at, name in enumerate(snapshot.licence_names)}
        for place, shape_row in enumerate(shapes):
            for number, one in enumerate(classes):
                most = self._most(shape_row, one, wanted[shape_row])
                if most > 0:
                    self._column(place, shape_row, number, most, worth[shape_row])
        self.variables = len(self.upper)

    def _most(self, shape_row: int, one: _Class, wanted: int) -> int:
        """Return how many slots of a shape fit on a class, node by node; a gang takes one each."""
        draft = self.draft
        if not draft.possible[shape_row, one.flavor]:
            return 0
        snapshot, shape = draft.snapshot, draft.snapshot.shapes[shape_row]
        counts = np.full(len(one.nodes), wanted, np.int64)
        for dimension, need in enumerate(shape.resources.values()):
            if need:
                fits = np.maximum(0, snapshot.node_free[one.nodes, dimension]) // need
                np.minimum(counts, fits, out=counts)
        if shape.resources.accelerator_milli and snapshot.node_cards.shape[1]:
            cards = rooms(snapshot.node_cards[one.nodes], shape.resources.accelerator_milli)
            np.minimum(counts, cards, out=counts)
        return int(counts.sum())

    def _column(self, place: int, shape_row: int, number: int, most: int, worth: float) -> None:
        shape = self.draft.snapshot.shapes[shape_row]
        width = len(DIMENSIONS)
        entries = [(place, 1.0)]
        for dimension, need in enumerate(shape.resources.values()):
            if need:
                row = len(self.shapes) + number * width + dimension
                entries.append((row, need / self.free[number, dimension]))
        site_row = self.draft.flavors[self.classes[number].flavor].site_row
        first = len(self.shapes) + len(self.classes) * width
        for name, count in shape.licences:
            entries.append((first + self.licence[site_row, name], count / shape.nodes))
        self.rows += [row for row, _ in entries]
        self.values += [value for _, value in entries]
        self.starts.append(len(self.rows))
        self.upper.append(float(most))
        self.worth.append(worth)

    def solve(self) -> float:
        """Return the optimum."""
        highspy = _highs()
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = self.variables, len(self.limits)
        lp.sense_ = highspy.ObjSense.kMaximize
        lp.col_cost_ = np.array(self.worth)
        lp.col_lower_ = np.zeros(self.variables)
        lp.col_upper_ = np.array(self.upper)
        rest = len(self.limits) - len(self.least)
        lp.row_lower_ = np.concatenate((self.least, np.full(rest, -highspy.kHighsInf)))
        lp.row_upper_ = np.array(self.limits)
        lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        lp.a_matrix_.start_ = np.array(self.starts, np.int32)
        lp.a_matrix_.index_ = np.array(self.rows, np.int32)
        lp.a_matrix_.value_ = np.array(self.values)
        solver = highspy.Highs()
        for option, value in (("output_flag", False), ("threads", 1)):
            solver.setOptionValue(option, value)
        solver.passModel(lp)
        solver.run()
        if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            raise UnavailableError(
                f"HiGHS found no optimum: {solver.modelStatusToString(solver.getModelStatus())}",
                where="planner",
                hint="use the combinatorial bound that the plan states",
            )
        return float(solver.getInfo().objective_function_value)


def _highs() -> Any:  # noqa: ANN401 - HiGHS declares no types
    """Return the solver's module.

    Raises:
        UnavailableError: it is not installed.
    """
    try:
        return import_module("highspy")
    except ImportError as error:
        raise UnavailableError(
            "the bound by linear programming needs HiGHS",
            where="highspy",
            hint="install fenglin[simulate]",
        ) from error
