"""The mirror of the house: traces, a virtual clock, and the planner's own decisions."""
