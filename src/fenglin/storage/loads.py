"""Taking over: a new epoch, node rows that agree with the configuration, and all live state."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import structlog

from fenglin.errors import DamageError
from fenglin.model.ids import job_id
from fenglin.ports.quarantine import Aside
from fenglin.ports.store import Loaded
from fenglin.storage import quarantine
from fenglin.storage.identity import number_tokens
from fenglin.storage.restored import numbers_above
from fenglin.storage.rows import ALLOCATION_COLUMNS, allocation_record, read_jobs
from fenglin.storage.schema import CAPACITY_TRIGGER
from fenglin.storage.spent import read_spent

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from fenglin.model.site import Site

_log = structlog.get_logger("fenglin.store")
# How many of the newest jobs are looked at for those that have ended well.
MOST_PAST = 5_000
_DECLARE = (
    "INSERT INTO node (site, name, cpu_milli, memory_bytes, disk_bytes, accelerator_milli)"
    " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (site, name) DO UPDATE SET declared = 1,"
    " cpu_milli = excluded.cpu_milli, memory_bytes = excluded.memory_bytes,"
    " disk_bytes = excluded.disk_bytes, accelerator_milli = excluded.accelerator_milli"
)


def take_over(conn: sqlite3.Connection, sites: Sequence[Site], now_ms: int = 0) -> Loaded:
    """Become the leader: raise the epoch, then read everything (F2, F3)."""
    hub = _meta(conn, "hub") or _set_meta(conn, "hub", secrets.token_hex(4))
    if not _meta(conn, "ledger"):
        _set_meta(conn, "ledger", f"{hub}-{secrets.token_hex(8)}")
    epoch = int(_meta(conn, "epoch") or 0) + 1
    _set_meta(conn, "epoch", str(epoch))
    declare_nodes(conn, sites)
    number_tokens(conn)
    unread: list[Aside] = []
    live = read_jobs(
        conn, "ended_ms = 0", (), lambda job, why: unread.append(Aside(job, "load", why, now_ms))
    )
    jobs = {job.number: job for job in live}
    allocations, ward = quarantine.take_in(conn, jobs, unread, epoch, now_ms)
    parents = read_jobs(
        conn,
        "ended_ms > 0 AND number IN (SELECT parent FROM job_parent, job AS child"
        " WHERE child.number = job_parent.child AND child.ended_ms = 0)",
        (),
        _pass_over,
    )
    past = read_jobs(
        conn,
        "state = 'succeeded' AND learned_tasks > 0"
        " AND number > (SELECT coalesce(max(number), 0) FROM job) - ?",
        (MOST_PAST,),
        _pass_over,
    )
    spent_ms, spent_at_ms = read_spent(conn)
    last_allocation = _scalar(conn, "SELECT coalesce(max(number), 0) FROM allocation")
    return Loaded(
        hub=hub,
        epoch=epoch,
        jobs=jobs,
        allocations=allocations,
        next_allocation=1 + max(last_allocation, numbers_above(conn)),
        last_allocation=last_allocation,
        cycle=_scalar(conn, "SELECT coalesce(max(cycle), 0) FROM receipt"),
        drained=dict(conn.execute("SELECT site, reason FROM site_wish WHERE drained = 1")),
        parents={job.number: job for job in parents},
        spent_ms=spent_ms,
        spent_at_ms=spent_at_ms,
        past=tuple(sorted(past, key=lambda job: (job.ended_ms, job.number))),
        ward=ward,
    )


def declare_nodes(conn: sqlite3.Connection, sites: Sequence[Site]) -> None:
    """Make the node rows agree with the sites; what is no longer declared keeps its row.

    Use is recounted from the live allocations, so that it is right whatever was there (A3).
    """
    conn.execute("UPDATE node SET declared = 0")
    conn.executemany(
        _DECLARE,
        [
            (site.name, node.name, *site.flavor(node.flavor).node)
            for site in sites
            for node in site.nodes
        ],
    )
    conn.execute(
        "UPDATE node SET cpu_used_milli = 0, memory_used_bytes = 0, disk_used_bytes = 0,"
        " accelerator_used_milli = 0"
    )
    used: dict[tuple[str, str], list[int]] = {}
    for row in conn.execute(
        f"SELECT {ALLOCATION_COLUMNS} FROM allocation WHERE state <> 'ended'"  # noqa: S608
    ):
        try:
            record = allocation_record(row)
        except DamageError:
            # Set aside below; what it holds nobody can say.
            continue
        for share in record.shares:
            totals = used.setdefault((record.site, share.node), [0, 0, 0, 0])
            for i, amount in enumerate(record.resources.times(share.slots)):
                totals[i] += amount
    # Below what is running now a node's capacity cannot be enforced, only grown back to.
    conn.execute("DROP TRIGGER IF EXISTS node_capacity")
    conn.executemany(
        "UPDATE node SET cpu_used_milli = ?, memory_used_bytes = ?, disk_used_bytes = ?,"
        " accelerator_used_milli = ? WHERE site = ? AND name = ?",
        [(*totals, site, node) for (site, node), totals in used.items()],
    )
    conn.execute(CAPACITY_TRIGGER)


def _pass_over(job: int, why: str) -> None:
    """Leave out a job that has ended: it can only be learned from, or waited for."""
    _log.error("ended_job_unreadable", job=job_id(job), why=why)


def _meta(conn: sqlite3.Connection, name: str) -> str:
    row = conn.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return row[0] if row else ""


def _set_meta(conn: sqlite3.Connection, name: str, value: str) -> str:
    conn.execute(
        "INSERT INTO meta (name, value) VALUES (?, ?)"
        " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )
    return value


def _scalar(conn: sqlite3.Connection, query: str) -> int:
    return int(conn.execute(query).fetchone()[0])
