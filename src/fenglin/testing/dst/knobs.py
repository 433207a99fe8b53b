"""Constants of the engine that a run may turn: how often it looks, how much it does at once.

Turned by the seed, for two ends: settings that nobody runs show assumptions that nobody wrote
down, and a day of polling every second would spend the run on looks at which nothing is new.
"""

from __future__ import annotations

import contextlib
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random
    from types import ModuleType

# (module, name, choices); the first choice is what hubs ship with.
KNOBS: tuple[tuple[str, str, tuple[float, ...]], ...] = (
    ("fenglin.engine.watcher", "BUSY_POLL_S", (1.0, 60.0, 600.0)),
    ("fenglin.engine.watcher", "IDLE_POLL_S", (15.0, 300.0, 900.0)),
    ("fenglin.engine.watcher", "INVENTORY_EVERY_MS", (15_000, 300_000, 60_000)),
    ("fenglin.engine.loop", "MOST_SLEEP_S", (30.0, 600.0)),
    ("fenglin.engine.loop", "PLAN_INLINE_JOBS", (200, 0, 5)),
    ("fenglin.engine.loop", "ARRIVALS_PER_PLAN", (20, 1_000)),
    ("fenglin.engine.effects", "MOST_CALLS_PER_SITE", (16, 1, 3)),
    ("fenglin.engine.applier", "MOST_RECEIPTS", (32, 0, 1)),
    ("fenglin.engine.fold", "MOST_ENDS_TOLD", (5, 0)),
    ("fenglin.engine.changes", "MOST_KEPT", (50_000, 3)),
    ("fenglin.engine.books.vouchers", "LAPSE_EVERY_S", (60.0, 300.0, 1_200.0)),
    # A voucher's day: in an hour of simulated time some must expire.
    ("fenglin.ledger.vouchers.pool", "DAY_MS", (86_400_000, 600_000, 600_000, 3_600_000)),
    ("fenglin.engine.keyless", "LOOK_S", (2.0, 60.0, 300.0)),
)

# Only short runs can afford these as shipped.
SLOW = ("BUSY_POLL_S", "IDLE_POLL_S", "INVENTORY_EVERY_MS", "LOOK_S")


def calm_down() -> None:
    """Look no more often than most runs do, once all is well; `turned` turns it back."""
    for place, name, (_, seldom, *_) in KNOBS:
        if name in SLOW:
            module = import_module(place)
            setattr(module, name, max(seldom, getattr(module, name)))


@contextlib.contextmanager
def turned(random: Random, *, as_shipped: bool) -> Iterator[dict[str, float]]:
    """Turn the knobs for a run, and turn them back.

    Args:
        random: Source of the choices.
        as_shipped: Leave all where hubs have them.
    """
    before: list[tuple[ModuleType, str, float]] = []
    chosen: dict[str, float] = {}
    try:
        for place, name, choices in KNOBS:
            open_to = choices[1:] if name in SLOW else choices
            value = choices[0] if as_shipped else random.choice(open_to)
            module = import_module(place)
            before.append((module, name, getattr(module, name)))
            setattr(module, name, value)
            chosen[name] = value
        yield chosen
    finally:
        for module, name, shipped in before:
            setattr(module, name, shipped)
