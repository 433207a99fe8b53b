"""Tables of the embedded store, and how a database file is opened.

The statements keep to what SQLite and PostgreSQL share, except STRICT and the triggers.
Columns named `*_set` hold task sets in text form, so a row stays small however large the array.
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

from fenglin.errors import DamageError, UnavailableError
from fenglin.ports.crashpoint import crash_point
from fenglin.storage.failures import translate
from fenglin.storage.ledger_schema import LEDGER_DDL
from fenglin.storage.migrations import FIRST_VERSION, SCHEMA_VERSION, STEPS

if TYPE_CHECKING:
    from pathlib import Path

DDL: tuple[str, ...] = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
    """CREATE TABLE token (
        digest BLOB PRIMARY KEY, name TEXT NOT NULL, scopes TEXT NOT NULL,
        account TEXT NOT NULL, created_ms INTEGER NOT NULL,
        revoked_ms INTEGER NOT NULL DEFAULT 0) STRICT""",
    """CREATE TABLE job (
        number INTEGER PRIMARY KEY, version INTEGER NOT NULL DEFAULT 0,
        name TEXT NOT NULL, queue TEXT NOT NULL, account TEXT NOT NULL,
        priority INTEGER NOT NULL, tasks INTEGER NOT NULL, actor TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'pending', reason TEXT NOT NULL DEFAULT '',
        detail TEXT NOT NULL DEFAULT '',
        submitted_ms INTEGER NOT NULL, started_ms INTEGER NOT NULL DEFAULT 0,
        ended_ms INTEGER NOT NULL DEFAULT 0,
        pending_set TEXT NOT NULL, succeeded_set TEXT NOT NULL DEFAULT '',
        failed_set TEXT NOT NULL DEFAULT '', cancelled_set TEXT NOT NULL DEFAULT '',
        learned_tasks INTEGER NOT NULL DEFAULT 0, learned_ms INTEGER NOT NULL DEFAULT 0,
        retry_at_ms INTEGER NOT NULL DEFAULT 0, cancelling INTEGER NOT NULL DEFAULT 0,
        cost_micro INTEGER NOT NULL DEFAULT 0, spec BLOB NOT NULL) STRICT""",
    "CREATE INDEX job_live ON job (number) WHERE ended_ms = 0",
    """CREATE TABLE job_parent (
        child INTEGER NOT NULL, parent INTEGER NOT NULL,
        PRIMARY KEY (child, parent)) STRICT, WITHOUT ROWID""",
    """CREATE TABLE label (
        name TEXT NOT NULL, value TEXT NOT NULL, job INTEGER NOT NULL,
        PRIMARY KEY (name, value, job)) STRICT, WITHOUT ROWID""",
    """CREATE TABLE task_try (
        job INTEGER NOT NULL, task INTEGER NOT NULL, tries INTEGER NOT NULL,
        reason TEXT NOT NULL, exit_code INTEGER NOT NULL, time_ms INTEGER NOT NULL,
        PRIMARY KEY (job, task)) STRICT, WITHOUT ROWID""",
    """CREATE TABLE idempotency (
        key TEXT NOT NULL, actor TEXT NOT NULL, body_hash BLOB NOT NULL,
        first_job INTEGER NOT NULL, jobs INTEGER NOT NULL, created_ms INTEGER NOT NULL,
        PRIMARY KEY (actor, key)) STRICT, WITHOUT ROWID""",
    """CREATE TABLE site_wish (
        site TEXT PRIMARY KEY, drained INTEGER NOT NULL, reason TEXT NOT NULL,
        actor TEXT NOT NULL, time_ms INTEGER NOT NULL) STRICT""",
    # The capacity check that no wrong plan can pass (A1).
    """CREATE TABLE node (
        site TEXT NOT NULL, name TEXT NOT NULL, declared INTEGER NOT NULL DEFAULT 1,
        cpu_milli INTEGER NOT NULL, memory_bytes INTEGER NOT NULL,
        disk_bytes INTEGER NOT NULL, accelerator_milli INTEGER NOT NULL,
        cpu_used_milli INTEGER NOT NULL DEFAULT 0, memory_used_bytes INTEGER NOT NULL DEFAULT 0,
        disk_used_bytes INTEGER NOT NULL DEFAULT 0,
        accelerator_used_milli INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (site, name),
        CHECK (cpu_used_milli >= 0 AND memory_used_bytes >= 0
               AND disk_used_bytes >= 0 AND accelerator_used_milli >= 0)
        ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE allocation (
        number INTEGER PRIMARY KEY, job INTEGER NOT NULL, site TEXT NOT NULL,
        flavor TEXT NOT NULL, shares BLOB NOT NULL, resources BLOB NOT NULL,
        nodes INTEGER NOT NULL, tasks_set TEXT NOT NULL, price BLOB NOT NULL,
        speed_milli INTEGER NOT NULL, created_ms INTEGER NOT NULL,
        finish_ms INTEGER NOT NULL, held_micro INTEGER NOT NULL,
        attempt INTEGER NOT NULL, state TEXT NOT NULL, driver_cursor TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        succeeded_set TEXT NOT NULL, failed_set TEXT NOT NULL,
        started_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL,
        tasks_ended INTEGER NOT NULL, wall_ms INTEGER NOT NULL, billed_ms INTEGER NOT NULL,
        cpu_ms INTEGER NOT NULL, peak_memory_bytes INTEGER NOT NULL,
        cost_micro INTEGER NOT NULL, reason TEXT NOT NULL) STRICT""",
    "CREATE INDEX allocation_job ON allocation (job)",
    "CREATE INDEX allocation_live ON allocation (number) WHERE state <> 'ended'",
    # One row per attempt, for ever: the key that makes usage count once (M1).
    """CREATE TABLE usage (
        attempt TEXT PRIMARY KEY, allocation INTEGER NOT NULL, job INTEGER NOT NULL,
        site TEXT NOT NULL, flavor TEXT NOT NULL, tasks INTEGER NOT NULL,
        wall_ms INTEGER NOT NULL, billed_ms INTEGER NOT NULL, cpu_ms INTEGER NOT NULL,
        peak_memory_bytes INTEGER NOT NULL, started_ms INTEGER NOT NULL,
        ended_ms INTEGER NOT NULL, recorded_ms INTEGER NOT NULL) STRICT""",
    """CREATE TABLE event (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, time_ms INTEGER NOT NULL, job INTEGER NOT NULL,
        kind TEXT NOT NULL, text TEXT NOT NULL, actor TEXT NOT NULL, epoch INTEGER NOT NULL)
        STRICT""",
    "CREATE INDEX event_job ON event (job, seq)",
    """CREATE TABLE receipt (
        job INTEGER NOT NULL, cycle INTEGER NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (job, cycle)) STRICT, WITHOUT ROWID""",
    *LEDGER_DDL,
)

CAPACITY_TRIGGER = """CREATE TRIGGER node_capacity BEFORE UPDATE OF
    cpu_used_milli, memory_used_bytes, disk_used_bytes, accelerator_used_milli ON node
    WHEN (NEW.cpu_used_milli > OLD.cpu_used_milli AND NEW.cpu_used_milli > NEW.cpu_milli)
      OR (NEW.memory_used_bytes > OLD.memory_used_bytes
          AND NEW.memory_used_bytes > NEW.memory_bytes)
      OR (NEW.disk_used_bytes > OLD.disk_used_bytes AND NEW.disk_used_bytes > NEW.disk_bytes)
      OR (NEW.accelerator_used_milli > OLD.accelerator_used_milli
          AND NEW.accelerator_used_milli > NEW.accelerator_milli)
    BEGIN SELECT RAISE(ABORT, 'node over capacity'); END"""

# A usage may never pass its node's capacity by growing. It may stand above it for a while when
# an operator shrinks a node under running tasks, which is why this is no plain CHECK.
NEW_NODE_TRIGGER = """CREATE TRIGGER node_new BEFORE INSERT ON node
    WHEN NEW.cpu_used_milli > NEW.cpu_milli OR NEW.memory_used_bytes > NEW.memory_bytes
      OR NEW.disk_used_bytes > NEW.disk_bytes
      OR NEW.accelerator_used_milli > NEW.accelerator_milli
    BEGIN SELECT RAISE(ABORT, 'node over capacity'); END"""
# Version 1. What came later stands in `migrations`.
SCHEMA: tuple[str, ...] = (*DDL, CAPACITY_TRIGGER, NEW_NODE_TRIGGER)
# Tables by which a file of ours is known from another program's.
_LANDMARKS = frozenset({"meta", "job", "allocation", "ledger_entry"})


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open the database file with the settings that durability rests on, and assert them.

    Raises:
        UnavailableError: it cannot be opened.
        DamageError: it is no database, or the settings did not take.
    """
    try:
        if not read_only:
            # Job files may hold secrets in `env`: a new file is its owner's alone.
            path.touch(mode=0o600)
        conn = sqlite3.connect(
            path, timeout=10, isolation_level=None, check_same_thread=False, cached_statements=256
        )
    except (OSError, sqlite3.Error) as error:
        raise UnavailableError(
            f"cannot open the database: {getattr(error, 'strerror', None) or error}",
            where=str(path),
            hint="check that the folder exists, is writable, and the disk is not full",
        ) from error
    try:
        _settle(conn, path, read_only=read_only)
    except sqlite3.Error as error:
        conn.close()
        raise translate(error, str(path)) from error
    except DamageError:
        conn.close()
        raise
    return conn


def _settle(conn: sqlite3.Connection, path: Path, *, read_only: bool) -> None:
    """Make and assert the connection's settings."""
    conn.execute("PRAGMA journal_mode = WAL")
    conn.execute("PRAGMA synchronous = FULL")
    conn.execute("PRAGMA foreign_keys = ON")
    conn.execute("PRAGMA temp_store = MEMORY")
    # Entries go to the ends of as many index pages as there are accounts.
    conn.execute("PRAGMA cache_size = -65536")
    conn.execute(f"PRAGMA query_only = {'ON' if read_only else 'OFF'}")
    mode = conn.execute("PRAGMA journal_mode").fetchone()[0]
    full = conn.execute("PRAGMA synchronous").fetchone()[0]
    if mode != "wal" or full != 2:
        raise DamageError(f"journal_mode={mode}, synchronous={full}", where=str(path))


def ensure_schema(conn: sqlite3.Connection, path: Path) -> None:
    """Make the tables of a new file, or take an old file's forward to this version.

    What an old file held is first copied beside it, to `<name>.v<version>`.

    Raises:
        DamageError: the file was written by a newer version, or is no database of ours.
        UnavailableError: the disk is full.
    """
    try:
        tables = {name for (name,) in conn.execute("SELECT name FROM sqlite_master")}
        version = conn.execute("PRAGMA user_version").fetchone()[0]
        if not tables and not version:
            _migrate(conn, 0)
            return
        if tables >= _LANDMARKS and FIRST_VERSION <= version <= SCHEMA_VERSION:
            if version < SCHEMA_VERSION:
                _keep_copy(conn, path.with_name(f"{path.name}.v{version}"))
                _migrate(conn, version)
            return
    except sqlite3.Error as error:
        raise translate(error, str(path)) from error
    if not tables >= _LANDMARKS:
        raise DamageError(
            "this is a database, but not one of Fenglin's",
            where=str(path),
            hint="move it away, or choose another data folder",
        )
    raise DamageError(
        f"schema version {version}, this program knows {FIRST_VERSION} to {SCHEMA_VERSION}",
        where=str(path),
        hint="use the program version that wrote it, or a newer one",
    )


def triggers() -> dict[str, str]:
    """Return the statement that made each trigger of a database of the newest version."""
    found: dict[str, str] = {}
    for statement in (*SCHEMA, *(one for step in STEPS for one in step)):
        words = statement.split()
        if words[:2] == ["CREATE", "TRIGGER"]:
            found[words[2]] = statement
        elif words[:2] == ["DROP", "TRIGGER"]:
            found.pop(words[-1], None)
    return found


def _migrate(conn: sqlite3.Connection, version: int) -> None:
    """Take a file from `version` (0: an empty one) to the newest: all of it, or none."""
    conn.execute("BEGIN IMMEDIATE")
    try:
        steps = STEPS[max(0, version - FIRST_VERSION) :]
        for step in (SCHEMA, *steps) if version < FIRST_VERSION else steps:
            for statement in step:
                conn.execute(statement)
                crash_point("c14")
        conn.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    except sqlite3.Error:
        conn.execute("ROLLBACK")
        raise
    conn.execute("COMMIT")


def _keep_copy(conn: sqlite3.Connection, copy: Path) -> None:
    """Write the whole database to `copy`, which appears complete or not at all."""
    part = copy.with_name(copy.name + ".part")
    part.unlink(missing_ok=True)
    part.touch(mode=0o600)
    with contextlib.closing(sqlite3.connect(part)) as target:
        conn.backup(target)
    part.replace(copy)
