"""Builds a snapshot from plain records: what the engine read, or what a test or trace says.

Called once per cycle with up to 100,000 pending jobs, so jobs come as tuples and become columns
by whole-column operations. Rows may come in any order; the snapshot's own order is canonical.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from fenglin.errors import InputError
from fenglin.model.job import DEFAULT_ACCOUNT, DEFAULT_QUEUE
from fenglin.model.site import Node, Queue, Site
from fenglin.model.states import SiteState
from fenglin.quantities.resources import DIMENSIONS, Resources
from fenglin.snapshot.snapshot import I32, I64, Bool, Shape, Snapshot

_Scalar = TypeVar("_Scalar", bound=np.generic)
# Groups of columns by field name, for `Snapshot(**columns)`; the fields check nothing at run time.
_Columns = dict[str, NDArray[Any]]
_NOTHING: Mapping[str, int] = {}
# Columns of live shares in their order, which is also the order of the rows.
_SHARE_COLUMNS: tuple[tuple[str, type[np.generic]], ...] = (
    ("share_job", np.int64),
    ("share_node", np.int32),
    ("share_end_ms", np.int64),
    ("share_slots", np.int64),
    ("share_allocation", np.int64),
    ("share_nodes", np.int32),
    ("share_queue", np.int32),
    ("share_priority", np.int32),
    ("share_started_ms", np.int64),
    ("share_preemptible", np.bool_),
    ("share_checkpoint_ms", np.int64),
)


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


class ShareRow(NamedTuple):
    """Slots that a live allocation holds on one node.

    Attributes:
        job: Job number.
        site: Site name.
        node: Node name.
        slots: Slots held there.
        end_ms: Expected end.
        resources: Need of one slot.
        queue: Queue that is charged.
        nodes: Nodes per task of the job (gang); its shares then hold one slot each.
        licences: (name, count) per task of the job.
        allocation: Number of the allocation.
        priority: Of the job.
        started_ms: When its work began; 0 for not yet.
        preemptible: Whether the job may be interrupted.
        checkpoint_ms: Most work of a task lost then; 0 for all of it.
    """

    job: int
    site: str
    node: str
    slots: int
    end_ms: int
    resources: Resources
    queue: str = DEFAULT_QUEUE
    nodes: int = 1
    licences: tuple[tuple[str, int], ...] = ()
    allocation: int = 0
    priority: int = 0
    started_ms: int = 0
    preemptible: bool = False
    checkpoint_ms: int = 0


class _Pool(NamedTuple):
    """Columns of sites, flavors, nodes and licences."""

    sites: tuple[Site, ...]
    flavor_site: I32
    flavor_slot: I32
    node_flavor: I32
    node_names: tuple[str, ...]
    node_up: Bool
    node_capacity: I64
    node_block: I32
    licence_names: tuple[tuple[int, str], ...]
    licence_total: I64
    node_row: dict[tuple[str, str], int]


def build(
    *,
    index: int,
    now_ms: int,
    sites: Iterable[Site],
    queues: Iterable[Queue] = (),
    accounts: Mapping[str, int],
    jobs: Sequence[JobRow],
    shares: Sequence[ShareRow] = (),
    spent_ms: Mapping[str, int] = _NOTHING,
) -> Snapshot:
    """Return the snapshot of these records.

    A queue that a row names but `queues` lacks gets weight 1000 and no quota; an account that
    `accounts` (name → micro-units available) lacks has no money. A share on a node that is no
    longer known still counts against its queue and its job, but holds no node. `spent_ms` is
    the decayed past use by queue, in milliseconds of the whole pool.

    Raises:
        InputError: two sites, nodes of a site or jobs have one name, or a node's flavor is
            unknown.
    """
    pool = _pool(sites)
    queue_list = _queues(queues, jobs, shares)
    queue_row = {queue.name: row for row, queue in enumerate(queue_list)}
    account_names = tuple(sorted({*accounts, *(job.account for job in jobs)}))
    shapes = tuple(sorted({job.shape for job in jobs}, key=shape_key))
    live = _live_shares(shares, pool, queue_row)
    active = _active(shares)
    return Snapshot(
        index=index,
        now_ms=now_ms,
        sites=pool.sites,
        flavor_site=_frozen(pool.flavor_site),
        flavor_slot=_frozen(pool.flavor_slot),
        node_flavor=_frozen(pool.node_flavor),
        node_names=pool.node_names,
        node_up=_frozen(pool.node_up),
        node_capacity=_frozen(pool.node_capacity),
        node_free=_frozen(_node_free(pool, shares)),
        node_block=_frozen(pool.node_block),
        licence_names=pool.licence_names,
        licence_free=_frozen(_licence_free(pool, shares)),
        shapes=shapes,
        queues=queue_list,
        queue_used=_frozen(_queue_used(queue_row, shares)),
        queue_spent_ms=_frozen(
            np.array([spent_ms.get(queue.name, 0) for queue in queue_list], np.int64)
        ),
        accounts=account_names,
        account_available_micro=_frozen(
            np.array([accounts.get(name, 0) for name in account_names], np.int64)
        ),
        **_job_columns(jobs, shapes, queue_row, account_names, active),
        **live,
    )


def shape_key(shape: Shape) -> tuple[object, ...]:
    """Return a total order over shapes (their own comparison fails where None meets a value)."""
    need = shape.accelerator
    return (
        shape.resources.values(),
        shape.nodes,
        () if need is None else (need.model, need.memory_bytes, need.fp16_gflops, need.fp64_gflops),
        shape.licences,
        shape.compute_class or "",
        shape.sites,
        shape.regions,
        shape.require,
        shape.topology,
        shape.near,
        shape.latency_ms,
        shape.data,
    )


def _frozen(array: NDArray[_Scalar]) -> NDArray[_Scalar]:
    """Make the array read-only and return it."""
    array.flags.writeable = False
    return array


def _pool(sites: Iterable[Site]) -> _Pool:
    """Lay sites, flavors, nodes and licences out in the snapshot's order."""
    ordered = tuple(sorted(sites, key=lambda site: site.name))
    _refuse_twice("site", [site.name for site in ordered])
    flavors = [
        (row, slot)
        for row, site in enumerate(ordered)
        for _, slot in sorted((flavor.name, slot) for slot, flavor in enumerate(site.flavors))
    ]
    nodes: list[tuple[int, Node]] = []
    for site in ordered:
        _refuse_twice(f"node of site {site.name}", [node.name for node in site.nodes])
    for flavor_row, (row, slot) in enumerate(flavors):
        site = ordered[row]
        mine = [node for node in site.nodes if node.flavor == site.flavors[slot].name]
        nodes.extend((flavor_row, node) for node in sorted(mine, key=lambda node: node.name))
    if len(nodes) != sum(len(site.nodes) for site in ordered):
        raise InputError("a node names a flavor that its site lacks", hint="check the inventory")
    site_of = [flavors[flavor_row][0] for flavor_row, _ in nodes]
    licences = sorted((row, *held) for row, site in enumerate(ordered) for held in site.licences)
    capacity = [
        ordered[row].flavors[flavors[flavor_row][1]].node.values()
        for row, (flavor_row, _) in zip(site_of, nodes, strict=True)
    ]
    active = [site.state is SiteState.ACTIVE for site in ordered]
    return _Pool(
        sites=ordered,
        flavor_site=np.array([row for row, _ in flavors], np.int32),
        flavor_slot=np.array([slot for _, slot in flavors], np.int32),
        node_flavor=np.array([flavor_row for flavor_row, _ in nodes], np.int32),
        node_names=tuple(node.name for _, node in nodes),
        node_up=np.array(
            [node.up and active[row] for row, (_, node) in zip(site_of, nodes, strict=True)],
            np.bool_,
        ),
        node_capacity=np.array(capacity, np.int64).reshape(len(nodes), len(DIMENSIONS)),
        node_block=_blocks(nodes),
        licence_names=tuple((row, name) for row, name, _ in licences),
        licence_total=np.array([count for _, _, count in licences], np.int64),
        node_row={
            (ordered[row].name, node.name): i
            for i, (row, (_, node)) in enumerate(zip(site_of, nodes, strict=True))
        },
    )


