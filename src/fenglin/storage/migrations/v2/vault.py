"""Secrets of accounts, sealed: the database holds no value and no key."""

from __future__ import annotations

STATEMENTS: tuple[str, ...] = (
    """\
CREATE TABLE secret (
    account TEXT NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL CHECK (version > 0),
    key TEXT NOT NULL,
    nonce BLOB NOT NULL,
    sealed BLOB NOT NULL,
    changed_ms INTEGER NOT NULL,
    changed_by TEXT NOT NULL,
    PRIMARY KEY (account, name)
) STRICT""",
)
