"""The audit trail: records that are added, each with the hash of the one before."""

from __future__ import annotations

STATEMENTS: tuple[str, ...] = (
    """\
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,
    time_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    token INTEGER NOT NULL,
    account TEXT NOT NULL,
    what TEXT NOT NULL,
    subject TEXT NOT NULL,
    hash BLOB NOT NULL
) STRICT""",
    "CREATE INDEX audit_by_actor ON audit (actor, seq)",
    # Where the ledger says what the trail was.
    "CREATE INDEX ledger_audit ON ledger_entry (seq) WHERE kind = 'audit'",
    *(
        f"""\
CREATE TRIGGER audit_no_{action.lower()} BEFORE {action} ON audit BEGIN
    SELECT RAISE(ABORT, 'audit: what was done is never changed or removed');
END"""
        for action in ("UPDATE", "DELETE")
    ),
)