def _blocks(nodes: Sequence[tuple[int, Node]]) -> I32:
    """Number the blocks within their flavors; a node without one is alone."""
    number: dict[tuple[int, str], int] = {}
    rows: list[int] = []
    blocks = 0
    for flavor_row, node in nodes:
        key = (flavor_row, node.block)
        if not node.block or key not in number:
            number[key] = blocks
            blocks += 1
        rows.append(number[key])
    return np.array(rows, np.int32)


def _refuse_twice(what: str, names: Sequence[object]) -> None:
    """Raise when a name occurs twice."""
    if len(set(names)) != len(names):
        twice = sorted({str(name) for name in names if names.count(name) > 1})
        raise InputError(f"{what} {twice[0]} occurs twice", hint="names must be unique")


def _queues(
    queues: Iterable[Queue], jobs: Sequence[JobRow], shares: Sequence[ShareRow]
) -> tuple[Queue, ...]:
    """Return all queues by name, made up with defaults where only a row names them."""
    known = {queue.name: queue for queue in queues}
    named = {job.queue for job in jobs} | {share.queue for share in shares}
    known.update({name: Queue(name) for name in named if name not in known})
    return tuple(known[name] for name in sorted(known))


def _needs(shares: Sequence[ShareRow]) -> I64:
    """Return what each share holds in all, [R, D]."""
    held = np.array([share.resources.values() for share in shares], np.int64)
    slots = np.array([share.slots for share in shares], np.int64)
    return held.reshape(len(shares), len(DIMENSIONS)) * slots[:, None]


