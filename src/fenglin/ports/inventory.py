"""What keeps the inventory's steps, and what the door may ask of the inventory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.catalog.inventory.steps import Step
    from fenglin.ports.hub import Principal
    from fenglin.wire.inventory_views import (
        InventoryAsk,
        InventoryDeclared,
        InventoryDiff,
        InventoryHistory,
        InventoryReport,
        InventoryRows,
        InventoryTotals,
        InventoryView,
        MeasurementView,
        SnapshotView,
    )
    from fenglin.wire.views import JobView


class InventoryStore(Protocol):
    """The steps, only ever added."""

    async def steps(self, after: int) -> list[Step]:
        """Return the steps after a number, oldest first; publications without their body."""
        ...

    async def page(self, facility: str, after: int, limit: int) -> list[Step]:
        """Return some steps without bodies, oldest first; those of one facility when it is named.

        Publications are of every facility.
        """
        ...

    async def body(self, seq: int) -> bytes:
        """Return the body of one step; empty when there is none."""
        ...

    async def append(self, epoch: int, steps: Sequence[Step]) -> bool:
        """Add steps in one transaction; False when others were quicker, and nothing was added.

        Raises:
            StaleEpochError: another leader took over.
        """
        ...


class InventoryDesk(Protocol):
    """The baseline inventory. It is for operators and auditors: tenants are denied.

    Every method raises DeniedError for a tenant, and those that record something for who has no
    scope `admin`.
    """

    async def show(self, principal: Principal, *, every: bool) -> InventoryView:
        """Return all that stands; of anomalies those that are settled only with `every`."""
        ...

    async def history(
        self, facility: str, after: int, limit: int, principal: Principal
    ) -> InventoryHistory:
        """Return who did what when."""
        ...

    async def totals(
        self, compute_class: str, precision: str, principal: Principal
    ) -> InventoryTotals:
        """Return totals per class and per precision, each alone."""
        ...

    async def rows(self, total: str, principal: Principal) -> InventoryRows:
        """Return the rows behind a total `CLASS:PRECISION`; of all totals when none is named."""
        ...

    async def snapshot(self, name: str, principal: Principal) -> SnapshotView:
        """Return a publication, such as `s3`."""
        ...

    async def diff(self, earlier: str, later: str, principal: Principal) -> InventoryDiff:
        """Compare two publications: `s3`, or a month, which means its last one."""
        ...

    async def report(self, period: str, principal: Principal) -> InventoryReport:
        """Return a month's inventory."""
        ...

    async def declare(
        self, data: bytes, source: str, document: str, principal: Principal
    ) -> InventoryDeclared:
        """Take a declaration in TOML, all of it or nothing."""
        ...

    async def take(self, ask: InventoryAsk, principal: Principal) -> InventoryView:
        """Record a step of the closed loop."""
        ...

    async def measure(
        self, job: JobView, data: bytes, group: str, principal: Principal
    ) -> MeasurementView:
        """Enter what a probe has measured, with its job as evidence."""
        ...
