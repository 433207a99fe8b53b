"""The brain: pure `plan(snapshot, policy) → Plan`, and `explain` for one job of it.

Who asks about many jobs of one plan keeps an `Explainer`. All are loaded on first use, so that
who needs only the result types (the command line through `wire`) does not import NumPy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fenglin.planner.planning import plan
    from fenglin.planner.receipt import Explainer, explain

__all__ = ["Explainer", "explain", "plan"]

_HOMES = {
    "Explainer": "fenglin.planner.receipt",
    "explain": "fenglin.planner.receipt",
    "plan": "fenglin.planner.planning",
}


def __getattr__(name: str) -> object:
    """Load one of these from its own file (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
