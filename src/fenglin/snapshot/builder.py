"""Builds a snapshot from plain records: what the engine read, or what a test or trace says.

Called once per cycle with up to 100,000 pending jobs, so jobs come as tuples or as columns, and
are worked on by whole-column operations. They may come in any order; the snapshot's own order is
canonical.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from fenglin.errors import InputError
from fenglin.model.plan import Reservation
from fenglin.model.site import Queue, Site
from fenglin.snapshot.live import Columns, ShareRow, reckon
from fenglin.snapshot.places import Places, lay_out
from fenglin.snapshot.snapshot import I32, I64, Shape, Snapshot
from fenglin.snapshot.waiting import JobRow, Waiting, waiting

__all__ = ["JobRow", "ShareRow", "build", "shape_key"]

_Name = TypeVar("_Name")
_NOTHING: Mapping[str, int] = {}
# Job columns that are taken as they are.
_WIDE = ("submitted_ms", "not_before_ms", "deadline_ms", "pending", "blocked", "concurrency",
         "tasks", "estimate_ms", "learned_ms", "timeout_ms", "predicted_ms")  # fmt: skip


def build(  # noqa: PLR0913 - one argument for each kind of record
    *,
    index: int,
    now_ms: int,
    sites: Iterable[Site],
    queues: Iterable[Queue] = (),
    accounts: Mapping[str, int],
    jobs: Sequence[JobRow] | Waiting,
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
    asked = jobs if isinstance(jobs, Waiting) else waiting(jobs)
    queue_list = _queues(queues, _named(asked.queues, asked.column("queue")), shares)
    queue_row = {queue.name: row for row, queue in enumerate(queue_list)}
    in_accounts = _named(asked.accounts, asked.column("account"))
    account_names = tuple(sorted({*accounts, *in_accounts}))
    shapes = tuple(sorted(_named(asked.shapes, asked.column("shape")), key=shape_key))
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
        **_job_columns(asked, shapes, tuple(queue_row), account_names, live.active),
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


def _named(names: Sequence[_Name], codes: I64) -> list[_Name]:
    """Return the names that a column of codes has."""
    return [names[code] for code in np.unique(codes).tolist()]


def _job_columns(
    asked: Waiting,
    shapes: tuple[Shape, ...],
    queues: tuple[str, ...],
    accounts: tuple[str, ...],
    active: Mapping[int, int],
) -> Columns:
    """Return the job columns by rising number."""
    number = asked.column("number")
    order: I64 | None = None
    if (number[1:] <= number[:-1]).any():
        order = np.argsort(number, kind="stable")
        number = number[order]
        if (number[1:] == number[:-1]).any():
            raise InputError("a job occurs twice", hint="give each job one row")

    def column(name: str) -> I64:
        values = asked.column(name)
        return values.copy() if order is None else values[order]

    return {
        "job_number": number.copy() if order is None else number,
        "job_shape": _rows_of(shapes, asked.shapes)[column("shape")],
        "job_queue": _rows_of(queues, asked.queues)[column("queue")],
        "job_account": _rows_of(accounts, asked.accounts)[column("account")],
        "job_priority": _narrowed(column("priority")),
        "job_active": _active(active, number),
        **{f"job_{name}": column(name) for name in _WIDE},
    }


def _rows_of(listed: Sequence[Hashable], names: Sequence[Hashable]) -> I32:
    """Return at which place of a list each name is; -1 where it is not there."""
    row_of = {name: row for row, name in enumerate(listed)}
    return np.array([row_of.get(name, -1) for name in names], np.int32)


def _narrowed(values: I64) -> I32:
    """Return values in 32 bits.

    Raises:
        OverflowError: one does not fit.
    """
    narrow = values.astype(np.int32)
    if (narrow != values).any():
        raise OverflowError(f"{values[narrow != values][0]} does not fit into 32 bits")
    return narrow


def _active(active: Mapping[int, int], number: I64) -> I64:
    """Return the slots of each job, of which the numbers rise."""
    slots = np.zeros(len(number), np.int64)
    jobs = np.fromiter(active, np.int64, len(active))
    place = np.searchsorted(number, jobs)
    waits = place < len(number)
    waits[waits] = number[place[waits]] == jobs[waits]
    slots[place[waits]] = np.fromiter(active.values(), np.int64, len(active))[waits]
    return slots


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
