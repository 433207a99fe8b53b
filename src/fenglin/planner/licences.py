"""Licences that are kept for jobs with reservations: nobody knows when those in use come back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.planner.promises import Place
from fenglin.quantities.resources import Resources
from fenglin.snapshot.snapshot import Shape

if TYPE_CHECKING:
    from fenglin.planner.draft import Draft


class KeptLicences:
    """What reservations hold of licences; the pool is kept in step."""

    def __init__(self, draft: Draft) -> None:
        """Begin with none."""
        self._draft = draft
        self._held: dict[tuple[int, str], int] = {}

    def some(self, shape: Shape, site_row: int) -> bool:
        """Return whether any of the licences that the shape needs is kept at the site."""
        return any(self._held.get((site_row, name), 0) > 0 for name, _ in shape.licences)

    def left(self, shape: Shape, site_row: int) -> bool:
        """Return whether the site has the licences of one task left."""
        if not shape.licences:
            return True
        snapshot = self._draft.snapshot
        left = dict(zip(snapshot.licence_names, snapshot.licence_free.tolist(), strict=True))
        for grant, piece in self._draft.placed:
            other = snapshot.shapes[grant.shape_row]
            tasks = sum(slots for _, slots in piece.shares) // other.nodes
            for name, count in other.licences:
                left[piece.option.figures.view.site_row, name] -= count * tasks
        return all(
            left.get((site_row, name), 0) - self._held.get((site_row, name), 0) >= count
            for name, count in shape.licences
        )

    def keep(self, shape: Shape, place: Place) -> None:
        """Keep one task's licences at the place."""
        self.take(shape, place)
        for name, count in shape.licences:
            held = (place.view.site_row, name)
            self._held[held] = self._held.get(held, 0) + count

    def release(self, shape: Shape, place: Place) -> None:
        """Keep them no longer."""
        self._draft.pool.give_back_licences(shape, place.view.row)
        for name, count in shape.licences:
            self._held[place.view.site_row, name] -= count

    def take(self, shape: Shape, place: Place) -> None:
        """Take one task's licences at the place from the pool, and nothing else."""
        if shape.licences:
            alone = Shape(Resources(), licences=shape.licences)
            self._draft.pool.take_exactly(alone, place.view.row, [(place.nodes[0], 1)])
