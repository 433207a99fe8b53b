"""How many rows of a job's size this machine can insert durably: the limit of any submit."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import msgspec

from fenglin.intake.native import decode_json
from fenglin.storage.schema import connect, ensure_schema

INSERT = (
    "INSERT INTO job (name, queue, account, priority, tasks, actor, submitted_ms, pending_set,"
    " spec) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def rows_per_s(body: bytes, batch: int, seconds: float) -> float:
    """Return rows/s with that many rows per commit, each commit on disk.

    The database has the hub's own tables and settings (WAL, `synchronous=FULL`), the rows are
    those that the hub would write for this document.

    Args:
        body: A job document.
        batch: Rows per commit.
        seconds: How long to insert.
    """
    spec = decode_json(body, 0)
    row = (
        spec.name, spec.queue, spec.account, spec.priority, spec.tasks, "admin", 0, "0",
        msgspec.json.encode(spec),
    )  # fmt: skip
    rows = [row] * batch
    with tempfile.TemporaryDirectory(prefix="fenglin-bench-") as folder:
        path = Path(folder) / "limit.db"
        conn = connect(path)
        ensure_schema(conn, path)
        done = 0
        begun = time.perf_counter()
        while (spent := time.perf_counter() - begun) < seconds:
            conn.execute("BEGIN IMMEDIATE")
            conn.executemany(INSERT, rows)
            conn.execute("COMMIT")
            done += batch
        conn.close()
    return done / spent
