"""Settlements that were posted, as they were then: document and deal, beside their entries."""

from __future__ import annotations

STATEMENTS: tuple[str, ...] = (
    """\
CREATE TABLE settlement (
    provider TEXT NOT NULL,
    period TEXT NOT NULL,
    commodity TEXT NOT NULL,
    entry INTEGER NOT NULL REFERENCES ledger_entry (seq),
    body BLOB NOT NULL,
    posted_by TEXT NOT NULL,
    PRIMARY KEY (provider, period, commodity)
) STRICT, WITHOUT ROWID""",
    *(
        f"""\
CREATE TRIGGER settlement_no_{action.lower()} BEFORE {action} ON settlement BEGIN
    SELECT RAISE(ABORT, 'settlements: what was posted is never changed or removed');
END"""
        for action in ("UPDATE", "DELETE")
    ),
)
