"""On what a job could start while a plan is improved, and what a task of it is worth there.

A started task is worth

    dominant share of the need × (1 - score / 2),

the score being the policy's for the flavor, from 0 (best) to 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fenglin.fairness.share import dominant_share
from fenglin.planner.draft import Draft
from fenglin.planner.rank import Scored, score
from fenglin.planner.runtime import Runtime, runtime_of


class Prospects:
    """The options of jobs, each looked at once."""

    def __init__(self, draft: Draft) -> None:
        """Take the draft after all granting."""
        self._draft = draft
        self._weights = sum(abs(weight) for _, weight in draft.policy.weights) or 1.0
        self._scored: dict[int, dict[int, Scored]] = {}
        self._alike: dict[tuple[int, Runtime, int, tuple[int, ...]], list[Scored]] = {}

    def of(self, row: int) -> dict[int, Scored]:
        """Return by flavor row the options of a job on which it could ever start."""
        found = self._scored.get(row)
        if found is None:
            found = self._scored[row] = {o.figures.view.row: o for o in self._options(row)}
        return found

    def dearest_micro(self, row: int) -> int:
        """Return the most money to hold for one task of a job, on any flavor."""
        return max((o.figures.hold_micro for o in self.of(row).values()), default=0)

    def size(self, need: Sequence[int]) -> float:
        """Return the dominant share of a need."""
        return dominant_share(need, self._draft.pool_total, 1_000)

    def worth(self, option: Scored, need: Sequence[int]) -> float:
        """Return what a task is worth on an option."""
        part = min(1.0, max(0.0, option.score / self._weights))
        return self.size(need) * (1.0 - part / 2)

    def _options(self, row: int) -> list[Scored]:
        """Return all that could hold the job; as when it was served where there was room then."""
        draft = self._draft
        shape_row, pending = draft.job_shape[row], draft.pending(row)
        runtime = runtime_of(draft.snapshot, row, draft.policy)
        key = (shape_row, runtime, pending, draft.present(row))
        if key not in self._alike:
            figures = [
                draft.figures(draft.flavors[at], shape_row, runtime, pending, 1, key[3])
                for at in np.flatnonzero(draft.possible[shape_row]).tolist()
            ]
            self._alike[key] = score(figures, draft.policy)
        grant = draft.grants.get(row)
        return self._alike[key] + (grant.options if grant else [])
