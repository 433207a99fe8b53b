"""Calls for the baseline inventory, for `Client.call` and `AsyncClient.call`."""

from __future__ import annotations

from urllib.parse import quote, urlencode

import msgspec

from fenglin.client.requests import API, Call
from fenglin.wire.inventory_views import (
    InventoryAsk,
    InventoryDeclared,
    InventoryDiff,
    InventoryHistory,
    InventoryReport,
    InventoryRows,
    InventoryTotals,
    InventoryView,
    MeasureAsk,
    MeasurementView,
    SnapshotView,
)

_JSON = (("Content-Type", "application/json"),)
_TOML = (("Content-Type", "application/toml"),)


def inventory(*, every: bool = False) -> Call[InventoryView]:
    """Get facilities, publications, measurements and anomalies; with `every` settled ones."""
    query = urlencode({"every": "true" if every else "false"})
    return Call("GET", f"{API}/inventory?{query}", InventoryView)


def inventory_history(
    facility: str = "", after: int = 0, limit: int = 100
) -> Call[InventoryHistory]:
    """Get who did what when, of one facility or of all."""
    query = urlencode({"facility": facility, "after": after, "limit": limit})
    return Call("GET", f"{API}/inventory/steps?{query}", InventoryHistory)


def inventory_totals(compute_class: str = "", precision: str = "") -> Call[InventoryTotals]:
    """Get totals per class and precision."""
    query = urlencode({"class": compute_class, "precision": precision})
    return Call("GET", f"{API}/inventory/totals?{query}", InventoryTotals)


def inventory_rows(total: str = "") -> Call[InventoryRows]:
    """Get the rows behind a total, such as `ai:fp16`; all rows when none is named."""
    return Call("GET", f"{API}/inventory/rows?{urlencode({'total': total})}", InventoryRows)


def inventory_snapshot(name: str) -> Call[SnapshotView]:
    """Get a publication, such as `s3`."""
    return Call("GET", f"{API}/inventory/snapshots/{quote(name, safe='')}", SnapshotView)


def inventory_diff(earlier: str, later: str = "") -> Call[InventoryDiff]:
    """Compare two publications: `s3`, or a month; the later one is the newest if left out."""
    query = urlencode({"from": earlier, "to": later})
    return Call("GET", f"{API}/inventory/diff?{query}", InventoryDiff)


def inventory_report(period: str) -> Call[InventoryReport]:
    """Get a month's inventory."""
    return Call("GET", f"{API}/inventory/report?{urlencode({'period': period})}", InventoryReport)


def inventory_declare(body: bytes, source: str, document: str = "") -> Call[InventoryDeclared]:
    """Declare facilities, from a file in TOML."""
    query = urlencode({"source": source, "document": document})
    return Call("POST", f"{API}/inventory:declare?{query}", InventoryDeclared, _TOML, body)


def inventory_step(ask: InventoryAsk) -> Call[InventoryView]:
    """Verify, publish, rectify or waive."""
    body = msgspec.json.encode(ask)
    return Call("POST", f"{API}/inventory/steps", InventoryView, _JSON, body)


def inventory_measure(job: str, group: str = "") -> Call[MeasurementView]:
    """Enter what the probe of a job has measured."""
    body = msgspec.json.encode(MeasureAsk(job=job, group=group))
    return Call("POST", f"{API}/inventory/measurements", MeasurementView, _JSON, body)
