"""Views of the pool for people: sites, nodes, queues, and all at a glance."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, TypeVar

import msgspec

from fenglin.engine.safety import notes
from fenglin.errors import InputError
from fenglin.model.ids import parse_job_id
from fenglin.model.job import DEFAULT_QUEUE
from fenglin.model.states import JobState, SiteState
from fenglin.quantities.resources import Resources
from fenglin.wire.views import FlavorView, LinkView, NodeView, Overview, Page, QueueView, SiteView

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fenglin.engine.pool import Pool
    from fenglin.engine.status import SiteStatus
    from fenglin.model.plan import Plan, Receipt
    from fenglin.model.reason import Reason
    from fenglin.model.site import Flavor
    from fenglin.ports.hub import Listing
    from fenglin.wire.views import JobView

T = TypeVar("T", bound=msgspec.Struct)
SITE_FILTERS = ("state", "provider", "driver", "name", "class")
NODE_FILTERS = ("site", "flavor", "up", "name")
QUEUE_FILTERS = ("name", "cohort")


def with_reasons(
    jobs: Sequence[JobView], plan: Plan, held_back: Callable[[int], tuple[Reason, str] | None]
) -> list[JobView]:
    """Say why tasks of each job wait, by a plan; a receipt for each would take too long."""
    why = dict(zip(plan.order, plan.reasons, strict=True))

    def told(job: JobView) -> JobView:
        number = parse_job_id(job.id)
        held = held_back(number)
        if held is not None:
            return with_held(job, held)
        return msgspec.structs.replace(job, reason=why.get(number) or "")

    return [told(job) if job.tasks.pending and not job.reason else job for job in jobs]


def with_held(job: JobView, held: tuple[Reason, str]) -> JobView:
    """Say that the planner is not shown a job, and why; what the store says of it goes first."""
    reason, why = held
    return job if job.reason else msgspec.structs.replace(job, reason=reason, detail=why)


def page(rows: Sequence[T], listing: Listing, filters: tuple[str, ...]) -> Page[T]:
    """Filter, sort and cut rows that are few enough to stand in memory.

    Raises:
        InputError: an unknown filter or sort, or a cursor that is not ours.
    """
    chosen: dict[str, set[str]] = {}
    for field, value in listing.filters:
        if field not in filters:
            raise InputError(
                f"cannot filter by {field!r}", where=field, hint=f"one of {', '.join(filters)}"
            )
        chosen.setdefault(field, set()).add(value)
    kept = [r for r in rows if all(_texts(r, f) & want for f, want in chosen.items())]
    if listing.sort:
        name = listing.sort.removeprefix("-")
        known = [f for f in (rows[0].__struct_fields__ if rows else ()) if f != "flavors"]
        if rows and name not in known:
            raise InputError(
                f"cannot sort by {name!r}", where="sort", hint=f"one of {', '.join(known)}"
            )
        kept.sort(key=lambda r: getattr(r, name), reverse=listing.sort.startswith("-"))
    if listing.cursor and not re.fullmatch(r"\d{1,9}", listing.cursor, re.ASCII):
        raise InputError("this cursor is not ours", where="cursor", hint="take it from `next`")
    start = int(listing.cursor or 0)
    stop = start + listing.limit
    return Page(kept[start:stop], str(stop) if stop < len(kept) else "", len(kept))


def price_of(receipt: Receipt) -> int:
    """Return the price of the mix that a plan chose, else of the best option alone."""
    shares = [(o.tasks, o.price_micro) for o in receipt.options if o.reason is None and o.tasks]
    if shares:
        return sum(tasks * price for tasks, price in shares) // sum(tasks for tasks, _ in shares)
    return min((o.price_micro for o in receipt.options if o.price_micro), default=0)


def sites(pool: Pool, *, flavors: bool = False) -> list[SiteView]:
    """Return all sites by name, with their flavors if asked."""
    used = _used(pool)
    running = _running_tasks(pool)
    return [
        _site(pool.sites[name], used, running.get(name, 0), flavors=flavors)
        for name in sorted(pool.sites)
    ]


def nodes(pool: Pool) -> list[NodeView]:
    """Return all nodes by (site, name)."""
    used = _used(pool)
    views = []
    for name in sorted(pool.sites):
        site = pool.sites[name].effective()
        for node in sorted(site.nodes, key=lambda n: n.name):
            have = site.flavor(node.flavor).node
            held = used.get((name, node.name), Resources())
            views.append(
                NodeView(
                    site=name,
                    name=node.name,
                    flavor=node.flavor,
                    up=node.up,
                    cpu_milli=have.cpu_milli,
                    cpu_used_milli=held.cpu_milli,
                    memory_bytes=have.memory_bytes,
                    memory_used_bytes=held.memory_bytes,
                    disk_bytes=have.disk_bytes,
                    disk_used_bytes=held.disk_bytes,
                    accelerator_milli=have.accelerator_milli,
                    accelerator_used_milli=held.accelerator_milli,
                )
            )
    return views


def queues(pool: Pool) -> list[QueueView]:
    """Return all queues by name: the declared ones and those that jobs name."""
    declared = {queue.name: queue for queue in pool.queues}
    counts: dict[str, list[int]] = {name: [0, 0, 0] for name in (DEFAULT_QUEUE, *declared)}
    for job in pool.jobs.values():
        row = counts.setdefault(job.spec.queue, [0, 0, 0])
        if job.pending:
            row[0] += 1
            row[1] += len(job.pending)
    names = sorted(counts)
    held: dict[str, Resources] = dict.fromkeys(names, Resources())
    for record in pool.allocations.values():
        queue = pool.jobs[record.job].spec.queue
        counts[queue][2] += len(record.remaining)
        held[queue] += record.resources.times(record.slots)
    total = _capacity(pool)
    views = []
    for name in names:
        found = declared.get(name)
        views.append(
            QueueView(
                name=name,
                weight_milli=found.weight if found else 1_000,
                cohort=found.cohort if found else "",
                pending_jobs=counts[name][0],
                pending_tasks=counts[name][1],
                running_tasks=counts[name][2],
                cpu_used_milli=held[name].cpu_milli,
                memory_used_bytes=held[name].memory_bytes,
                accelerator_used_milli=held[name].accelerator_milli,
                dominant_share=_dominant(held[name], total),
                parent=found.parent if found else "",
            )
        )
    return views


def overview(pool: Pool, now_ms: int, version: str, cycle_ms: float, *, leader: bool) -> Overview:
    """Return the pool at a glance."""
    states = Counter(job.state for job in pool.jobs.values())
    lines = queues(pool)
    return Overview(
        hub=pool.hub,
        version=version,
        now_ms=now_ms,
        leader=leader,
        epoch=pool.epoch,
        cycle=pool.cycle,
        cycle_ms=cycle_ms,
        pending_jobs=states[JobState.PENDING],
        running_jobs=states[JobState.RUNNING],
        pending_tasks=sum(line.pending_tasks for line in lines),
        running_tasks=sum(len(record.remaining) for record in pool.allocations.values()),
        finished_tasks=pool.finished_tasks,
        sites=sites(pool),
        queues=lines,
        notes=list(notes(pool)),
    )


def _site(
    status: SiteStatus,
    used: dict[tuple[str, str], Resources],
    running: int,
    *,
    flavors: bool,
) -> SiteView:
    site = status.effective()
    have, held = Resources(), Resources()
    for node in site.nodes:
        have += site.flavor(node.flavor).node
        held += used.get((site.name, node.name), Resources())
    counts = {
        flavor.name: sum(n.flavor == flavor.name for n in site.nodes) for flavor in site.flavors
    }
    return SiteView(
        name=site.name,
        provider=site.provider,
        driver=site.driver,
        placement=site.placement,
        state=site.state,
        state_reason=site.state_reason,
        nodes=len(site.nodes),
        nodes_up=sum(node.up for node in site.nodes) if site.state is not SiteState.DOWN else 0,
        cpu_milli=have.cpu_milli,
        cpu_used_milli=held.cpu_milli,
        memory_bytes=have.memory_bytes,
        memory_used_bytes=held.memory_bytes,
        accelerator_milli=have.accelerator_milli,
        accelerator_used_milli=held.accelerator_milli,
        running_tasks=running,
        seen_ms=status.seen_ms,
        classes=sorted({str(flavor.compute_class) for flavor in site.flavors}),
        flavors=[_flavor(f, counts[f.name]) for f in site.flavors] if flavors else [],
        region=site.region,
        capabilities=list(site.capabilities or ()),
        labels=dict(site.labels),
        carbon_g_kwh=site.carbon_g_kwh,
        pue_milli=site.pue_milli,
        links=[
            LinkView(one.site, one.latency_us, one.bandwidth_mbit_s, one.egress_gib_micro)
            for one in site.links
        ],
    )


def _flavor(flavor: Flavor, count: int) -> FlavorView:
    return FlavorView(
        name=flavor.name,
        compute_class=flavor.compute_class,
        nodes=count,
        cpu_milli=flavor.node.cpu_milli,
        memory_bytes=flavor.node.memory_bytes,
        disk_bytes=flavor.node.disk_bytes,
        accelerator_milli=flavor.node.accelerator_milli,
        accelerator=flavor.accelerator,
        speed_milli=flavor.speed_milli,
        core_hour_micro=flavor.price.core_hour_micro,
        memory_gib_hour_micro=flavor.price.memory_gib_hour_micro,
        card_hour_micro=flavor.price.card_hour_micro,
        note=flavor.note,
        power_watts=flavor.power_watts,
        labels=dict(flavor.labels),
    )


def _used(pool: Pool) -> dict[tuple[str, str], Resources]:
    """Return what is committed on each node."""
    used: dict[tuple[str, str], Resources] = {}
    for record in pool.allocations.values():
        for share in record.shares:
            place = (record.site, share.node)
            used[place] = used.get(place, Resources()) + record.resources.times(share.slots)
    return used


def _running_tasks(pool: Pool) -> dict[str, int]:
    """Return how many tasks run at each site now; those that wait in an allocation do not."""
    running: dict[str, int] = {}
    for record in pool.allocations.values():
        slots = record.slots // record.nodes
        running[record.site] = running.get(record.site, 0) + min(slots, len(record.remaining))
    return running


def _capacity(pool: Pool) -> Resources:
    total = Resources()
    for status in pool.sites.values():
        for node in status.site.nodes:
            total += status.site.flavor(node.flavor).node
    return total


def _dominant(held: Resources, total: Resources) -> float:
    return max((a / b for a, b in zip(held, total, strict=True) if b), default=0.0)


def _texts(row: msgspec.Struct, field: str) -> set[str]:
    """Return what a field of a view can be filtered by."""
    if field == "class":
        return set(getattr(row, "classes", ()))
    value = getattr(row, field)
    return {str(value).lower() if isinstance(value, bool) else str(value)}
