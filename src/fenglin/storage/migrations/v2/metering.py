"""Metering: late records of use, what providers account, discrepancies and their way."""

from __future__ import annotations

_KEPT = "metering: what was recorded is never changed or removed"


def _refuse(table: str, action: str, when: str = "") -> str:
    """Return the trigger that refuses an action on a table, where `when` holds."""
    return f"""\
CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table}
{when and f"WHEN {when} "}BEGIN
    SELECT RAISE(ABORT, '{_KEPT}');
END"""


STATEMENTS: tuple[str, ...] = (
    "CREATE INDEX usage_by_end ON usage (site, ended_ms)",
    # Ends of tasks that were told after their attempt was settled, or by another way.
    """\
CREATE TABLE use_record (
    key TEXT PRIMARY KEY,
    attempt TEXT NOT NULL,
    task INTEGER NOT NULL CHECK (task >= 0),
    started_ms INTEGER NOT NULL,
    wall_ms INTEGER NOT NULL CHECK (wall_ms >= 0),
    cpu_ms INTEGER NOT NULL CHECK (cpu_ms >= 0),
    digest BLOB NOT NULL,
    recorded_by TEXT NOT NULL,
    recorded_ms INTEGER NOT NULL,
    outcome TEXT NOT NULL
        CHECK (outcome IN ('waiting', 'billed', 'counted', 'unbilled', 'foreign'))
) STRICT, WITHOUT ROWID""",
    "CREATE INDEX use_record_of_attempt ON use_record (attempt)",
    "CREATE INDEX use_record_waiting ON use_record (key) WHERE outcome = 'waiting'",
    _refuse("use_record", "DELETE"),
    # What became of a record is decided once.
    _refuse("use_record", "UPDATE", "OLD.outcome <> 'waiting' OR NEW.digest <> OLD.digest"),
    """\
CREATE TABLE metering_import (
    number INTEGER PRIMARY KEY,
    site TEXT NOT NULL,
    source TEXT NOT NULL,
    form TEXT NOT NULL,
    file TEXT NOT NULL,
    actor TEXT NOT NULL,
    begun_ms INTEGER NOT NULL,
    done_ms INTEGER NOT NULL DEFAULT 0,
    added INTEGER NOT NULL DEFAULT 0,
    unchanged INTEGER NOT NULL DEFAULT 0,
    contradicting INTEGER NOT NULL DEFAULT 0,
    passed INTEGER NOT NULL DEFAULT 0,
    from_ms INTEGER NOT NULL DEFAULT 0,
    to_ms INTEGER NOT NULL DEFAULT 0
) STRICT""",
    # An import that is not done counts for nothing, and is swept away before the next one.
    _refuse("metering_import", "UPDATE", "OLD.done_ms > 0"),
    _refuse("metering_import", "DELETE", "OLD.done_ms > 0"),
    """\
CREATE TABLE provider_record (
    site TEXT NOT NULL,
    source TEXT NOT NULL,
    line TEXT NOT NULL,
    import INTEGER NOT NULL REFERENCES metering_import (number),
    attempt TEXT NOT NULL,
    resource TEXT NOT NULL,
    started_ms INTEGER NOT NULL,
    ended_ms INTEGER NOT NULL CHECK (ended_ms >= started_ms),
    wall_ms INTEGER,
    core_ms INTEGER,
    card_ms INTEGER,
    energy_j INTEGER,
    cost_micro INTEGER,
    currency TEXT NOT NULL,
    what TEXT NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (site, source, line)
) STRICT, WITHOUT ROWID""",
    "CREATE INDEX provider_record_of_attempt ON provider_record (attempt) WHERE attempt <> ''",
    "CREATE INDEX provider_record_of_import ON provider_record (import)",
    _refuse("provider_record", "UPDATE"),
    _refuse(
        "provider_record",
        "DELETE",
        "EXISTS (SELECT 1 FROM metering_import WHERE number = OLD.import AND done_ms > 0)",
    ),
    # Lines of use that are charged, each with the entry that charges it. Byte-milliseconds of a
    # terabyte's month are more than 64 bits hold: written as decimal digits. `counter` and `span`
    # say where its use counts towards tiers; empty without them.
    """\
CREATE TABLE metered_use (
    site TEXT NOT NULL,
    source TEXT NOT NULL,
    line TEXT NOT NULL,
    import INTEGER NOT NULL REFERENCES metering_import (number),
    entry INTEGER NOT NULL,
    account TEXT NOT NULL,
    unit TEXT NOT NULL,
    quantity TEXT NOT NULL,
    started_ms INTEGER NOT NULL,
    ended_ms INTEGER NOT NULL CHECK (ended_ms >= started_ms),
    resource TEXT NOT NULL,
    job INTEGER NOT NULL,
    attempt TEXT NOT NULL,
    counter TEXT NOT NULL,
    span TEXT NOT NULL,
    PRIMARY KEY (site, source, line)
) STRICT, WITHOUT ROWID""",
    "CREATE INDEX metered_use_of_job ON metered_use (job) WHERE job > 0",
    _refuse("metered_use", "UPDATE"),
    _refuse("metered_use", "DELETE"),
    # What of a charged line was given back, each with the entry that does it.
    """\
CREATE TABLE metered_back (
    key TEXT PRIMARY KEY,
    site TEXT NOT NULL,
    source TEXT NOT NULL,
    line TEXT NOT NULL,
    entry INTEGER NOT NULL,
    quantity TEXT NOT NULL,
    who TEXT NOT NULL,
    why TEXT NOT NULL,
    FOREIGN KEY (site, source, line) REFERENCES metered_use (site, source, line)
) STRICT, WITHOUT ROWID""",
    "CREATE INDEX metered_back_of_line ON metered_back (site, source, line)",
    _refuse("metered_back", "UPDATE"),
    _refuse("metered_back", "DELETE"),
    """\
CREATE TABLE metering_item (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    site TEXT NOT NULL,
    account TEXT NOT NULL,
    job INTEGER NOT NULL,
    attempt TEXT NOT NULL,
    period TEXT NOT NULL,
    body BLOB NOT NULL
) STRICT""",
    "CREATE INDEX metering_item_of_attempt ON metering_item (attempt) WHERE attempt <> ''",
    """\
CREATE TABLE metering_step (
    item INTEGER NOT NULL REFERENCES metering_item (number),
    n INTEGER NOT NULL,
    state TEXT NOT NULL,
    who TEXT NOT NULL,
    why TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    PRIMARY KEY (item, n)
) STRICT, WITHOUT ROWID""",
    *(
        _refuse(table, action)
        for table in ("metering_item", "metering_step")
        for action in ("UPDATE", "DELETE")
    ),
)
