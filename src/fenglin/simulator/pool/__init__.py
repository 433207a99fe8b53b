"""Whole pools in virtual time: the hub's own planner, applier and lifecycle, without a hub."""
