"""Routes of jobs."""

from __future__ import annotations

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Stream

from fenglin.api import operations, query
from fenglin.api.answers import Items
from fenglin.api.caller import Asked, desk_of, headers_of, inlet_of, key_of, needs, query_of
from fenglin.api.streams import file_answer, follow, primed
from fenglin.errors import NotFoundError
from fenglin.intake.native import decode_batch, decode_json
from fenglin.model.ids import parse_job_id
from fenglin.quantities.taskset import TaskSet
from fenglin.wire.views import (
    ArtifactView,
    Changed,
    DryRun,
    EventView,
    Explanation,
    JobView,
    Page,
    Submitted,
)

_TAGS = ["jobs"]


@post("/v1/jobs", opt=needs("write"), tags=_TAGS, operation_id="submit", summary="Submit a job")
async def submit(request: Asked) -> Submitted:
    """Answer only after the job is durable. Also served by the fast lane."""
    body = await inlet_of(request).read()
    return await operations.submit(desk_of(request), request.user, key_of(request), body)


@post(
    "/v1/jobs:batch",
    opt=needs("write"),
    tags=_TAGS,
    operation_id="submitBatch",
    summary="Submit many jobs, all or none",
)
async def submit_batch(request: Asked) -> Items[Submitted]:
    """Answer only after all jobs are durable."""
    desk = desk_of(request)
    key = operations.idempotency_key(key_of(request))
    body = await inlet_of(request).read()
    specs = await operations.decode(decode_batch, body, desk.now_ms())
    return Items(list(await desk.hub.submit(specs, request.user, key, body)))


@post(
    "/v1/plan",
    opt=needs("read"),
    status_code=200,
    tags=_TAGS,
    operation_id="plan",
    summary="Plan a job without submitting it",
)
async def plan(request: Asked) -> DryRun:
    """Tell where the job would go now, when it would finish and what it would cost."""
    desk = desk_of(request)
    body = await inlet_of(request).read()
    spec = await operations.decode(decode_json, body, desk.now_ms())
    return await desk.hub.dry_run(spec, request.user)


@get(
    "/v1/jobs",
    opt=needs("read", query.JOBS),
    tags=_TAGS,
    operation_id="listJobs",
    summary="List jobs",
)
async def list_jobs(request: Asked) -> Page[JobView]:
    """List jobs, newest first unless sorted otherwise. Also served by the fast lane."""
    return await operations.list_jobs(desk_of(request), request.user, query_of(request))


@get(
    "/v1/jobs/{job:str}",
    opt=needs("read"),
    tags=_TAGS,
    operation_id="showJob",
    summary="Show a job",
)
async def show(request: Asked, job: FromPath[str]) -> JobView:
    """Return a job with its allocations and document. Also served by the fast lane."""
    return await operations.show_job(desk_of(request), request.user, job)


@get(
    "/v1/jobs:watch",
    opt=needs("read", query.WATCH),
    tags=_TAGS,
    operation_id="watchJobs",
    summary="Watch jobs",
)
async def watch(request: Asked) -> Changed:
    """Answer as soon as jobs have changed, or when the time is over.

    Ask first without `after`, then always with `next` of the answer before: no change is missed.
    """
    desk = desk_of(request)
    asked = query_of(request)
    timeout_s = float(asked.values["timeout_s"])
    with desk.waiter():
        work = desk.hub.watch(asked.text("after"), asked.filters, timeout_s, request.user)
        changed = await desk.unless_stopped(work, inlet_of(request).hung_up())
    # The token may have been revoked meanwhile.
    await desk.admit(headers_of(request), "read")
    return changed


@get(
    "/v1/jobs/{job:str}/explain",
    opt=needs("read"),
    tags=_TAGS,
    operation_id="explainJob",
    summary="Explain why a job is where it is",
)
async def explain(request: Asked, job: FromPath[str]) -> Explanation:
    """Return the job's newest receipt, its decisions and its story."""
    return await desk_of(request).hub.explain(parse_job_id(job), request.user)


