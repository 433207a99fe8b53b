"""Stands behind the door for the inventory: answers at once, and keeps what was asked."""

from fenglin.catalog.inventory.measured import Measurement
from fenglin.wire.inventory_views import (
    InventoryDeclared,
    InventoryDiff,
    InventoryHistory,
    InventoryReport,
    InventoryRows,
    InventoryTotals,
    InventoryView,
    MeasurementView,
    SnapshotHead,
    SnapshotView,
)

HEAD = SnapshotHead(id="s1", published_ms=5, published_by="ada", sha256="ab", note="")
MEASUREMENT = Measurement(
    facility="gz1", group="", site="west", flavor="std", job="j7", allocation="a1",
    date="2026-11-20", node="n0", device="", whole=False, figures=(),
)  # fmt: skip
EMPTY = InventoryView(facilities=[], anomalies=[], snapshots=[HEAD], measurements=[])


class FakeInventory:
    """Answers for the inventory."""

    def __init__(self, asked):
        self._asked = asked

    async def show(self, principal, *, every):
        self._asked("inventory", every, principal.name)
        return EMPTY

    async def history(self, facility, after, limit, principal):
        self._asked("inventory_history", facility, after, limit, principal.name)
        return InventoryHistory(steps=[], next=0)

    async def totals(self, compute_class, precision, principal):
        self._asked("inventory_totals", compute_class, precision, principal.name)
        return InventoryTotals(totals=[])

    async def rows(self, total, principal):
        self._asked("inventory_rows", total, principal.name)
        return InventoryRows(rows=[])

    async def snapshot(self, name, principal):
        self._asked("inventory_snapshot", name, principal.name)
        return SnapshotView(head=HEAD, facilities=(), left_out=(), waived=())

    async def diff(self, earlier, later, principal):
        self._asked("inventory_diff", earlier, later, principal.name)
        return InventoryDiff(earlier=earlier, later=later, changes=[])

    async def report(self, period, principal):
        self._asked("inventory_report", period, principal.name)
        return InventoryReport(
            period=period, snapshot=HEAD, facilities=(), totals=[], changes=[], opened=[],
            settled=[], unsettled=[], steps={},
        )  # fmt: skip

    async def declare(self, data, source, document, principal):
        self._asked("inventory_declare", data, source, document, principal.name)
        return InventoryDeclared(facilities=["gz1"], anomalies=[])

    async def take(self, ask, principal):
        self._asked("inventory_step", ask.step, ask.facility, ask.anomaly, principal.name)
        return EMPTY

    async def measure(self, job, data, group, principal):
        self._asked("inventory_measure", job.id, data, group, principal.name)
        return MeasurementView(measurement=MEASUREMENT, entered=False)
