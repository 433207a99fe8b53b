"""Builds a snapshot from plain records: what the engine read, or what a test or trace says.

Called once per cycle with up to 100,000 pending jobs, so jobs come as tuples and become columns
by whole-column operations. Rows may come in any order; the snapshot's own order is canonical.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from fenglin.errors import InputError
from fenglin.model.job import DEFAULT_ACCOUNT, DEFAULT_QUEUE
from fenglin.model.plan import Reservation
from fenglin.model.site import Queue, Site
from fenglin.snapshot.live import Columns, ShareRow, reckon
from fenglin.snapshot.places import Places, lay_out
from fenglin.snapshot.snapshot import I32, I64, Shape, Snapshot

__all__ = ["JobRow", "ShareRow", "build", "shape_key"]

_Scalar = TypeVar("_Scalar", bound=np.generic)
_NOTHING: Mapping[str, int] = {}
# Job columns that are taken as they are.
_WIDE = ("submitted_ms", "not_before_ms", "deadline_ms", "pending", "blocked", "concurrency",
         "tasks", "estimate_ms", "learned_ms", "timeout_ms", "predicted_ms")  # fmt: skip


class JobRow(NamedTuple):
    """One job that still has pending tasks; fields as in `Snapshot.job_*`."""

    number: int
    shape: Shape
    pending: int
    queue: str = DEFAULT_QUEUE
    account: str = DEFAULT_ACCOUNT
    priority: int = 0
    submitted_ms: int = 0
    not_before_ms: int = 0
    deadline_ms: int = 0
    blocked: int = 0
    concurrency: int = 0
    tasks: int = 1
    estimate_ms: int = 0
    learned_ms: int = 0
    timeout_ms: int = 0
    predicted_ms: int = 0


def build(  # noqa: PLR0913 - one argument for each kind of record
    *,
    index: int,
    now_ms: int,
    sites: Iterable[Site],
    queues: Iterable[Queue] = (),
    accounts: Mapping[str, int],
    jobs: Sequence[JobRow],
    shares: Sequence[ShareRow] = (),
    spent_ms: Mapping[str, int] = _NOTHING,
    reservations: Sequence[Reservation] = (),
) -> Snapshot:
    """Return the snapshot of these records.

    A queue that a row names but `queues` lacks gets weight 1000 and no quota; an account that
    `accounts` (name → micro-units available) lacks has no money. A share on a node that is no
    longer known still counts against its queue and its job, but holds no node. `spent_ms` is
    the decayed past use by queue, in milliseconds of the whole pool. `reservations` are those of
    the previous plan; of a job that waits no longer, or with a node that is no longer known, they
    are left out.

    Raises:
        InputError: two sites, flavors or nodes of a site, or jobs have one name, or a node's
            flavor is unknown.
    """
    places = lay_out(sites)
    queue_list = _queues(queues, _field(jobs, "queue"), shares)
    queue_row = {queue.name: row for row, queue in enumerate(queue_list)}
    account_names = tuple(sorted({*accounts, *_field(jobs, "account")}))
    shapes, job_shape = _shapes(jobs)
    live = reckon(shares, places, queue_row)
    columns: Columns = {
        "flavor_site": places.flavor_site,
        "flavor_slot": places.flavor_slot,
        "node_flavor": places.node_flavor,
        "node_up": places.node_up,
        "node_capacity": places.node_capacity,
        "node_free": live.node_free,
        "node_cards": live.node_cards,
        "node_block": places.node_block,
        "licence_free": live.licence_free,
        "queue_used": live.queue_used,
        "queue_spent_ms": np.array([spent_ms.get(queue.name, 0) for queue in queue_list], np.int64),
        "account_available_micro": np.array(
            [accounts.get(name, 0) for name in account_names], np.int64
        ),
        **_job_columns(jobs, job_shape, queue_row, account_names, live.active),
        **live.columns,
    }
    columns |= _held_columns(reservations, places, columns["job_number"])
    for column in columns.values():
        column.flags.writeable = False
    return Snapshot(
        index=index,
        now_ms=now_ms,
        sites=places.sites,
        node_names=places.node_names,
        licence_names=places.licence_names,
        shapes=shapes,
        queues=queue_list,
        accounts=account_names,
        **columns,
    )


def shape_key(shape: Shape) -> tuple[object, ...]:
    """Return a total order over shapes (their own comparison fails where None meets a value)."""
    need = shape.accelerator
    return (
        shape.resources.values(),
        shape.nodes,
        () if need is None else msgspec.structs.astuple(need),
        shape.licences,
        shape.compute_class or "",
        shape.sites,
        shape.regions,
        shape.require,
        shape.topology,
        shape.near,
        shape.latency_ms,
        shape.data,
        shape.capabilities,
        shape.exclusive,
        shape.tariff,
    )


def _queues(
    queues: Iterable[Queue], named_by_jobs: Iterable[str], shares: Sequence[ShareRow]
) -> tuple[Queue, ...]:
    """Return all queues by name, made up with defaults where only a row names them."""
    known = {queue.name: queue for queue in queues}
    named = {*named_by_jobs, *(share.queue for share in shares)}
    known.update({name: Queue(name) for name in named if name not in known})
    return tuple(known[name] for name in sorted(known))


def _field(jobs: Sequence[JobRow], name: str) -> Iterator[Any]:
    """Return one field of all jobs. Not by `zip(*jobs)`: that makes an object for each job."""
    return map(itemgetter(JobRow._fields.index(name)), jobs)


def _shapes(jobs: Sequence[JobRow]) -> tuple[tuple[Shape, ...], I32]:
    """Return the distinct shapes, sorted, and each job's row among them."""
    shapes = tuple(sorted(set(_field(jobs, "shape")), key=shape_key))
    row_of = {shape: row for row, shape in enumerate(shapes)}
    rows = map(row_of.__getitem__, _field(jobs, "shape"))
    return shapes, np.fromiter(rows, np.int32, len(jobs))


