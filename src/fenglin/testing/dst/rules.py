"""The rules that the database itself is asked to watch: temporary triggers beside the real ones.

They see every row that any transaction changes, whatever code changed it, and write down what
breaks a rule; a change that is rolled back takes its complaint with it. The tables of lawful moves
are written anew here, from the contract, so that a hole in `lifecycle` does not open both.
"""

# ruff: noqa: S608 - all of this SQL is our own text

from __future__ import annotations

JOB_MOVES = (
    "pending>held", "pending>running", "pending>cancelling", "pending>succeeded",
    "pending>failed", "pending>cancelled", "held>pending", "held>cancelling", "held>cancelled",
    "running>pending", "running>held", "running>cancelling", "running>succeeded",
    "running>failed", "running>cancelled", "cancelling>cancelled",
)  # fmt: skip
ATTEMPT_MOVES = (
    "intent>unknown", "intent>running", "intent>stopping", "intent>ended", "unknown>intent",
    "unknown>running", "unknown>stopping", "unknown>ended", "running>unknown",
    "running>stopping", "running>ended", "stopping>ended",
)  # fmt: skip
# A job that is set aside stands still, and goes on as it stood.
_SET_ASIDE = (
    "(NEW.state = 'held' AND NEW.reason = 'quarantined'"
    " AND EXISTS (SELECT 1 FROM main.quarantine WHERE job = NEW.number))"
)
_LET_GO = "OLD.state = 'held' AND OLD.reason = 'quarantined' AND NEW.reason <> 'quarantined'"
_EPOCH = "(SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'epoch')"


def _among(moves: tuple[str, ...]) -> str:
    return ", ".join(f"'{move}'" for move in moves)


def _wrong(rule: str, what: str, when: str) -> str:
    return f"INSERT INTO dst_wrong SELECT '{rule}', {what} WHERE {when};"


