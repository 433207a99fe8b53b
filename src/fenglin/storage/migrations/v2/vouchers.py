"""Voucher pools: their rules, every decision, and every event; nothing is ever changed."""

from __future__ import annotations

STATEMENTS: tuple[str, ...] = (
    """\
CREATE TABLE voucher_pool (
    name TEXT PRIMARY KEY,
    scheme BLOB NOT NULL,
    opened_by TEXT NOT NULL,
    time_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID""",
    # Refusals too: an auditor asks for those first.
    """\
CREATE TABLE voucher_decision (
    number INTEGER PRIMARY KEY,
    pool TEXT NOT NULL REFERENCES voucher_pool (name),
    application TEXT NOT NULL,
    body BLOB NOT NULL,
    decided_by TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    UNIQUE (pool, application)
) STRICT""",
    """\
CREATE TABLE voucher_event (
    number INTEGER PRIMARY KEY,
    pool TEXT NOT NULL REFERENCES voucher_pool (name),
    body BLOB NOT NULL,
    entered_by TEXT NOT NULL
) STRICT""",
    "CREATE INDEX voucher_event_of_pool ON voucher_event (pool, number)",
    *(
        f"""\
CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} BEGIN
    SELECT RAISE(ABORT, 'vouchers: what was decided is never changed or removed');
END"""
        for table in ("voucher_pool", "voucher_decision", "voucher_event")
        for action in ("UPDATE", "DELETE")
    ),
)
