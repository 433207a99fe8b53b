"""Which waiting jobs are planned in hours that their account has or is lent, and which in money."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from fenglin.model.hours import CORE_HOUR, hours_for, hours_price, of_purse, purse
from fenglin.planner.runtime import Runtime, hold_per_task_micro

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fenglin.model.site import Flavor, Site
    from fenglin.planner.policy import Policy
    from fenglin.snapshot.builder import JobRow
    from fenglin.snapshot.snapshot import Shape


class Hours:
    """One moment's hours.

    A job whose account has enough for one of its tasks on any flavor is planned in hours: it then
    stands under a purse of its own, so that the planner spends hours and money apart. When what is
    left is too little, it is planned in money.
    """

    def __init__(self, balances: Mapping[str, int], sites: Sequence[Site], policy: Policy) -> None:
        """Take what purses have, what exists, and how much is held for a task."""
        self._left = {
            name: micro for name, micro in balances.items() if micro > 0 and of_purse(name)[1]
        }
        self._kinds = sorted({of_purse(name)[1] for name in self._left})
        self._policy = policy
        self._sites = [self._priced(site) for site in sites] if self._kinds else list(sites)
        self._needs: dict[tuple[Shape, Runtime], int] = {}

    def in_use(self) -> bool:
        """Return whether any account has hours."""
        return bool(self._kinds)

    def sites(self) -> list[Site]:
        """Return the sites with what their flavors cost in each kind of hours."""
        return self._sites

    def rows(self, rows: Sequence[JobRow]) -> list[JobRow]:
        """Return the rows, those in hours with their purse and tariff."""
        return [self._row(row) for row in rows] if self._kinds else list(rows)

    def _priced(self, site: Site) -> Site:
        flavors = []
        for one in site.flavors:
            tariffs = tuple((kind, hours_price(one.price, kind)) for kind in self._kinds)
            flavors.append(replace(one, tariffs=(*one.tariffs, *tariffs)))
        return replace(site, flavors=tuple(flavors))

    def _row(self, row: JobRow) -> JobRow:
        shape = row.shape
        cards_milli = shape.resources.accelerator_milli
        kind = hours_for(cards_milli, shape.accelerator, shape.tariff)
        name = purse(row.account, kind)
        left_micro = self._left.get(name, 0)
        if not left_micro:
            return row
        shape = replace(shape, tariff=kind)
        return (
            row._replace(account=name, shape=shape) if self._need(shape, row) <= left_micro else row
        )

    def _need(self, shape: Shape, row: JobRow) -> int:
        """Return the most that is held for a task of the job, wherever it may run."""
        known = row.learned_ms or row.predicted_ms or row.estimate_ms
        runtime = Runtime(known or self._policy.unknown_ms, bool(known), row.timeout_ms)
        place = (shape, runtime)
        if place not in self._needs:
            self._needs[place] = max(
                (
                    hold_per_task_micro(one, shape, runtime, self._policy)
                    for one in self._flavors(shape)
                ),
                default=0,
            )
        return self._needs[place]

    def _flavors(self, shape: Shape) -> list[Flavor]:
        cards = shape.tariff != CORE_HOUR
        return [
            one
            for site in self._sites
            for one in site.flavors
            if bool(one.accelerator) or not cards
        ]
