"""Traces of jobs for OpenTelemetry: one per job, told when it has ended.

A trace holds a span for the job, one for its wait, and one for each of its allocations, with what
it cost. They are made from what is stored, so that a job that outlived a hub has its whole trace;
the trace's id follows from the job's, so that it is found without looking for it. What cannot be
sent is dropped and said once: traces never hold up work.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from fenglin.model.ids import allocation_id, job_id
from fenglin.model.states import JobState

if TYPE_CHECKING:
    from collections.abc import Callable

    from fenglin.ports.store import AllocationRecord, JobRecord, Store

    Heard = Callable[[list[JobRecord], list[JobRecord]], None]

MOST_WAITING = 10_000
PER_REQUEST = 100
RETRY_S = 5.0
_FAILED, _OK = 2, 1
_log = structlog.get_logger("fenglin.traces")


class Traces:
    """Sends the traces of jobs that end."""

    def __init__(self, hub: str, store: Store, send: Callable[[bytes], None] | None) -> None:
        """Take where jobs are kept and what sends a request's body; None sends nothing."""
        self._hub = hub
        self._store = store
        self._send = send
        self._queue: asyncio.Queue[JobRecord] = asyncio.Queue(MOST_WAITING)
        self._away = False

    def after(self, heard: Heard) -> Heard:
        """Return what hears of changed jobs like `heard`, and notes those that ended."""

        def both(changed: list[JobRecord], ended: list[JobRecord]) -> None:
            heard(changed, ended)
            for job in ended if self._send is not None else ():
                if not self._queue.full():
                    self._queue.put_nowait(job)

        return both

    async def run(self) -> None:
        """Send for ever."""
        while True:
            jobs = [await self._queue.get()]
            while len(jobs) < PER_REQUEST and not self._queue.empty():
                jobs.append(self._queue.get_nowait())
            try:
                await self._tell(jobs)
            except Exception as error:  # noqa: BLE001 - whatever it is, work goes on
                if not self._away:
                    _log.warning("traces_not_sent", error=str(error) or type(error).__name__)
                self._away = True
                await asyncio.sleep(RETRY_S)
            else:
                self._away = False

    async def _tell(self, jobs: list[JobRecord]) -> None:
        spans: list[dict[str, Any]] = []
        for job in jobs:
            spans += spans_of(self._hub, job, await self._store.allocations_of(job.number))
        if self._send is not None:
            await asyncio.to_thread(self._send, request_of(self._hub, spans))


def spans_of(hub: str, job: JobRecord, allocations: list[AllocationRecord]) -> list[dict[str, Any]]:
    """Return a job's spans in the form of OTLP's JSON. Tenants are not told."""
    trace, number = _digest(f"{hub}/{job.number}", 16), job.number
    root = _digest(f"{hub}/{number}/job", 8)
    end_ms = job.ended_ms or job.submitted_ms
    good = job.state is JobState.SUCCEEDED
    told = {"fenglin.job": job_id(number), "fenglin.state": str(job.state)}

    def span(
        name: str, own: str, start_ms: int, until_ms: int, **said: str | int
    ) -> dict[str, Any]:
        return {
            "traceId": trace,
            "spanId": own,
            "parentSpanId": "" if own == root else root,
            "name": name,
            "kind": 1,
            "startTimeUnixNano": str(start_ms * 1_000_000),
            "endTimeUnixNano": str(max(start_ms, until_ms) * 1_000_000),
            "attributes": [_attribute(key.replace("__", "."), one) for key, one in said.items()],
            "status": {"code": _OK},
        }

    whole = span("job", root, job.submitted_ms, end_ms)
    whole["attributes"] = [_attribute(key, value) for key, value in told.items()]
    whole["status"] = {"code": _OK if good else _FAILED, "message": str(job.reason or "")}
    wait = _digest(f"{hub}/{number}/wait", 8)
    found = [whole, span("wait", wait, job.submitted_ms, job.started_ms or end_ms)]
    for one in allocations:
        own = _digest(f"{hub}/{number}/{one.number}/{one.attempt}", 8)
        attempt = span(
            "attempt",
            own,
            one.created_ms,
            one.ended_ms or end_ms,
            fenglin__allocation=allocation_id(one.number),
            fenglin__site=one.site,
            fenglin__flavor=one.flavor,
            fenglin__tasks=len(one.tasks),
        )
        attempt["events"] = [_event("started", one.started_ms)] if one.started_ms else []
        posting = _digest(f"{hub}/{number}/{one.number}/posting", 8)
        posted = span(
            "posting", posting, one.ended_ms or end_ms, one.ended_ms or end_ms,
            fenglin__cost_micro=one.cost_micro, fenglin__currency=one.price.currency,
        )  # fmt: skip
        posted["links"] = [{"traceId": trace, "spanId": own}]
        found += [attempt, posted]
    return found


def request_of(hub: str, spans: list[dict[str, Any]]) -> bytes:
    """Return the body of an OTLP/HTTP request in JSON."""
    resource = [_attribute("service.name", "fenglin"), _attribute("service.instance.id", hub)]
    scope = {"scope": {"name": "fenglin"}, "spans": spans}
    return msgspec.json.encode(
        {"resourceSpans": [{"resource": {"attributes": resource}, "scopeSpans": [scope]}]}
    )


def _attribute(key: str, value: str | int) -> dict[str, Any]:
    told = {"stringValue": value} if isinstance(value, str) else {"intValue": str(value)}
    return {"key": key, "value": told}


def _event(name: str, time_ms: int) -> dict[str, Any]:
    return {"name": name, "timeUnixNano": str(time_ms * 1_000_000)}


def _digest(text: str, size_bytes: int) -> str:
    """Return an id that is always the same for the same thing, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()[: 2 * size_bytes]
