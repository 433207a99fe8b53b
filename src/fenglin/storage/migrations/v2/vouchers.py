"""Voucher pools: rules, applications, decisions and events are never changed.

`voucher` is what the events come to; it is kept beside them so that a charge finds its vouchers
at once, and the audit compares it with the events.
"""

from __future__ import annotations

_KEPT = (
    "voucher_pool",
    "voucher_application",
    "voucher_decision",
    "voucher_event",
    "voucher_request",
)

STATEMENTS: tuple[str, ...] = (
    """\
CREATE TABLE voucher_pool (
    name TEXT PRIMARY KEY,
    scheme BLOB NOT NULL,
    opened_by TEXT NOT NULL,
    time_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID""",
    # Numbers are the order of filing.
    """\
CREATE TABLE voucher_application (
    number INTEGER PRIMARY KEY,
    pool TEXT NOT NULL REFERENCES voucher_pool (name),
    application TEXT NOT NULL,
    account TEXT NOT NULL,
    body BLOB NOT NULL,
    filed_by TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    UNIQUE (pool, application)
) STRICT""",
    # Refusals too: an auditor asks for those first.
    """\
CREATE TABLE voucher_decision (
    number INTEGER PRIMARY KEY,
    pool TEXT NOT NULL,
    application TEXT NOT NULL,
    body BLOB NOT NULL,
    decided_by TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    UNIQUE (pool, application),
    FOREIGN KEY (pool, application) REFERENCES voucher_application (pool, application)
) STRICT""",
    # `bill` is the key of the ledger's entry that a use pays; empty for other acts.
    """\
CREATE TABLE voucher_event (
    number INTEGER PRIMARY KEY,
    pool TEXT NOT NULL REFERENCES voucher_pool (name),
    voucher TEXT NOT NULL,
    act TEXT NOT NULL,
    amount_micro INTEGER NOT NULL CHECK (amount_micro > 0),
    bill TEXT NOT NULL,
    body BLOB NOT NULL,
    entered_by TEXT NOT NULL
) STRICT""",
    "CREATE INDEX voucher_event_of ON voucher_event (pool, voucher, number)",
    "CREATE INDEX voucher_event_paid ON voucher_event (bill) WHERE bill <> ''",
    """\
CREATE TABLE voucher (
    number INTEGER PRIMARY KEY,
    pool TEXT NOT NULL REFERENCES voucher_pool (name),
    voucher TEXT NOT NULL,
    account TEXT NOT NULL,
    commodity TEXT NOT NULL,
    firm TEXT NOT NULL,
    seller TEXT NOT NULL,
    contract TEXT NOT NULL,
    granted_micro INTEGER NOT NULL,
    valid_to_ms INTEGER NOT NULL,
    left_micro INTEGER NOT NULL CHECK (left_micro >= 0),
    used_micro INTEGER NOT NULL CHECK (used_micro >= 0),
    clawed_micro INTEGER NOT NULL CHECK (clawed_micro BETWEEN 0 AND used_micro),
    revoked_micro INTEGER NOT NULL CHECK (revoked_micro >= 0),
    approved INTEGER NOT NULL,
    UNIQUE (pool, voucher),
    CHECK (left_micro + used_micro + revoked_micro <= granted_micro)
) STRICT""",
    "CREATE INDEX voucher_of_account ON voucher (account, valid_to_ms) WHERE left_micro > 0",
    "CREATE INDEX voucher_ending ON voucher (valid_to_ms) WHERE left_micro > 0",
    # What was asked for under a key, and what it came to: asking again does nothing again.
    """\
CREATE TABLE voucher_request (
    key TEXT PRIMARY KEY,
    body BLOB NOT NULL,
    answer BLOB NOT NULL,
    asked_by TEXT NOT NULL,
    time_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID""",
    *(
        f"""\
CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} BEGIN
    SELECT RAISE(ABORT, 'vouchers: what was decided is never changed or removed');
END"""
        for table in _KEPT
        for action in ("UPDATE", "DELETE")
    ),
)