def _node_free(pool: _Pool, shares: Sequence[ShareRow]) -> I64:
    """Return capacity less what live shares hold."""
    free = pool.node_capacity.copy()
    rows = np.array([pool.node_row.get((s.site, s.node), -1) for s in shares], np.int64)
    known = rows >= 0
    np.subtract.at(free, rows[known], _needs(shares)[known])
    return free


def _queue_used(queue_row: Mapping[str, int], shares: Sequence[ShareRow]) -> I64:
    """Return what each queue holds, on nodes known or not."""
    used = np.zeros((len(queue_row), len(DIMENSIONS)), np.int64)
    rows = np.array([queue_row[share.queue] for share in shares], np.int64)
    np.add.at(used, rows, _needs(shares))
    return used


def _licence_free(pool: _Pool, shares: Sequence[ShareRow]) -> I64:
    """Return licences less those held; a gang holds its licences once, not once per node."""
    free = pool.licence_total.copy()
    row_of = {(pool.sites[site].name, name): i for i, (site, name) in enumerate(pool.licence_names)}
    slots: dict[tuple[str, str, int, int, int], int] = {}
    for share in shares:
        for name, count in share.licences:
            key = (share.site, name, share.job, count, share.nodes)
            slots[key] = slots.get(key, 0) + share.slots
    for (site, name, _, count, nodes), held in slots.items():
        if (site, name) in row_of:
            free[row_of[site, name]] -= -(-held // nodes) * count
    return free


def _active(shares: Sequence[ShareRow]) -> dict[int, int]:
    """Return per job how many tasks it may run at once now (a gang counts once)."""
    slots: dict[int, int] = {}
    nodes: dict[int, int] = {}
    for share in shares:
        slots[share.job] = slots.get(share.job, 0) + share.slots
        nodes[share.job] = share.nodes
    return {job: -(-count // nodes[job]) for job, count in slots.items()}


def _live_shares(shares: Sequence[ShareRow], pool: _Pool, queue_row: Mapping[str, int]) -> _Columns:
    """Return the share columns in the order (job, node row, end, slots, allocation …)."""
    rows = sorted(
        (
            s.job,
            pool.node_row[s.site, s.node],
            s.end_ms,
            s.slots,
            s.allocation,
            s.nodes,
            queue_row[s.queue],
            s.priority,
            s.started_ms,
            s.preemptible,
            s.checkpoint_ms,
            *s.resources.values(),
        )
        for s in shares
        if (s.site, s.node) in pool.node_row
    )
    table = np.array(rows, np.int64).reshape(len(rows), len(_SHARE_COLUMNS) + len(DIMENSIONS))
    columns: _Columns = {
        name: _frozen(table[:, at].astype(dtype)) for at, (name, dtype) in enumerate(_SHARE_COLUMNS)
    }
    columns["share_need"] = _frozen(table[:, len(_SHARE_COLUMNS) :].copy())
    return columns


def _job_columns(
    jobs: Sequence[JobRow],
    shapes: tuple[Shape, ...],
    queue_row: Mapping[str, int],
    accounts: tuple[str, ...],
    active: Mapping[int, int],
) -> _Columns:
    """Return the job columns by rising number."""
    shape_row = {shape: row for row, shape in enumerate(shapes)}
    account_row = {name: row for row, name in enumerate(accounts)}
    by_field = dict(zip(JobRow._fields, zip(*jobs, strict=True), strict=True)) if jobs else {}
    number = np.array(by_field.get("number", ()), np.int64)
    order = np.argsort(number, kind="stable")
    number = number[order]
    if (number[1:] == number[:-1]).any():
        raise InputError("a job occurs twice", hint="give each job one row")

    def column(values: Iterable[int], dtype: type[_Scalar]) -> NDArray[_Scalar]:
        return _frozen(np.fromiter(values, dtype, len(jobs))[order])

    wide = ("submitted_ms", "not_before_ms", "deadline_ms", "pending", "blocked", "concurrency",
            "tasks", "estimate_ms", "learned_ms", "timeout_ms", "predicted_ms")  # fmt: skip
    return {
        "job_number": _frozen(number),
        "job_shape": column(map(shape_row.__getitem__, by_field.get("shape", ())), np.int32),
        "job_queue": column(map(queue_row.__getitem__, by_field.get("queue", ())), np.int32),
        "job_account": column(map(account_row.__getitem__, by_field.get("account", ())), np.int32),
        "job_priority": column(by_field.get("priority", ()), np.int32),
        "job_active": column((active.get(job.number, 0) for job in jobs), np.int64),
        **{f"job_{name}": column(by_field.get(name, ()), np.int64) for name in wide},
    }
