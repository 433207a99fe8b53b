"""Routes of metering: late use, providers' accounting, discrepancies, energy."""

from __future__ import annotations

import asyncio
import tempfile

from litestar import get, post
from litestar.params import FromPath

from fenglin.api.caller import Asked, desk_of, inlet_of, needs, query_of
from fenglin.api.query import MAX_LIMIT, Param, Params
from fenglin.api.reading import read_body
from fenglin.ledger.metering.forms import READERS
from fenglin.ledger.metering.items import State, What
from fenglin.ledger.metering.records import UseRecord
from fenglin.model.ids import parse_job_id
from fenglin.wire.metering_views import (
    BackView,
    CheckReport,
    DiscrepancyStep,
    EnergyReport,
    GiveBack,
    Imported,
    ItemView,
    JobMetering,
    LateUses,
    Recorded,
)
from fenglin.wire.views import Page

_TAG = ["metering"]
# A file that is smaller stays in memory on its way.
_SMALL_BYTES = 2**20

_PERIOD = Param("period", "Month in the books' zone, such as 2026-11.")
_FILE: Params = (
    Param("site", "Whose provider accounts."),
    Param("format", "Form of the file.", allowed=tuple(READERS)),
    Param("source", "Series in which its lines are unique; the form's name if left out."),
    Param("file", "Name of the file, for messages.", default="request body"),
    Param("zone", "Offset from UTC of times that have none; the books' if left out."),
)
_MONTH: Params = (Param("site", "Only this site; all if left out."), _PERIOD)
_ITEMS: Params = (
    Param("state", "Only in this state.", allowed=tuple(State), filters=True),
    Param("kind", "Only of this kind.", allowed=tuple(What), filters=True),
    Param("site", "Only of this site.", filters=True),
    Param("period", "Only of this month.", filters=True),
    Param("job", "Only of this job.", filters=True),
    Param("limit", "Rows per page.", "integer", default=100, lowest=1, highest=MAX_LIMIT),
    Param("cursor", "`next` of the page before; empty for the first page."),
)


@post(
    "/v1/metering:import",
    opt=needs("admin", _FILE),
    status_code=201,
    tags=_TAG,
    operation_id="importMetering",
    summary="Import a provider's accounting",
)
async def import_file(request: Asked) -> Imported:
    """Import a file: all of it, or nothing where a line is wrong; repeating is harmless."""
    asked = query_of(request)
    head = (asked.text("site"), asked.text("source"), asked.text("format"), asked.text("file"))
    with tempfile.SpooledTemporaryFile(_SMALL_BYTES) as file:
        async for piece in inlet_of(request).stream():
            await asyncio.to_thread(file.write, piece)
        file.seek(0)
        return await desk_of(request).hub.books.metering.load(
            file, head, asked.text("zone"), request.user
        )


@post(
    "/v1/metering/records",
    opt=needs("admin"),
    status_code=200,
    tags=_TAG,
    operation_id="recordUse",
    summary="Tell of use that the hub has not heard of",
)
async def record(request: Asked) -> Recorded:
    """Take ends of tasks in any order; each counts once, however often and late it comes."""
    asked = read_body(await inlet_of(request).read(), LateUses)
    uses = [
        UseRecord(one.attempt, one.task, one.started_ms, one.wall_ms, one.cpu_ms)
        for one in asked.records
    ]
    return await desk_of(request).hub.books.metering.record(uses, request.user)


@post(
    "/v1/metering:collect",
    opt=needs("admin", _MONTH),
    status_code=200,
    tags=_TAG,
    operation_id="collectMetering",
    summary="Ask a site's driver for its own totals and charges",
)
async def collect(request: Asked) -> list[Imported]:
    """Import what the driver tells of a month: totals of attempts, and charges if it has any."""
    asked = query_of(request)
    made = await desk_of(request).hub.books.metering.collect(
        asked.text("site"), asked.text("period"), request.user
    )
    return list(made)


@post(
    "/v1/metering:check",
    opt=needs("admin", _MONTH),
    status_code=200,
    tags=_TAG,
    operation_id="checkMetering",
    summary="Compare a month with what was imported",
)
async def check(request: Asked) -> CheckReport:
    """Compare attempt by attempt, and open what differs beyond tolerance."""
    asked = query_of(request)
    return await desk_of(request).hub.books.metering.check(
        asked.text("site"), asked.text("period"), request.user
    )


@get(
    "/v1/metering/discrepancies",
    opt=needs("read", _ITEMS),
    tags=_TAG,
    operation_id="listDiscrepancies",
    summary="List discrepancies",
)
async def discrepancies(request: Asked) -> Page[ItemView]:
    """Return a page of discrepancies; a tenant sees those of its own jobs."""
    listing = query_of(request).listing()
    return await desk_of(request).hub.books.metering.items(listing, request.user)


@get(
    "/v1/metering/discrepancies/{item:str}",
    opt=needs("read"),
    tags=_TAG,
    operation_id="showDiscrepancy",
    summary="Show a discrepancy",
)
async def discrepancy(request: Asked, item: FromPath[str]) -> ItemView:
    """Return one discrepancy with its steps."""
    return await desk_of(request).hub.books.metering.item(item, request.user)


@post(
    "/v1/metering/discrepancies/{item:str}/resolve",
    opt=needs("admin"),
    status_code=200,
    tags=_TAG,
    operation_id="resolveDiscrepancy",
    summary="Take a discrepancy a step on",
)
async def resolve(request: Asked, item: FromPath[str]) -> ItemView:
    """Explain, accept, dispute or close a discrepancy; who, when and why are kept."""
    asked = read_body(await inlet_of(request).read(), DiscrepancyStep)
    return await desk_of(request).hub.books.metering.resolve(
        item, asked.state, asked.why, request.user
    )


@post(
    "/v1/metering:give-back",
    opt=needs("admin"),
    status_code=200,
    tags=_TAG,
    operation_id="giveBackMetering",
    summary="Give back what a line of use was charged too much",
)
async def give_back(request: Asked) -> BackView:
    """Give back some of a charged line, or all; the same key again gives back nothing more."""
    asked = read_body(await inlet_of(request).read(), GiveBack)
    return await desk_of(request).hub.books.metering.give_back(asked, request.user)


@get(
    "/v1/metering/jobs/{job:str}",
    opt=needs("read"),
    tags=_TAG,
    operation_id="showJobMetering",
    summary="Show what was metered of a job",
)
async def job_metering(request: Asked, job: FromPath[str]) -> JobMetering:
    """Return each ended attempt with our figures, the provider's, and its energy."""
    return await desk_of(request).hub.books.metering.job(parse_job_id(job), request.user)


@get(
    "/v1/metering/energy",
    opt=needs("read", (_PERIOD,)),
    tags=_TAG,
    operation_id="energy",
    summary="Get a month's energy and CO2",
)
async def energy(request: Asked) -> EnergyReport:
    """Return energy and CO2 by account, site and grade; a tenant sees its own."""
    period = query_of(request).text("period")
    return await desk_of(request).hub.books.metering.energy(period, request.user)


ROUTES = (
    import_file,
    record,
    collect,
    check,
    discrepancies,
    discrepancy,
    resolve,
    give_back,
    job_metering,
    energy,
)