def _job_columns(
    jobs: Sequence[JobRow],
    shape: I32,
    queue_row: Mapping[str, int],
    accounts: tuple[str, ...],
    active: Mapping[int, int],
) -> Columns:
    """Return the job columns by rising number."""
    count = len(shape)
    account_row = {name: row for row, name in enumerate(accounts)}
    number = np.fromiter(_field(jobs, "number"), np.int64, count)
    order: I64 | None = None
    if (number[1:] <= number[:-1]).any():
        order = np.argsort(number, kind="stable")
        number = number[order]
        if (number[1:] == number[:-1]).any():
            raise InputError("a job occurs twice", hint="give each job one row")

    def column(values: Iterable[int], dtype: type[_Scalar]) -> NDArray[_Scalar]:
        array = np.fromiter(values, dtype, count)
        return array if order is None else array[order]

    slots = np.zeros(count, np.int64)
    if active:
        slots = np.fromiter((active.get(job, 0) for job in number.tolist()), np.int64, count)
    return {
        "job_number": number,
        "job_shape": shape if order is None else shape[order],
        "job_queue": column(map(queue_row.__getitem__, _field(jobs, "queue")), np.int32),
        "job_account": column(map(account_row.__getitem__, _field(jobs, "account")), np.int32),
        "job_priority": column(_field(jobs, "priority"), np.int32),
        "job_active": slots,
        **{f"job_{name}": column(_field(jobs, name), np.int64) for name in _WIDE},
    }


def _held_columns(
    reservations: Sequence[Reservation], places: Places, job_number: NDArray[Any]
) -> Columns:
    """Return the `held_*` columns of the reservations that can still be meant."""
    rows: list[tuple[int, int, int, int]] = []
    if reservations:
        row_of = places.rows()
        waiting = set(np.intersect1d(job_number, [one.job for one in reservations]).tolist())
        for one in reservations:
            nodes = [row_of.get((one.site, share.node), -1) for share in one.shares]
            if one.job in waiting and min(nodes, default=-1) >= 0:
                rows += [(one.job, node, one.start_ms, one.finish_ms) for node in nodes]
    table = np.array(sorted(rows), np.int64).reshape(len(rows), 4)
    return {
        "held_job": table[:, 0].copy(),
        "held_node": table[:, 1].astype(np.int32),
        "held_start_ms": table[:, 2].copy(),
        "held_end_ms": table[:, 3].copy(),
    }
