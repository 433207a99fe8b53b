"""The snapshot: what exists, what is used, what waits, at one index of the hub's own log.

Row order is part of the value: sites by name, flavors by (site, name), nodes by (flavor row,
name), jobs by number, queues and accounts by name. Two equal pools give equal snapshots,
byte for byte. Arrays are read-only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fenglin.model.job import AcceleratorNeed, DataNeed, JobSpec, Mode, Topology
from fenglin.model.site import Queue, Site, tariff_of
from fenglin.model.states import ComputeClass
from fenglin.model.wishes import scoped
from fenglin.quantities.resources import Resources

I64 = NDArray[np.int64]
I32 = NDArray[np.int32]
Bool = NDArray[np.bool_]


class Shape(Struct, frozen=True, order=True, omit_defaults=True, cache_hash=True):
    """What makes two jobs equal to the packer: jobs are grouped by it.

    Attributes:
        resources: Needs of one task on one node.
        nodes: Nodes per task.
        accelerator: Which cards qualify.
        licences: (name, count) per task.
        compute_class: Only this class; None for any.
        sites: Only these sites; empty for any.
        regions: Only sites in these regions; empty for any.
        require: (key, value) labels that the site or flavor must carry.
        topology: How close the nodes of a gang must be.
        near: Site whose users it serves; empty for nobody's.
        latency_ms: Longest round trip to `near`; 0 for any.
        data: What it reads.
        capabilities: What the site's driver must be able to do, sorted.
        exclusive: Whether a task must fill each of its nodes.
        tariff: By which prices it is charged, as `model.site.tariff_of` names them.
    """

    resources: Resources
    nodes: int = 1
    accelerator: AcceleratorNeed | None = None
    licences: tuple[tuple[str, int], ...] = ()
    compute_class: ComputeClass | None = None
    sites: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    require: tuple[tuple[str, str], ...] = ()
    topology: Topology = Topology.ANY
    near: str = ""
    latency_ms: int = 0
    data: tuple[DataNeed, ...] = ()
    capabilities: tuple[str, ...] = ()
    exclusive: bool = False
    tariff: str = ""

    @classmethod
    def of(cls, spec: JobSpec, user_class: str = "") -> Shape:
        """Return the shape of a job whose account is of that class."""
        return cls(
            spec.resources,
            spec.nodes,
            spec.accelerator,
            spec.licences,
            spec.compute_class,
            spec.sites,
            spec.regions,
            scoped(spec.require, spec.account),
            spec.topology,
            spec.near,
            spec.latency_ms,
            spec.data,
            needed_capabilities(spec),
            spec.mode is Mode.EXCLUSIVE,
            tariff_of(user_class, spec.mode),
        )


def needed_capabilities(spec: JobSpec) -> tuple[str, ...]:
    """Return what a site's driver must be able to do to run the job, sorted.

    The words are those of `ports.driver.Capability`.
    """
    # Asked for each job of a batch, twice.
    return (
        (("arrays",) if spec.tasks > 1 else ())
        + (("artifacts",) if spec.artifacts else ())
        + (("gangs",) if spec.nodes > 1 else ())
        + (("images",) if spec.image else ())
        + (("inputs",) if spec.files else ())
        + (("secrets",) if spec.secrets else ())
        + (("setup",) if spec.setup else ())
    )


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """One picture of the pool.

    S sites, F flavors, N nodes, J jobs that still have pending tasks, Q queues, A accounts,
    L licences, R live allocation shares, H nodes promised to jobs; D = len(DIMENSIONS) resource
    dimensions, C cards of the node that has most.

    Attributes:
        index: Position in the hub's log that this picture shows.
        now_ms: Unix time for which it is planned.
        sites: S site records, with flavors, prices, states.
        flavor_site: [F] row of the flavor's site.
        flavor_slot: [F] position of the flavor in its site's `flavors`.
        node_flavor: [N] row of the node's flavor.
        node_names: N names.
        node_up: [N] usable: the node is up and its site takes new work.
        node_capacity: [N, D].
        node_free: [N, D] capacity less everything committed.
        node_cards: [N, C] thousandths free on each card; 0 where a node has fewer. What
            sums to enough in `node_free` may lie in parts that no task can use.
        node_block: [N] the same number for nodes of one flavor and block, rising; a node
            without a declared block is a block of its own.
        licence_names: L names, each with its site: (site row, name).
        licence_free: [L].
        shapes: Distinct shapes, sorted.
        queues: Q queue records.
        queue_used: [Q, D] committed now.
        queue_spent_ms: [Q] past use, decayed: milliseconds of the whole pool's dominant share.
        accounts: A names.
        account_available_micro: [A] money not yet held or spent.
        job_number: [J] rising.
        job_shape, job_queue, job_account: [J] rows.
        job_priority: [J].
        job_submitted_ms: [J].
        job_not_before_ms: [J] 0 for none.
        job_deadline_ms: [J] 0 for none.
        job_pending: [J] tasks that may start now, as far as dependencies go.
        job_blocked: [J] pending tasks that wait for a dependency.
        job_active: [J] slots committed now.
        job_concurrency: [J] most slots at once, 0 for no limit.
        job_tasks: [J] size of the array.
        job_estimate_ms: [J] user's estimate on speed 1; 0 unknown.
        job_learned_ms: [J] mean runtime of the job's own ended tasks, scaled to speed 1;
            0 while none has ended.
        job_predicted_ms: [J] runtime on speed 1 predicted from its user's recent jobs; 0 unknown.
        job_timeout_ms: [J] 0 for none.
        share_job: [R] job number of a live allocation's share.
        share_node: [R] node row.
        share_slots: [R] slots held.
        share_end_ms: [R] expected end, by the promise made when it was started.
        share_allocation: [R] number of the allocation.
        share_need: [R, D] what one of its slots holds.
        share_cards: [R, C] thousandths that it holds of each card of its node.
        share_nodes: [R] nodes per task (gang).
        share_queue: [R] row of the queue that is charged.
        share_priority: [R] of its job.
        share_started_ms: [R] when its work began; 0 for not yet.
        share_preemptible: [R] whether its job may be interrupted.
        share_checkpoint_ms: [R] most work of a task lost when interrupted; 0 for all of it.
        share_stopping: [R] whether the site was told to stop it; it ends by `share_end_ms`.
        held_job: [H] number of a waiting job whose reservation the previous plan made or kept;
            rows by (job, node).
        held_node: [H] row of a node of that reservation.
        held_start_ms: [H] promised start.
        held_end_ms: [H] until when, as it was expected then.
    """

    index: int
    now_ms: int
    sites: tuple[Site, ...]
    flavor_site: I32
    flavor_slot: I32
    node_flavor: I32
    node_names: tuple[str, ...]
    node_up: Bool
    node_capacity: I64
    node_free: I64
    node_cards: I64
    node_block: I32
    licence_names: tuple[tuple[int, str], ...]
    licence_free: I64
    shapes: tuple[Shape, ...]
    queues: tuple[Queue, ...]
    queue_used: I64
    queue_spent_ms: I64
    accounts: tuple[str, ...]
    account_available_micro: I64
    job_number: I64
    job_shape: I32
    job_queue: I32
    job_account: I32
    job_priority: I32
    job_submitted_ms: I64
    job_not_before_ms: I64
    job_deadline_ms: I64
    job_pending: I64
    job_blocked: I64
    job_active: I64
    job_concurrency: I64
    job_tasks: I64
    job_estimate_ms: I64
    job_learned_ms: I64
    job_predicted_ms: I64
    job_timeout_ms: I64
    share_job: I64
    share_node: I32
    share_slots: I64
    share_end_ms: I64
    share_allocation: I64
    share_need: I64
    share_cards: I64
    share_nodes: I32
    share_queue: I32
    share_priority: I32
    share_started_ms: I64
    share_preemptible: Bool
    share_checkpoint_ms: I64
    share_stopping: Bool
    held_job: I64
    held_node: I32
    held_start_ms: I64
    held_end_ms: I64
