"""What the planner answers; the records are words of the house, see `fenglin.model.plan`."""

from fenglin.model.plan import Option, Plan, Receipt, Start, Term

__all__ = ["Option", "Plan", "Receipt", "Start", "Term"]
