"""A month's inventory, put together."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from fenglin.catalog.devices import registry
from fenglin.catalog.inventory.checks import PRECISIONS
from fenglin.catalog.inventory.difference import differences
from fenglin.catalog.inventory.totals import rows, total
from fenglin.model.states import ComputeClass
from fenglin.wire.inventory_views import AnomalyView, InventoryReport, SnapshotHead

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.catalog.inventory.steps import Head, Snapshot, State, Step
    from fenglin.catalog.inventory.totals import InventoryTotal
    from fenglin.quantities.period import Period


def make_report(
    month: Period,
    state: State,
    steps: Sequence[Step],
    now: tuple[Head | None, Snapshot | None],
    before: Snapshot | None,
) -> InventoryReport:
    """Return a month's inventory.

    Args:
        month: Which.
        state: What stands now.
        steps: All steps.
        now: The last publication before the month's end.
        before: The last one before its beginning.
    """
    head, snapshot = now
    taken = [one for one in steps if month.from_ms <= one.time_ms < month.to_ms]
    anomalies = list(state.anomalies.values())
    return InventoryReport(
        period=str(month),
        snapshot=SnapshotHead.of(head) if head is not None else None,
        facilities=snapshot.facilities if snapshot is not None else (),
        totals=_totals(snapshot),
        changes=differences(before, snapshot),
        opened=[
            AnomalyView.of(one) for one in anomalies if month.from_ms <= one.opened_ms < month.to_ms
        ],
        settled=[
            AnomalyView.of(one)
            for one in anomalies
            if month.from_ms <= one.settled_ms < month.to_ms
        ],
        unsettled=[
            AnomalyView.of(one)
            for one in anomalies
            if one.unsettled and one.opened_ms < month.to_ms
        ],
        steps=dict(sorted(Counter(str(one.kind) for one in taken).items())),
    )


def _totals(snapshot: Snapshot | None) -> list[InventoryTotal]:
    """Return the totals of a publication that are not empty."""
    if snapshot is None:
        return []
    facilities = [one.facility for one in snapshot.facilities]
    found = []
    for precision in PRECISIONS:
        behind = list(rows(facilities, registry(), precision))
        found += [total(one, precision, behind) for one in ComputeClass]
    return [one for one in found if one.devices_milli or one.unknown_milli]
