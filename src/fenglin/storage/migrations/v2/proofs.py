"""What proofs need of the ledger: inner nodes of its Merkle tree, and the checkpoints made.

The nodes can be made again from the entries at any time. The checkpoints cannot: they are what
the hub has signed, and it must never sign one that contradicts them.
"""

from __future__ import annotations

STATEMENTS: tuple[str, ...] = (
    """\
CREATE TABLE ledger_node (
    level INTEGER NOT NULL,
    place INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (level, place)
) STRICT, WITHOUT ROWID""",
    """\
CREATE TABLE ledger_checkpoint (
    size INTEGER PRIMARY KEY,
    root BLOB NOT NULL CHECK (length(root) = 32),
    note TEXT NOT NULL,
    time_ms INTEGER NOT NULL
) STRICT""",
    # What witnesses said of a checkpoint, line by line.
    """\
CREATE TABLE ledger_cosignature (
    size INTEGER NOT NULL REFERENCES ledger_checkpoint (size),
    witness TEXT NOT NULL,
    line TEXT NOT NULL,
    PRIMARY KEY (size, witness)
) STRICT, WITHOUT ROWID""",
    *(
        f"""\
CREATE TRIGGER ledger_checkpoint_no_{action.lower()} BEFORE {action} ON ledger_checkpoint BEGIN
    SELECT RAISE(ABORT, 'ledger: a checkpoint is never changed or removed');
END"""
        for action in ("UPDATE", "DELETE")
    ),
    """\
CREATE TRIGGER ledger_checkpoint_grows BEFORE INSERT ON ledger_checkpoint
WHEN EXISTS (SELECT 1 FROM ledger_checkpoint WHERE size >= NEW.size) BEGIN
    SELECT RAISE(ABORT, 'ledger: a checkpoint of as many entries exists');
END""",
)
