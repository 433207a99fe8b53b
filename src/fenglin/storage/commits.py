"""The engine's change, written in one transaction that believes nothing."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from fenglin.errors import ConflictError, StaleEpochError
from fenglin.model.reason import Reason
from fenglin.ports.crashpoint import crash_point
from fenglin.ports.store import Event
from fenglin.storage import audit, books, budgets, tiers, voucher_rows
from fenglin.storage.rows import (
    INSERT_ALLOCATION,
    JSON,
    UPDATE_ALLOCATION,
    UPDATE_JOB,
    allocation_update,
    allocation_values,
    job_values,
)
from fenglin.storage.spent import write_spent

if TYPE_CHECKING:
    from fenglin.ports.store import AllocationRecord, Change, JobRecord, StartUnit
    from fenglin.quantities.resources import Resources

MOST_RECEIPTS = 100
_USE = (
    "UPDATE node SET cpu_used_milli = cpu_used_milli + ?,"
    " memory_used_bytes = memory_used_bytes + ?, disk_used_bytes = disk_used_bytes + ?,"
    " accelerator_used_milli = accelerator_used_milli + ? WHERE site = ? AND name = ?"
)


def check_epoch(conn: sqlite3.Connection, epoch: int) -> None:
    """Refuse a write of a leader that is no longer one (F1).

    Raises:
        StaleEpochError: the stored epoch differs.
    """
    # The lock holds a successor off until this transaction is over.
    row = conn.execute("SELECT value FROM meta WHERE name = 'epoch' /*pg FOR SHARE */").fetchone()
    if row is None or int(row[0]) != epoch:
        raise StaleEpochError(
            f"epoch {epoch} is over, {row and row[0]} leads", hint="this hub must stop"
        )


def write(conn: sqlite3.Connection, change: Change) -> list[tuple[StartUnit, Reason]]:
    """Write the change; return the starts that were refused, with reasons.

    Raises:
        StaleEpochError: another leader took over.
        ConflictError: a row was not at the expected version.
    """
    check_epoch(conn, change.epoch)
    # Give back before taking: a start may use what an end in the same change frees.
    for site, node, amounts in change.released:
        _use(conn, site, node, amounts, -1)
    tiers.settle(conn, change)
    for job in change.jobs:
        _write_job(conn, job)
    for record in change.allocations:
        _write_allocation(conn, record, change.epoch)
    _write_tries(conn, change)
    _write_usage(conn, change)
    if change.spent_ms is not None:
        write_spent(conn, change.spent_ms, change.now_ms)
    if change.postings:
        entered = books.append(conn, change.postings, change.now_ms)
        voucher_rows.pay_postings(conn, entered, change.now_ms)
        crash_point("c11")
    refused = [
        (unit, reason)
        for unit in change.starts
        if (reason := _start(conn, unit, change)) is not None
    ]
    write_events(conn, change.events, change.now_ms, change.epoch)
    for act in change.acts:
        audit.append(conn, act)
    return refused


def write_events(conn: sqlite3.Connection, events: list[Event], now_ms: int, epoch: int) -> None:
    """Append lines to the stories."""
    conn.executemany(
        "INSERT INTO event (time_ms, job, kind, text, actor, epoch) VALUES (?, ?, ?, ?, ?, ?)",
        [(now_ms, e.job, e.kind, e.text, e.actor, epoch) for e in events],
    )


def _start(conn: sqlite3.Connection, unit: StartUnit, change: Change) -> Reason | None:
    """Commit one start, or undo it and say why (verify, then apply)."""
    conn.execute("SAVEPOINT start")
    reason = _try_start(conn, unit, change)
    if reason is not None:
        conn.execute("ROLLBACK TO start")
    conn.execute("RELEASE start")
    return reason


def _try_start(conn: sqlite3.Connection, unit: StartUnit, change: Change) -> Reason | None:
    record = unit.allocation
    wish = conn.execute("SELECT drained FROM site_wish WHERE site = ?", (record.site,)).fetchone()
    if wish is not None and wish[0]:
        return Reason.SITE_DRAINED
    try:
        for share in record.shares:
            _use(conn, record.site, share.node, record.resources.times(share.slots), 1)
    except sqlite3.IntegrityError:
        return Reason.CHANGED_MEANWHILE
    try:
        _write_job(conn, unit.job)
    except ConflictError:
        return Reason.CHANGED_MEANWHILE
    if unit.hold is not None:
        account = unit.job.spec.account
        # What costs nothing starts however the account stands.
        if 0 < record.held_micro > books.spendable(conn, account, change.now_ms):
            return Reason.BUDGET_EXHAUSTED
        books.append(conn, [unit.hold], change.now_ms)
        told = budgets.warnings(conn, account, record.held_micro, change.now_ms)
        events = [Event(record.job, "soft_budget", text) for text in told]
        write_events(conn, events, change.now_ms, change.epoch)
    conn.execute(INSERT_ALLOCATION, allocation_values(record, change.epoch))
    if unit.event is not None:
        write_events(conn, [unit.event], change.now_ms, change.epoch)
    if unit.receipt is not None:
        conn.execute(
            "INSERT INTO receipt (job, cycle, body) VALUES (?, ?, ?)"
            " ON CONFLICT (job, cycle) DO UPDATE SET body = excluded.body",
            (record.job, unit.receipt.index, JSON.encode(unit.receipt)),
        )
        conn.execute(
            "DELETE FROM receipt WHERE job = ?1 AND cycle <= (SELECT cycle FROM receipt"
            " WHERE job = ?1 ORDER BY cycle DESC LIMIT 1 OFFSET ?2)",
            (record.job, MOST_RECEIPTS),
        )
    return None


def _use(conn: sqlite3.Connection, site: str, node: str, amounts: Resources, sign: int) -> None:
    done = conn.execute(_USE, (*(sign * amount for amount in amounts), site, node))
    if done.rowcount != 1:
        raise sqlite3.IntegrityError(f"node {site}/{node} is unknown")


def _write_job(conn: sqlite3.Connection, job: JobRecord) -> None:
    if conn.execute(UPDATE_JOB, job_values(job)).rowcount != 1:
        raise ConflictError(f"job j{job.number} changed meanwhile", hint="reload and decide again")


def _write_allocation(conn: sqlite3.Connection, record: AllocationRecord, epoch: int) -> None:
    if conn.execute(UPDATE_ALLOCATION, allocation_update(record, epoch)).rowcount != 1:
        raise ConflictError(f"allocation a{record.number} has ended already")


def _write_tries(conn: sqlite3.Connection, change: Change) -> None:
    conn.executemany(
        "INSERT INTO task_try (job, task, tries, reason, exit_code, time_ms)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (job, task) DO UPDATE SET"
        " tries = excluded.tries, reason = excluded.reason, exit_code = excluded.exit_code,"
        " time_ms = excluded.time_ms",
        [(*row, change.now_ms) for row in change.tries],
    )


def _write_usage(conn: sqlite3.Connection, change: Change) -> None:
    conn.executemany(
        "INSERT INTO usage (attempt, allocation, job, site, flavor, tasks, wall_ms, billed_ms,"
        " cpu_ms, peak_memory_bytes, started_ms, ended_ms, recorded_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                key,
                a.number,
                a.job,
                a.site,
                a.flavor,
                a.usage.tasks,
                a.usage.wall_ms,
                a.usage.billed_ms,
                a.usage.cpu_ms,
                a.usage.peak_memory_bytes,
                a.started_ms,
                a.ended_ms,
                change.now_ms,
            )
            for key, a in change.usage
        ],
    )
