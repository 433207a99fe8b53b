"""What if: one moment of a hub planned twice, as it is and with something changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from msgspec import structs

from fenglin.errors import InputError, NotFoundError
from fenglin.intake.policies import read_policy
from fenglin.model.ids import job_id
from fenglin.planner.planning import plan
from fenglin.planner.policy import data_of
from fenglin.planner.record import read_record
from fenglin.simulator.pool.poolfile import read_pool
from fenglin.simulator.replay import equipped, waiting_by_reason
from fenglin.snapshot.fork import fork

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fenglin.model.plan import Plan
    from fenglin.model.site import Queue, Site
    from fenglin.planner.policy import Policy
    from fenglin.snapshot.snapshot import Snapshot

# Jobs that are shown one by one; the rest is counted.
MOST_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Changes:
    """What is different.

    Attributes:
        add: Sites that come; one whose name exists takes its place.
        drop: Names of sites that go.
        policy: Another policy; None keeps the hub's.
        weights: Term → weight, put over those of the policy; 0 takes a term out.
        queue_weights: Queue → weight in thousandths.
        credits_micro: Account → money that comes on top.
    """

    add: tuple[Site, ...] = ()
    drop: tuple[str, ...] = ()
    policy: Policy | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    queue_weights: Mapping[str, int] = field(default_factory=dict)
    credits_micro: Mapping[str, int] = field(default_factory=dict)


def sites_of(path: Path) -> tuple[Site, ...]:
    """Return the sites of a pool file.

    Raises:
        FenglinError: see `pool.poolfile.read_pool`.
    """
    return read_pool(path).sites


def policy_of(name_or_path: str) -> Policy:
    """Return a policy by its name or file.

    Raises:
        FenglinError: see `intake.policies.read_policy`.
    """
    return data_of(read_policy(name_or_path))


def what_if(data: bytes, changes: Changes) -> dict[str, Any]:
    """Return what a moment's plan is, and what it would be.

    Args:
        data: The moment, as `planner.record` wrote it.
        changes: What is different.

    Raises:
        DamageError: the bytes are no such record.
        NotFoundError: a site, queue or account that is to change is not there.
        InputError: nothing is left to plan on, or a term is unknown.
    """
    record = read_record(data)
    before = plan(record.snapshot, equipped(record.policy))
    after_policy = equipped(_policy(record.policy, changes))
    forked = fork(
        record.snapshot,
        sites=_sites(record.snapshot, changes),
        queues=_queues(record.snapshot, changes),
        accounts_micro=_accounts(record.snapshot, changes),
    )
    after = plan(forked.snapshot, after_policy)
    return {
        "index": record.plan.index,
        "now_ms": record.snapshot.now_ms,
        "before": _figures(record.snapshot, before),
        "after": _figures(forked.snapshot, after),
        "interrupted_slots": forked.interrupted_slots,
        **_differences(before, after),
    }


def _policy(policy: Policy, changes: Changes) -> Policy:
    """Return the policy with the changed weights."""
    base = changes.policy or policy
    if not changes.weights:
        return base
    weights = dict(base.weights) | dict(changes.weights)
    kept = tuple((name, weight) for name, weight in weights.items() if weight)
    return structs.replace(base, name=f"{base.name}, changed", weights=kept)


def _sites(snapshot: Snapshot, changes: Changes) -> list[Site]:
    sites = {site.name: site for site in snapshot.sites}
    for name in changes.drop:
        _known(name, sites, "site")
        del sites[name]
    sites.update((site.name, site) for site in changes.add)
    if not sites:
        raise InputError("no site would be left", where="--drop")
    return list(sites.values())


def _queues(snapshot: Snapshot, changes: Changes) -> list[Queue]:
    queues = {queue.name: queue for queue in snapshot.queues}
    for name, weight in changes.queue_weights.items():
        _known(name, queues, "queue")
        queues[name] = structs.replace(queues[name], weight=weight)
    return list(queues.values())


def _accounts(snapshot: Snapshot, changes: Changes) -> dict[str, int]:
    have = dict(zip(snapshot.accounts, snapshot.account_available_micro.tolist(), strict=True))
    for name in changes.credits_micro:
        _known(name, have, "account")
    return {name: have[name] + more for name, more in changes.credits_micro.items()}


def _known(name: str, there: Mapping[str, object], what: str) -> None:
    if name not in there:
        known = ", ".join(sorted(there)) or "none"
        raise NotFoundError(f"no {what} is named {name!r}", hint=f"there are {known}")


def _figures(snapshot: Snapshot, made: Plan) -> dict[str, Any]:
    """Return what a plan starts, leaves waiting and spends."""
    started = sum(start.tasks for start in made.starts)
    finish_ms = max((start.finish_ms for start in made.starts), default=0)
    return {
        "policy": made.policy,
        "started_jobs": len({start.job for start in made.starts}),
        "started_tasks": started,
        "waiting_tasks": int(snapshot.job_pending.sum() + snapshot.job_blocked.sum()) - started,
        "waiting_jobs": sum(reason is not None for reason in made.reasons),
        "held_micro": sum(start.hold_micro for start in made.starts),
        "last_start_ends_in_s": max(0, finish_ms - snapshot.now_ms) / 1_000,
        "reservations": len(made.reservations),
        "evictions": len(made.evictions),
        "started_tasks_by_site": _by_site(made),
        "waiting_by_reason": waiting_by_reason(made),
    }


def _by_site(made: Plan) -> dict[str, int]:
    tasks: dict[str, int] = {}
    for start in made.starts:
        tasks[start.site] = tasks.get(start.site, 0) + start.tasks
    return dict(sorted(tasks.items()))


def _differences(before: Plan, after: Plan) -> dict[str, Any]:
    """Return the jobs that would start more tasks, or fewer, by number."""
    old, new = _tasks_of(before), _tasks_of(after)
    changed = [
        {"job": job_id(job), "before": old.get(job, 0), "after": new.get(job, 0)}
        for job in sorted(old.keys() | new.keys())
        if old.get(job, 0) != new.get(job, 0)
    ]
    return {"changed_jobs": len(changed), "jobs": changed[:MOST_SHOWN]}


def _tasks_of(made: Plan) -> dict[int, int]:
    tasks: dict[int, int] = {}
    for start in made.starts:
        tasks[start.job] = tasks.get(start.job, 0) + start.tasks
    return tasks
