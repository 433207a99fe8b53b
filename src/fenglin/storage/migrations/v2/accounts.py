"""What accounts need: how far each may fall below zero, and a quick way to the last close."""

from __future__ import annotations

STATEMENTS: tuple[str, ...] = (
    # Written anew from the configuration at each start of the hub; the ledger knows no limits.
    """\
CREATE TABLE account_limit (
    account TEXT NOT NULL,
    commodity TEXT NOT NULL,
    credit_micro INTEGER NOT NULL CHECK (credit_micro >= 0),
    PRIMARY KEY (account, commodity)
) STRICT, WITHOUT ROWID""",
    "CREATE INDEX ledger_close ON ledger_entry (seq) WHERE kind = 'close'",
)