@get(
    "/v1/jobs/{job:str}/events",
    opt=needs("read", query.EVENTS),
    tags=_TAGS,
    operation_id="listEvents",
    summary="List a job's events",
)
async def events(request: Asked, job: FromPath[str]) -> Items[EventView]:
    """Return the job's story after a sequence number, oldest first."""
    asked = query_of(request)
    found = await desk_of(request).hub.events(
        parse_job_id(job), asked.integer("after"), asked.integer("limit"), request.user
    )
    return Items(list(found))


@post(
    "/v1/jobs/{job:str}/cancel",
    opt=needs("write", query.CANCEL),
    status_code=200,
    tags=_TAGS,
    operation_id="cancelJob",
    summary="Cancel a job, or some of its tasks",
)
async def cancel(request: Asked, job: FromPath[str]) -> JobView:
    """Ask for the job's end, durably; no error on a job that has ended.

    With `tasks` only these end; 409 tells which run where none can be ended alone.
    """
    named = query_of(request).text("tasks")
    tasks = TaskSet.parse(named) if named else None
    return await desk_of(request).hub.cancel(parse_job_id(job), request.user, tasks)


@get(
    "/v1/jobs/{job:str}/wait",
    opt=needs("read", query.WAIT),
    tags=_TAGS,
    operation_id="waitJob",
    summary="Wait for a job's end",
)
async def wait(request: Asked, job: FromPath[str]) -> JobView:
    """Answer when the job has ended or the time is over, whichever is first."""
    desk = desk_of(request)
    number = parse_job_id(job)
    timeout_s = float(query_of(request).values["timeout_s"])
    with desk.waiter():
        work = desk.hub.wait(number, timeout_s, request.user)
        ended = await desk.unless_stopped(work, inlet_of(request).hung_up())
    await desk.admit(headers_of(request), "read")
    return ended


@get(
    "/v1/jobs/{job:str}/logs",
    opt=needs("read", query.LOGS),
    tags=_TAGS,
    operation_id="readLog",
    summary="Read a task's output",
)
async def logs(request: Asked, job: FromPath[str]) -> Response[bytes] | Stream:
    """Return raw bytes of a task's output.

    The header `Fenglin-Next-Offset` tells where to read on, `Fenglin-Complete` (`true` or
    `false`) whether nothing will follow. With `follow` the output is streamed until the task
    has ended; a stream that breaks off is resumed from `offset` plus the bytes received.
    """
    desk = desk_of(request)
    number = parse_job_id(job)
    asked = query_of(request)
    task, offset, limit = (asked.integer(name) for name in ("task", "offset", "limit"))
    media_type = "application/octet-stream"
    if asked.values["follow"]:
        place = (task, offset, limit)
        pieces = follow(desk, headers_of(request), request.user, number, place)
        return Stream(await primed(pieces), media_type=media_type)
    chunk = await desk.hub.read_log(number, task, offset, limit, request.user)
    return Response(
        chunk.data,
        media_type=media_type,
        headers={
            "Fenglin-Next-Offset": str(chunk.next_offset),
            "Fenglin-Complete": "true" if chunk.complete else "false",
        },
    )


@get(
    "/v1/jobs/{job:str}/artifacts",
    opt=needs("read"),
    tags=_TAGS,
    operation_id="listArtifacts",
    summary="List a job's kept files",
)
async def artifacts(request: Asked, job: FromPath[str]) -> Items[ArtifactView]:
    """List the files that the job's tasks left."""
    return Items(list(await desk_of(request).hub.artifacts(parse_job_id(job), request.user)))


@get(
    "/v1/jobs/{job:str}/artifacts/{path:path}",
    opt=needs("read"),
    tags=_TAGS,
    operation_id="readArtifact",
    summary="Read a kept file",
)
async def artifact(request: Asked, job: FromPath[str], path: FromPath[str]) -> Stream:
    """Return a kept file as an attachment."""
    number = parse_job_id(job)
    inside = path.removeprefix("/")
    if "\0" in inside or "\\" in inside or {"", ".", ".."} & set(inside.split("/")):
        raise NotFoundError("no such artifact", where=inside[:200], hint="list the job's artifacts")
    found = await desk_of(request).hub.artifact(number, inside, request.user)
    return await file_answer(found, inside.rpartition("/")[2])


ROUTES = (
    submit,
    submit_batch,
    plan,
    list_jobs,
    watch,
    show,
    explain,
    events,
    cancel,
    wait,
    logs,
    artifacts,
    artifact,
)
