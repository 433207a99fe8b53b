"""What a term is: a figure of an option of which less is better, and how it is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from typing import NamedTuple

from fenglin.catalog.network import Moved
from fenglin.planner.scene import Scene
from fenglin.planner.view import FlavorView
from fenglin.snapshot.snapshot import Shape


class Figures(NamedTuple):
    """What is reckoned of one option for one job.

    Attributes:
        view: The flavor.
        slots: Tasks that may run there at once.
        task_ms: Expected runtime of one task.
        finish_ms: Expected time to do all waiting tasks there alone, from now, with the time
            to bring their data.
        price_micro: Expected price of all waiting tasks there, as it will be billed.
        currency: Of that price.
        hold_micro: Money to hold per task.
        shape: What one task needs.
        shape_row: Row of that shape.
        tasks: How many tasks wait.
        moved: What it takes to bring their data.
        scene: The pool as a whole.
    """

    view: FlavorView
    slots: int
    task_ms: int
    finish_ms: int
    price_micro: int
    currency: str
    hold_micro: int
    shape: Shape
    shape_row: int
    tasks: int
    moved: Moved
    scene: Scene


def _always(_: Shape) -> bool:
    """Return that a term says something of every job."""
    return True


class Rule(NamedTuple):
    """A registered term.

    Attributes:
        purpose: What it prefers, in one sentence.
        raw: The figure behind the value, at least 0, less is better; None for unknown.
        show: The figure with its unit, as a receipt shows it.
        floor: A difference much smaller than this hardly counts, in the unit of `raw`.
        applies: Of which jobs it says anything; of the others it is left out.
    """

    purpose: str
    raw: Callable[[Figures], float | None]
    show: Callable[[float, Figures], str]
    floor: float = 0.0
    applies: Callable[[Shape], bool] = _always


def clean(raw: float | None) -> float | None:
    """Return a figure that can be compared; None where it is unknown, NaN or infinite."""
    return max(0.0, raw) if raw is not None and isfinite(raw) else None


def normalised(raw: Sequence[float | None], floor: float) -> list[float]:
    """Return values from 0 for the best option towards 1 for one that is many times worse.

    value = 1 − (best + floor) / (figure + floor). An unknown figure gets the mean of the known
    values: it is neither best nor worst, and without any known one nothing is said.
    """
    figures = [clean(one) for one in raw]
    there = [one for one in figures if one is not None]
    if not there:
        return [0.0] * len(raw)
    best = min(there) + floor
    values = [
        None if one is None else 1.0 - best / (one + floor) if one + floor > best else 0.0
        for one in figures
    ]
    mean = sum(value for value in values if value is not None) / len(there)
    return [mean if value is None else value for value in values]
