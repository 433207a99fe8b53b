"""Starts, committed together where all of them hold, else in halves down to the one that does not.

Verify, then apply: what a plan believed is checked again by the rows themselves. A start that does
not hold any more is refused with its reason and takes no other with it.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from msgspec import structs

from fenglin.errors import ConflictError
from fenglin.model.reason import Reason
from fenglin.ports.store import Event
from fenglin.quantities.resources import DIMENSIONS
from fenglin.storage import books, budgets
from fenglin.storage.rows import (
    INSERT_ALLOCATION,
    JSON,
    UPDATE_JOB,
    allocation_values,
    job_values,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fenglin.ports.store import Change, JobRecord, StartUnit
    from fenglin.quantities.resources import Resources

Refused = list[tuple["StartUnit", "Reason"]]
MOST_RECEIPTS = 100
_USE = (
    "UPDATE node SET cpu_used_milli = cpu_used_milli + ?,"
    " memory_used_bytes = memory_used_bytes + ?, disk_used_bytes = disk_used_bytes + ?,"
    " accelerator_used_milli = accelerator_used_milli + ? WHERE site = ? AND name = ?"
)


class _RefusedError(Exception):
    """A start does not hold, or one of several does not."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


def commit_starts(conn: sqlite3.Connection, units: Sequence[StartUnit], change: Change) -> Refused:
    """Commit starts in their order; return those that were refused, with reasons.

    Args:
        conn: The writing connection, inside a transaction.
        units: Of this change, all or some.
        change: Whose epoch and time they have.
    """
    if not units:
        return []
    conn.execute("SAVEPOINT start")
    try:
        _start_all(conn, units, change)
    except _RefusedError as refusal:
        conn.execute("ROLLBACK TO start")
        conn.execute("RELEASE start")
        if len(units) == 1:
            return [(units[0], refusal.reason)]
        half = len(units) // 2
        return [
            *commit_starts(conn, units[:half], change),
            *commit_starts(conn, units[half:], change),
        ]
    conn.execute("RELEASE start")
    return []


def use_nodes(
    conn: sqlite3.Connection, uses: Iterable[tuple[str, str, Resources]], sign: int
) -> None:
    """Add to what is used of nodes, or take from it.

    Args:
        conn: The writing connection, inside a transaction.
        uses: (site, node, amounts); a node may come more than once.
        sign: 1 to take, -1 to give back.

    Raises:
        sqlite3.IntegrityError: a node would hold more than it has, or is unknown.
    """
    totals: dict[tuple[str, str], list[int]] = {}
    for site, node, amounts in uses:
        total = totals.setdefault((site, node), [0] * len(DIMENSIONS))
        for at, amount in enumerate(amounts):
            total[at] += sign * amount
    if not totals:
        return
    done = conn.executemany(_USE, [(*total, *place) for place, total in totals.items()])
    if done.rowcount != len(totals):
        raise sqlite3.IntegrityError(f"a node is unknown: one of {sorted(totals)[:5]}")


def write_jobs(conn: sqlite3.Connection, jobs: Sequence[JobRecord]) -> None:
    """Write new states of jobs; one that comes twice has risen by a version each time.

    Raises:
        ConflictError: a row was not at the version before.
    """
    if not jobs:
        return
    if conn.executemany(UPDATE_JOB, [job_values(job) for job in jobs]).rowcount != len(jobs):
        which = f"job j{jobs[0].number}" if len(jobs) == 1 else f"one of {len(jobs)} jobs"
        raise ConflictError(f"{which} changed meanwhile", hint="reload and decide again")


def write_events(
    conn: sqlite3.Connection, events: Sequence[Event], now_ms: int, epoch: int
) -> None:
    """Append lines to the stories."""
    if events:
        conn.executemany(
            "INSERT INTO event (time_ms, job, kind, text, actor, epoch) VALUES (?, ?, ?, ?, ?, ?)",
            [(now_ms, e.job, e.kind, e.text, e.actor, epoch) for e in events],
        )