TRIGGERS: tuple[str, ...] = (
    "CREATE TEMP TABLE dst_touched (kind TEXT, number INTEGER, PRIMARY KEY (kind, number))",
    "CREATE TEMP TABLE dst_wrong (rule TEXT, what TEXT)",
    "CREATE TEMP TABLE dst_former (job INTEGER PRIMARY KEY, state TEXT)",
    """CREATE TEMP TRIGGER dst_aside AFTER INSERT ON main.quarantine BEGIN
        INSERT OR IGNORE INTO dst_touched VALUES ('aside', NEW.job);
        INSERT OR REPLACE INTO dst_former
            SELECT number, state FROM main.job WHERE number = NEW.job;
    END""",
    f"""CREATE TEMP TRIGGER dst_voucher AFTER UPDATE ON main.voucher BEGIN
        {
        _wrong(
            "V2",
            "'voucher ' || NEW.voucher || ' is overdrawn, or was changed as no act changes it'",
            "NEW.left_micro < 0 OR (NEW.used_micro < OLD.used_micro"
            " AND NEW.left_micro - OLD.left_micro <> OLD.used_micro - NEW.used_micro)"
            " OR NEW.clawed_micro > NEW.used_micro OR NEW.granted_micro <> OLD.granted_micro"
            " OR NEW.left_micro + NEW.used_micro + NEW.revoked_micro > NEW.granted_micro"
            " OR (NEW.used_micro > OLD.used_micro AND OLD.approved = 0)"
            " OR (OLD.approved = 1 AND NEW.valid_to_ms <> OLD.valid_to_ms)",
        )
    }
    END""",
    f"""CREATE TEMP TRIGGER dst_voucher_use AFTER INSERT ON main.voucher_event
        WHEN NEW.act = 'use' BEGIN
        {
        _wrong(
            "V2",
            "'voucher ' || NEW.voucher || ' was used after its time'",
            "json_extract(CAST(NEW.body AS TEXT), '$.time_ms') >= (SELECT valid_to_ms"
            " FROM main.voucher WHERE pool = NEW.pool AND voucher = NEW.voucher)",
        )
    }
    END""",
    f"""CREATE TEMP TRIGGER dst_job_new AFTER INSERT ON main.job BEGIN
        INSERT OR IGNORE INTO dst_touched VALUES ('job', NEW.number);
        {_wrong("J5", "'job ' || NEW.number || ' begins ' || NEW.state", "NEW.state <> 'pending'")}
    END""",
    f"""CREATE TEMP TRIGGER dst_job AFTER UPDATE ON main.job BEGIN
        INSERT OR IGNORE INTO dst_touched VALUES ('job', NEW.number);
        {
        _wrong(
            "J5",
            "'job ' || NEW.number || ' went from ' || OLD.state || ' to ' || NEW.state",
            "OLD.state IN ('succeeded', 'failed', 'cancelled') OR (OLD.state <> NEW.state"
            f" AND OLD.state || '>' || NEW.state NOT IN ({_among(JOB_MOVES)})"
            f" AND NOT {_SET_ASIDE} AND NOT ({_LET_GO}))",
        )
    }
        {
        _wrong(
            "J9",
            "'job ' || NEW.number || ' was let go as ' || NEW.state || ', not as it stood'",
            f"{_LET_GO} AND (EXISTS (SELECT 1 FROM main.quarantine WHERE job = NEW.number) OR"
            " NEW.state <> (SELECT state FROM dst_former WHERE job = NEW.number))",
        )
    }
        {
        _wrong(
            "J5",
            "'job ' || NEW.number || ' skipped a version or changed its spec'",
            "NEW.version <> OLD.version + 1 OR NEW.spec <> OLD.spec OR NEW.account <> OLD.account",
        )
    }
        {
        _wrong(
            "J6",
            "'the cancel of job ' || NEW.number || ' was taken back'",
            "OLD.cancelling > NEW.cancelling",
        )
    }
    END""",
    f"""CREATE TEMP TRIGGER dst_job_gone AFTER DELETE ON main.job BEGIN
        {_wrong("J1", "'job ' || OLD.number || ' was removed'", "1")}
    END""",
    f"""CREATE TEMP TRIGGER dst_allocation_new AFTER INSERT ON main.allocation BEGIN
        INSERT OR IGNORE INTO dst_touched VALUES ('new', NEW.number);
        {
        _wrong(
            "F1",
            "'a' || NEW.number || ' was committed under epoch ' || NEW.epoch",
            f"NEW.epoch <> {_EPOCH}",
        )
    }
        {_wrong("J5", "'a' || NEW.number || ' begins ' || NEW.state", "NEW.state <> 'intent'")}
    END""",
    f"""CREATE TEMP TRIGGER dst_allocation AFTER UPDATE ON main.allocation BEGIN
        INSERT OR IGNORE INTO dst_touched VALUES ('allocation', NEW.number);
        {
        _wrong(
            "F1",
            "'a' || NEW.number || ' was changed under epoch ' || NEW.epoch",
            f"NEW.epoch <> {_EPOCH}",
        )
    }
        {
        _wrong(
            "J5",
            "'a' || NEW.number || ' went from ' || OLD.state || ' to ' || NEW.state",
            "OLD.state = 'ended' OR (OLD.state <> NEW.state"
            f" AND OLD.state || '>' || NEW.state NOT IN ({_among(ATTEMPT_MOVES)}))",
        )
    }
    END""",
    f"""CREATE TEMP TRIGGER dst_node AFTER UPDATE ON main.node BEGIN
        {
        _wrong(
            "A1",
            "'node ' || NEW.site || '/' || NEW.name || ' holds more than it has'",
            "NEW.cpu_used_milli > NEW.cpu_milli OR NEW.memory_used_bytes > NEW.memory_bytes"
            " OR NEW.accelerator_used_milli > NEW.accelerator_milli",
        )
    }
    END""",
    f"""CREATE TEMP TRIGGER dst_epoch AFTER UPDATE ON main.meta WHEN NEW.name = 'epoch' BEGIN
        {
        _wrong(
            "F3",
            "'epoch ' || NEW.value || ' follows ' || OLD.value",
            "CAST(NEW.value AS INTEGER) <= CAST(OLD.value AS INTEGER)",
        )
    }
    END""",
    f"""CREATE TEMP TRIGGER dst_usage AFTER INSERT ON main.usage BEGIN
        {
        _wrong(
            "M6",
            "'usage of ' || NEW.attempt || ' is negative'",
            "NEW.wall_ms < 0 OR NEW.billed_ms < 0 OR NEW.cpu_ms < 0 OR NEW.tasks < 0"
            " OR NEW.peak_memory_bytes < 0",
        )
    }
    END""",
)
