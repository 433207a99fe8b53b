"""Forks: the same moment with another pool, for "what if"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from fenglin.model.allocation import Share
from fenglin.model.plan import Reservation
from fenglin.model.site import Queue, Site
from fenglin.quantities.resources import DIMENSIONS, Resources
from fenglin.snapshot.builder import JobRow, ShareRow, build
from fenglin.snapshot.cards import FULL_MILLI
from fenglin.snapshot.snapshot import Snapshot

_CARDS = DIMENSIONS.index("accelerator_milli")


class Fork(NamedTuple):
    """A forked snapshot.

    Attributes:
        snapshot: With the changes.
        interrupted_slots: Slots at work on nodes that it lacks; their work would be lost.
    """

    snapshot: Snapshot
    interrupted_slots: int


def fork(
    snapshot: Snapshot,
    *,
    sites: Sequence[Site] | None = None,
    queues: Sequence[Queue] | None = None,
    accounts_micro: Mapping[str, int] | None = None,
) -> Fork:
    """Return the moment with these sites, queues and balances instead; None keeps what is.

    Work on nodes that the fork lacks is gone: it holds neither node nor quota, and is counted.
    Promises on them are gone too.
    """
    kept = snapshot.sites if sites is None else tuple(sites)
    names = {(site.name, node.name) for site in kept for node in site.nodes}
    shares = share_rows(snapshot)
    staying = [share for share in shares if (share.site, share.node) in names]
    available = snapshot.account_available_micro.tolist()
    made = build(
        index=snapshot.index,
        now_ms=snapshot.now_ms,
        sites=kept,
        queues=snapshot.queues if queues is None else queues,
        accounts={**dict(zip(snapshot.accounts, available, strict=True)), **(accounts_micro or {})},
        jobs=job_rows(snapshot),
        shares=staying,
        spent_ms={
            queue.name: spent
            for queue, spent in zip(snapshot.queues, snapshot.queue_spent_ms.tolist(), strict=True)
        },
        reservations=reservations(snapshot),
    )
    lost = sum(share.slots for share in shares) - sum(share.slots for share in staying)
    return Fork(_with_licences(made, snapshot), lost)


def job_rows(snapshot: Snapshot) -> list[JobRow]:
    """Return the jobs that wait, as the rows they were built from."""
    wide = ("number", "pending", "priority", "submitted_ms", "not_before_ms", "deadline_ms",
            "blocked", "concurrency", "tasks", "estimate_ms", "learned_ms", "timeout_ms",
            "predicted_ms")  # fmt: skip
    columns = {name: getattr(snapshot, f"job_{name}").tolist() for name in wide}
    rows: list[JobRow] = []
    for at, (shape, queue, account) in enumerate(
        zip(
            snapshot.job_shape.tolist(),
            snapshot.job_queue.tolist(),
            snapshot.job_account.tolist(),
            strict=True,
        )
    ):
        rows.append(
            JobRow(
                shape=snapshot.shapes[shape],
                queue=snapshot.queues[queue].name,
                account=snapshot.accounts[account],
                **{name: column[at] for name, column in columns.items()},
            )
        )
    return rows


def share_rows(snapshot: Snapshot) -> list[ShareRow]:
    """Return the live shares, as the rows they were built from, but for their licences."""
    rows: list[ShareRow] = []
    for at, node in enumerate(snapshot.share_node.tolist()):
        flavor = int(snapshot.node_flavor[node])
        rows.append(
            ShareRow(
                job=int(snapshot.share_job[at]),
                site=snapshot.sites[int(snapshot.flavor_site[flavor])].name,
                node=snapshot.node_names[node],
                slots=int(snapshot.share_slots[at]),
                end_ms=int(snapshot.share_end_ms[at]),
                resources=Resources(*snapshot.share_need[at].tolist()),
                queue=snapshot.queues[int(snapshot.share_queue[at])].name,
                nodes=int(snapshot.share_nodes[at]),
                allocation=int(snapshot.share_allocation[at]),
                priority=int(snapshot.share_priority[at]),
                started_ms=int(snapshot.share_started_ms[at]),
                preemptible=bool(snapshot.share_preemptible[at]),
                checkpoint_ms=int(snapshot.share_checkpoint_ms[at]),
                stopping=bool(snapshot.share_stopping[at]),
                cards=_cards(snapshot, at),
            )
        )
    return rows


def reservations(snapshot: Snapshot) -> list[Reservation]:
    """Return the previous plan's reservations, as they were given."""
    found: list[Reservation] = []
    starts = np.flatnonzero(np.diff(snapshot.held_job, prepend=-1)).tolist()
    for first, stop in pairwise([*starts, len(snapshot.held_job)]):
        nodes = snapshot.held_node[first:stop].tolist()
        flavor = int(snapshot.node_flavor[nodes[0]])
        site = snapshot.sites[int(snapshot.flavor_site[flavor])]
        found.append(
            Reservation(
                job=int(snapshot.held_job[first]),
                site=site.name,
                flavor=site.flavors[int(snapshot.flavor_slot[flavor])].name,
                shares=tuple(Share(snapshot.node_names[node], 1) for node in nodes),
                start_ms=int(snapshot.held_start_ms[first]),
                finish_ms=int(snapshot.held_end_ms[first]),
            )
        )
    return found


def _cards(snapshot: Snapshot, share: int) -> tuple[int, ...]:
    """Return the cards of a share, one number for each task or whole card on it."""
    each = min(int(snapshot.share_need[share, _CARDS]), FULL_MILLI)
    held = snapshot.share_cards[share].tolist()
    return tuple(card for card, milli in enumerate(held) if milli for _ in range(milli // each))


def _with_licences(made: Snapshot, origin: Snapshot) -> Snapshot:
    """Return the fork with as many licences in use as there were."""
    used = {
        (origin.sites[site].name, name): dict(origin.sites[site].licences)[name] - free
        for (site, name), free in zip(
            origin.licence_names, origin.licence_free.tolist(), strict=True
        )
    }
    free = np.array(
        [
            have - used.get((made.sites[site].name, name), 0)
            for (site, name), have in zip(
                made.licence_names, made.licence_free.tolist(), strict=True
            )
        ],
        np.int64,
    )
    free.flags.writeable = False
    return replace(made, licence_free=free)
