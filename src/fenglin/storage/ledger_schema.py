"""The ledger's tables and the rules that the database itself keeps.

Column types are chosen so that PostgreSQL can follow. The triggers are SQLite's. They hold
against any writer, ours included: entries and legs are never updated or deleted; an entry is
taken only with the next number, the last hash, two balanced legs or more, and, if it resolves
a hold, only once and for exactly what was held. Legs come first, so that the entry can be
judged with them; the deferred foreign key refuses a commit that leaves legs without an entry.

`INSERT OR REPLACE` would delete a conflicting row without firing a DELETE trigger, so the
triggers look for conflicts themselves instead of trusting the unique indexes.
"""

from __future__ import annotations

_TABLES = (
    """\
CREATE TABLE ledger_entry (
    seq INTEGER PRIMARY KEY,
    version INTEGER NOT NULL,
    ledger_id TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    key TEXT NOT NULL UNIQUE,
    job INTEGER NOT NULL,
    attempt TEXT NOT NULL,
    memo TEXT NOT NULL,
    details TEXT NOT NULL,
    prev_hash BLOB NOT NULL CHECK (length(prev_hash) = 32),
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT""",
    """\
CREATE TABLE ledger_leg (
    seq INTEGER NOT NULL REFERENCES ledger_entry (seq) DEFERRABLE INITIALLY DEFERRED,
    n INTEGER NOT NULL,
    account TEXT NOT NULL,
    commodity TEXT NOT NULL,
    amount_micro INTEGER NOT NULL,
    PRIMARY KEY (seq, n)
) STRICT, WITHOUT ROWID""",
    # A cache that spares the fold at each budget check; verification compares the two.
    """\
CREATE TABLE ledger_balance (
    account TEXT NOT NULL,
    commodity TEXT NOT NULL,
    amount_micro INTEGER NOT NULL,
    PRIMARY KEY (account, commodity)
) STRICT, WITHOUT ROWID""",
)

# What a tenant has available is touched by each of its entries, so this finds them all. An index
# of every leg would be as large as the legs, and a third of the work of entering them.
_BY_TENANT = """\
CREATE INDEX ledger_leg_account ON ledger_leg (account, seq)
WHERE substr(account, -10) = ':available'"""

_INDEXES = (
    _BY_TENANT,
    """\
CREATE UNIQUE INDEX ledger_resolved_once ON ledger_entry (attempt)
WHERE kind IN ('post', 'void')""",
)

_FROZEN = tuple(
    f"""\
CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} BEGIN
    SELECT RAISE(ABORT, 'ledger: entries are never changed or removed');
END"""
    for table in ("ledger_entry", "ledger_leg")
    for action in ("UPDATE", "DELETE")
)

# What is asked of an entry's legs is asked of them in one pass; only an entry of several
# commodities is summed by each.
_CHECKS = (
    """\
CREATE TRIGGER ledger_leg_check BEFORE INSERT ON ledger_leg
WHEN EXISTS (SELECT 1 FROM ledger_entry WHERE seq >= NEW.seq) BEGIN
    SELECT RAISE(ABORT, 'ledger: the entry of this leg is complete');
END""",
    """\
CREATE TRIGGER ledger_entry_check BEFORE INSERT ON ledger_entry BEGIN
    SELECT CASE
    WHEN EXISTS (SELECT 1 FROM ledger_entry WHERE seq >= NEW.seq)
    THEN RAISE(ABORT, 'ledger: seq is taken or passed')
    WHEN (NEW.kind = 'genesis') <> (NEW.seq = 1)
    THEN RAISE(ABORT, 'ledger: a genesis comes first and once')
    WHEN NEW.seq = 1 AND NEW.prev_hash <> zeroblob(32)
    THEN RAISE(ABORT, 'ledger: a genesis follows nothing')
    WHEN NEW.seq <> 1 AND NOT EXISTS (
        SELECT 1 FROM ledger_entry
        WHERE seq = NEW.seq - 1 AND hash = NEW.prev_hash AND ledger_id = NEW.ledger_id)
    THEN RAISE(ABORT, 'ledger: it does not follow the last entry of this ledger')
    WHEN EXISTS (SELECT 1 FROM ledger_entry WHERE key = NEW.key)
    THEN RAISE(ABORT, 'ledger: this key exists')
    END;
    SELECT CASE
    WHEN NEW.seq <> 1 AND legs < 2
    THEN RAISE(ABORT, 'ledger: fewer than two legs')
    WHEN total <> 0 OR low <> high AND EXISTS (
        SELECT 1 FROM ledger_leg WHERE seq = NEW.seq
        GROUP BY commodity HAVING SUM(amount_micro) <> 0)
    THEN RAISE(ABORT, 'ledger: the legs do not sum to zero')
    END FROM (
        SELECT COUNT(*) AS legs, SUM(amount_micro) AS total,
            MIN(commodity) AS low, MAX(commodity) AS high
        FROM ledger_leg WHERE seq = NEW.seq) AS asked;
END""",
    """\
CREATE TRIGGER ledger_resolution_check BEFORE INSERT ON ledger_entry
WHEN NEW.kind IN ('post', 'void') BEGIN
    SELECT CASE
    WHEN EXISTS (
        SELECT 1 FROM ledger_entry WHERE attempt = NEW.attempt AND kind IN ('post', 'void'))
    THEN RAISE(ABORT, 'ledger: the hold is resolved')
    WHEN kept = 0
    THEN RAISE(ABORT, 'ledger: no such hold')
    WHEN freed <> kept OR kept <> (
        SELECT COUNT(*) FROM ledger_leg WHERE seq = NEW.seq AND substr(account, -5) = ':held')
    THEN RAISE(ABORT, 'ledger: not exactly what was held')
    END FROM (
        SELECT COUNT(*) AS kept, SUM(CASE WHEN EXISTS (
            SELECT 1 FROM ledger_leg AS back
            WHERE back.seq = NEW.seq AND +back.account = leg.account
            AND back.commodity = leg.commodity
            AND back.amount_micro = -leg.amount_micro) THEN 1 ELSE 0 END) AS freed
        FROM ledger_entry AS hold CROSS JOIN ledger_leg AS leg
        WHERE hold.key = 'hold:' || NEW.attempt AND leg.seq = hold.seq
        AND substr(leg.account, -5) = ':held') AS asked;
END""",
)

LEDGER_DDL: tuple[str, ...] = (*_TABLES, *_INDEXES, *_FROZEN, *_CHECKS)
"""Statements that make an empty ledger, in order."""

LEDGER_GUARDS: tuple[str, ...] = (*_INDEXES, *_FROZEN, *_CHECKS)
"""The statements among them that keep the rules; verification finds any gone or altered."""

LEDGER_CHECKS_AGAIN: tuple[str, ...] = (
    "DROP INDEX ledger_leg_account",
    _BY_TENANT,
    *(one for check in _CHECKS for one in (f"DROP TRIGGER {check.split()[2]}", check)),
)
"""Statements that put the checks and indexes of today in the place of those of an older file."""
