"""Kubernetes' own account of our pods: what `kubectl get pods -o json` prints."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct, field

from fenglin.ledger.metering import cells
from fenglin.ledger.metering.cells import CellError, Reading, Row
from fenglin.ledger.metering.records import ProviderRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ATTEMPT = "fenglin/attempt"
TASK = "task"
_OFFSET = re.compile(r"byte (\d+)")
_MILLI = re.compile(r"(\d{1,12})m", re.ASCII)


class _Ended(Struct, rename="camel"):
    started_at: str | None = None
    finished_at: str | None = None
    reason: str | None = None


class _State(Struct):
    terminated: _Ended | None = None


class _Container(Struct):
    name: str
    state: _State = field(default_factory=_State)


class _Status(Struct, rename="camel"):
    container_statuses: list[_Container] | None = None


class _Needs(Struct):
    requests: dict[str, str | int | float] = {}


class _Declared(Struct):
    name: str
    resources: _Needs = field(default_factory=_Needs)


class _Spec(Struct, rename="camel"):
    containers: list[_Declared]
    node_name: str = ""


class _Meta(Struct):
    uid: str
    name: str
    labels: dict[str, str] | None = None


class _Pod(Struct):
    metadata: _Meta
    spec: _Spec
    status: _Status = field(default_factory=_Status)


class _List(Struct):
    items: list[_Pod]


_DECODER = msgspec.json.Decoder(_List)


def read_pods(lines: Iterable[str], reading: Reading, offset_min: int) -> Iterator[ProviderRecord]:
    """Yield one record for each pod whose container has ended; others are passed over.

    The container is the one that our driver names `task`, else a pod's only one.
    """
    text = "".join(lines)
    try:
        found = _DECODER.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        match = _OFFSET.search(str(error))
        before = text.encode("utf-8", "surrogateescape")[: int(match[1]) if match else 0]
        line = before.count(b"\n") + 1
        column = len(before) - before.rfind(b"\n") if match else 0
        hint = "as `kubectl get pods -o json` prints it"
        reading.wrong("", f"this is no list of pods: {error}", hint, line=line, column=column)
        return
    for place, pod in enumerate(found.items):
        try:
            record = _record(pod, offset_min)
        except CellError as error:
            reading.wrong(f"items[{place}].{error.column}", error.what, error.hint, line=0)
            continue
        if record is None:
            reading.passed += 1
        else:
            yield record


def _record(pod: _Pod, offset_min: int) -> ProviderRecord | None:
    statuses = pod.status.container_statuses or []
    chosen = [one for one in statuses if one.name == TASK] or statuses[:1]
    ended = chosen[0].state.terminated if chosen else None
    if ended is None or not ended.started_at or not ended.finished_at:
        return None
    row = Row({"startedAt": 0, "finishedAt": 1}, (ended.started_at, ended.finished_at))
    started_ms = cells.moment_ms(row, "startedAt", offset_min)
    ended_ms = cells.moment_ms(row, "finishedAt", offset_min)
    if ended_ms < started_ms:
        raise CellError("finishedAt", "it ends before it starts")
    wall_ms = ended_ms - started_ms
    needs = next(
        (one.resources.requests for one in pod.spec.containers if one.name == chosen[0].name), {}
    )
    cards_milli = sum(
        _milli(amount, name)
        for name, amount in needs.items()
        if "/" in name and not name.startswith("kubernetes.io/")
    )
    uid = Row({"uid": 0, "reason": 1}, (pod.metadata.uid, ended.reason or ""))
    cores_milli = _milli(needs["cpu"], "cpu") if "cpu" in needs else None
    return ProviderRecord(
        cells.name(uid, "uid"),
        cells.attempt_of((pod.metadata.labels or {}).get(ATTEMPT, "")),
        pod.metadata.uid,
        started_ms,
        ended_ms,
        wall_ms,
        None if cores_milli is None else cores_milli * wall_ms // 1_000,
        cards_milli * wall_ms // 1_000,
        what=cells.words(uid, "reason"),
    )


def _milli(amount: str | float, name: str) -> int:
    """Return thousandths of a Kubernetes quantity such as `500m`, `2` or `0.5`."""
    text = str(amount)
    match = _MILLI.fullmatch(text)
    if match is not None:
        return int(match[1])
    found = cells.scaled(Row({name: 0}, (text,)), name, 1_000, 10**15)
    if found is None:
        raise CellError(name, "the amount is missing")
    return found