def _start_all(conn: sqlite3.Connection, units: Sequence[StartUnit], change: Change) -> None:
    """Commit starts with as few statements as one takes.

    Raises:
        _RefusedError: one of them does not hold; what was written is to be undone.
    """
    sites = {unit.allocation.site for unit in units}
    for site, drained in conn.execute("SELECT site, drained FROM site_wish"):
        if drained and site in sites:
            raise _RefusedError(Reason.SITE_DRAINED)
    uses = [
        (unit.allocation.site, share.node, unit.allocation.resources.times(share.slots))
        for unit in units
        for share in unit.allocation.shares
    ]
    try:
        use_nodes(conn, uses, 1)
        write_jobs(conn, [unit.job for unit in units])
    except (sqlite3.IntegrityError, ConflictError) as error:
        raise _RefusedError(Reason.CHANGED_MEANWHILE) from error
    told = _hold_all(conn, units, change.now_ms)
    conn.executemany(
        INSERT_ALLOCATION, [allocation_values(unit.allocation, change.epoch) for unit in units]
    )
    lines = [
        event
        for unit in units
        for event in (*told.get(id(unit), ()), unit.event)
        if event is not None
    ]
    write_events(conn, lines, change.now_ms, change.epoch)
    _keep_receipts(conn, units)


def _hold_all(
    conn: sqlite3.Connection, units: Sequence[StartUnit], now_ms: int
) -> dict[int, list[Event]]:
    """Enter the holds; return what people must be told of, by the id of the unit.

    Raises:
        _RefusedError: an account cannot hold all of it.
    """
    payers: dict[tuple[str, str], list[StartUnit]] = {}
    holds = []
    for unit in units:
        if unit.hold is not None:
            payer = (unit.job.spec.account, unit.allocation.price.currency)
            payers.setdefault(payer, []).append(unit)
            holds.append(unit.hold)
    for (account, commodity), theirs in payers.items():
        # What costs nothing starts however the account stands.
        wanted_micro = sum(max(0, unit.allocation.held_micro) for unit in theirs)
        if wanted_micro and wanted_micro > books.spendable(conn, account, now_ms, commodity):
            raise _RefusedError(Reason.BUDGET_EXHAUSTED)
    if not holds:
        return {}
    books.append(conn, holds, now_ms)
    told: dict[int, list[Event]] = {}
    for (account, commodity), theirs in payers.items():
        ours = budgets.uses(conn, now_ms, account).get(account, ())
        used = [use for use in ours if use.budget.commodity == commodity]
        later_micro = sum(unit.allocation.held_micro for unit in theirs)
        for unit in theirs if used else ():
            later_micro -= unit.allocation.held_micro
            # As it stood when this one was entered, and none of those behind it.
            stood = [structs.replace(u, held_micro=u.held_micro - later_micro) for u in used]
            told[id(unit)] = [
                Event(unit.allocation.job, "soft_budget", text)
                for text in budgets.warnings(stood, account, unit.allocation.held_micro)
            ]
    return told


def _keep_receipts(conn: sqlite3.Connection, units: Sequence[StartUnit]) -> None:
    kept = [(unit.allocation.job, unit.receipt) for unit in units if unit.receipt is not None]
    if not kept:
        return
    conn.executemany(
        "INSERT INTO receipt (job, cycle, body) VALUES (?, ?, ?)"
        " ON CONFLICT (job, cycle) DO UPDATE SET body = excluded.body",
        [(job, receipt.index, JSON.encode(receipt)) for job, receipt in kept],
    )
    conn.executemany(
        "DELETE FROM receipt WHERE job = ?1 AND cycle <= (SELECT cycle FROM receipt"
        " WHERE job = ?1 ORDER BY cycle DESC LIMIT 1 OFFSET ?2)",
        [(job, MOST_RECEIPTS) for job, _ in kept],
    )
