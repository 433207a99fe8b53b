"""The planner's only input: an immutable picture of the pool, in columns."""

from fenglin.snapshot.snapshot import Shape, Snapshot

__all__ = ["Shape", "Snapshot"]
