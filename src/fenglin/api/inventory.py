"""Routes of the baseline inventory."""

from __future__ import annotations

import asyncio

from litestar import get, post
from litestar.params import FromPath

from fenglin.api.caller import Asked, desk_of, inlet_of, needs, query_of
from fenglin.api.query import MAX_LIMIT, Param, Params
from fenglin.api.reading import read_body
from fenglin.errors import NotFoundError
from fenglin.model.ids import parse_job_id
from fenglin.probes import FIGURES_FILE
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

_TAG = ["inventory"]
# One byte more than a probe's answer may have, so that a longer one is noticed.
_MOST_ANSWER_BYTES = 65_537

_ALL: Params = (Param("every", "Also anomalies that are settled.", "boolean", default=False),)
_TOTALS: Params = (
    Param("class", "Only this class; empty for all, each alone."),
    Param("precision", "Only this precision; empty for all, each alone."),
)
_ROWS: Params = (Param("total", "CLASS:PRECISION of a total; empty for all rows."),)
_DIFF: Params = (
    Param("from", "The earlier publication: s3, or a month, which means its last one."),
    Param("to", "The later one; empty for the newest."),
)
_REPORT: Params = (Param("period", "Month, YYYY-MM, in the books' zone."),)
_HISTORY: Params = (
    Param("facility", "Only this facility; empty for all."),
    Param("after", "Only steps after this one.", "integer", default=0),
    Param("limit", "Most steps.", "integer", default=100, lowest=1, highest=MAX_LIMIT),
)
_DECLARE: Params = (
    Param("source", "Name of the file, for errors.", default="declaration"),
    Param("document", "Evidence of the declaration as a whole."),
)


@get(
    "/v1/inventory",
    opt=needs("read", _ALL),
    tags=_TAG,
    operation_id="inventory",
    summary="Get facilities, publications, measurements and anomalies",
)
async def inventory(request: Asked) -> InventoryView:
    """Return all that stands."""
    every = query_of(request).flag("every")
    return await desk_of(request).hub.books.inventory.show(request.user, every=every)


@get(
    "/v1/inventory/steps",
    opt=needs("read", _HISTORY),
    tags=_TAG,
    operation_id="inventoryHistory",
    summary="Get who did what when",
)
async def history(request: Asked) -> InventoryHistory:
    """Return steps of the closed loop, oldest first."""
    asked = query_of(request)
    return await desk_of(request).hub.books.inventory.history(
        asked.text("facility"), asked.integer("after"), asked.integer("limit"), request.user
    )


@get(
    "/v1/inventory/totals",
    opt=needs("read", _TOTALS),
    tags=_TAG,
    operation_id="inventoryTotals",
    summary="Add up devices per class and precision",
)
async def totals(request: Asked) -> InventoryTotals:
    """Return nominal, measured and seen peaks; precisions are never added to one another."""
    asked = query_of(request)
    return await desk_of(request).hub.books.inventory.totals(
        asked.text("class"), asked.text("precision"), request.user
    )


@get(
    "/v1/inventory/rows",
    opt=needs("read", _ROWS),
    tags=_TAG,
    operation_id="inventoryRows",
    summary="Get the rows behind a total, with their evidence",
)
async def rows(request: Asked) -> InventoryRows:
    """Return each group of devices with where its count and its peak stand."""
    return await desk_of(request).hub.books.inventory.rows(
        query_of(request).text("total"), request.user
    )


@get(
    "/v1/inventory/snapshots/{snapshot:str}",
    opt=needs("read"),
    tags=_TAG,
    operation_id="inventorySnapshot",
    summary="Get a publication",
)
async def snapshot(request: Asked, snapshot: FromPath[str]) -> SnapshotView:
    """Return what was published, exactly as it was."""
    return await desk_of(request).hub.books.inventory.snapshot(snapshot, request.user)


@get(
    "/v1/inventory/diff",
    opt=needs("read", _DIFF),
    tags=_TAG,
    operation_id="inventoryDiff",
    summary="Compare two publications",
)
async def diff(request: Asked) -> InventoryDiff:
    """Return every figure and word in which they differ."""
    asked = query_of(request)
    return await desk_of(request).hub.books.inventory.diff(
        asked.text("from"), asked.text("to"), request.user
    )


@get(
    "/v1/inventory/report",
    opt=needs("read", _REPORT),
    tags=_TAG,
    operation_id="inventoryReport",
    summary="Get a month's inventory",
)
async def report(request: Asked) -> InventoryReport:
    """Return the publication that counts, its totals, what changed, and the anomaly orders."""
    return await desk_of(request).hub.books.inventory.report(
        query_of(request).text("period"), request.user
    )


@post(
    "/v1/inventory:declare",
    opt=needs("admin", _DECLARE),
    status_code=201,
    tags=_TAG,
    operation_id="inventoryDeclare",
    summary="Declare facilities",
)
async def declare(request: Asked) -> InventoryDeclared:
    """Take a declaration in TOML, all of it or nothing; its figures are checked at once."""
    asked = query_of(request)
    return await desk_of(request).hub.books.inventory.declare(
        await inlet_of(request).read(), asked.text("source"), asked.text("document"), request.user
    )


@post(
    "/v1/inventory/steps",
    opt=needs("admin"),
    status_code=200,
    tags=_TAG,
    operation_id="inventoryStep",
    summary="Verify, publish, rectify or waive",
)
async def step(request: Asked) -> InventoryView:
    """Record a step of the closed loop, and return what stands then."""
    asked = read_body(await inlet_of(request).read(), InventoryAsk)
    return await desk_of(request).hub.books.inventory.take(asked, request.user)


@post(
    "/v1/inventory/measurements",
    opt=needs("admin"),
    status_code=201,
    tags=_TAG,
    operation_id="inventoryMeasure",
    summary="Enter what a probe measured",
)
async def measure(request: Asked) -> MeasurementView:
    """Take the answer that a probe's job has kept; the job is the evidence."""
    asked = read_body(await inlet_of(request).read(), MeasureAsk)
    hub = desk_of(request).hub
    job = await hub.job(parse_job_id(asked.job), request.user)
    try:
        path = await hub.artifact(parse_job_id(asked.job), f"0/{FIGURES_FILE}", request.user)
    except NotFoundError as error:
        raise NotFoundError(
            f"{job.id} has kept no {FIGURES_FILE}", where="job",
            hint="only a probe that succeeded can be entered",
        ) from error  # fmt: skip

    def read() -> bytes:
        with path.open("rb") as file:
            return file.read(_MOST_ANSWER_BYTES)

    data = await asyncio.to_thread(read)
    return await hub.books.inventory.measure(job, data, asked.group, request.user)


ROUTES = (
    inventory, history, totals, rows, snapshot, diff, report, declare, step, measure,
)  # fmt: skip
