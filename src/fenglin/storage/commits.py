"""The engine's change, written in one transaction that believes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.errors import ConflictError, StaleEpochError
from fenglin.ports.crashpoint import crash_point
from fenglin.storage import audit, books, tiers, voucher_rows
from fenglin.storage.rows import UPDATE_ALLOCATION, allocation_update
from fenglin.storage.spent import write_spent
from fenglin.storage.starts import commit_starts, use_nodes, write_events, write_jobs

if TYPE_CHECKING:
    import sqlite3

    from fenglin.model.reason import Reason
    from fenglin.ports.store import Change, StartUnit


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
    use_nodes(conn, change.released, -1)
    tiers.settle(conn, change)
    write_jobs(conn, change.jobs)
    _write_allocations(conn, change)
    _write_tries(conn, change)
    _write_usage(conn, change)
    if change.spent_ms is not None:
        write_spent(conn, change.spent_ms, change.now_ms)
    if change.postings:
        entered = books.append(conn, change.postings, change.now_ms)
        voucher_rows.pay_postings(conn, entered, change.now_ms)
        crash_point("c11")
    refused = commit_starts(conn, change.starts, change)
    write_events(conn, change.events, change.now_ms, change.epoch)
    for act in change.acts:
        audit.append(conn, act)
    return refused


def _write_allocations(conn: sqlite3.Connection, change: Change) -> None:
    records = change.allocations
    if not records:
        return
    rows = [allocation_update(record, change.epoch) for record in records]
    if conn.executemany(UPDATE_ALLOCATION, rows).rowcount != len(records):
        one = len(records) == 1
        which = f"allocation a{records[0].number}" if one else f"one of {len(records)} allocations"
        raise ConflictError(f"{which} has ended already")


def _write_tries(conn: sqlite3.Connection, change: Change) -> None:
    if not change.tries:
        return
    conn.executemany(
        "INSERT INTO task_try (job, task, tries, reason, exit_code, time_ms)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (job, task) DO UPDATE SET"
        " tries = excluded.tries, reason = excluded.reason, exit_code = excluded.exit_code,"
        " time_ms = excluded.time_ms",
        [(*row, change.now_ms) for row in change.tries],
    )


def _write_usage(conn: sqlite3.Connection, change: Change) -> None:
    if not change.usage:
        return
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
