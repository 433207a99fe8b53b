"""A database of each earlier version is taken forward with all that it holds, and old hubs go on.

What an earlier version wrote is written here with the columns that it knew and no others.
"""

import asyncio
import contextlib
import hashlib

import msgspec
import pytest

from fenglin.errors import ConflictError
from fenglin.ledger.accounts import available
from fenglin.ledger.entry import genesis, seal
from fenglin.ledger.moves import deposit
from fenglin.ledger.note import new_key
from fenglin.ledger.posting import Charge, Hold, Terms, grant, hold, post, void
from fenglin.ledger.verify import verify
from fenglin.model.site import Price
from fenglin.storage import books, ledger, migrations, schema
from fenglin.storage.accounts import SqliteAccounts
from fenglin.storage.dialect import ddl
from fenglin.storage.identity import SqliteIdentity
from fenglin.storage.ledger_rows import items
from fenglin.storage.proofs import SqliteProofs
from fenglin.storage.schema import ensure_schema
from fenglin.testing.builders import a_job, a_site

NOW_MS = 1_760_000_000_000
SPEC = msgspec.json.encode(a_job())
PRICE = msgspec.json.encode(Price(core_hour_micro=1_000))
COLUMNS = "version, ledger_id, seq, time_ms, kind, key, job, attempt, memo, details, prev_hash"
# Every table of version 1 but the ledger's, a row each: {n} makes a second one of it.
ROWS = {
    "meta": {"name": "note{n}", "value": "kept"},
    "token": {
        "digest": b"{n}", "name": "ann{n}", "scopes": "read write", "account": "lab",
        "created_ms": NOW_MS, "revoked_ms": 0,
    },
    "job": {
        "number": "{n}", "version": 1, "name": "x", "queue": "default", "account": "lab",
        "priority": 0, "tasks": 1, "actor": "ann", "state": "running", "reason": "", "detail": "",
        "submitted_ms": NOW_MS, "started_ms": NOW_MS, "ended_ms": 0, "pending_set": "",
        "succeeded_set": "", "failed_set": "", "cancelled_set": "", "learned_tasks": 0,
        "learned_ms": 0, "retry_at_ms": 0, "cancelling": 0, "cost_micro": 0, "spec": SPEC,
    },
    "job_parent": {"child": "{n}", "parent": 90},
    "label": {"name": "team", "value": "a", "job": "{n}"},
    "task_try": {
        "job": "{n}", "task": 0, "tries": 1, "reason": "failed", "exit_code": 1, "time_ms": NOW_MS,
    },
    "idempotency": {
        "key": "k{n}", "actor": "ann", "body_hash": b"h", "first_job": "{n}", "jobs": 1,
        "created_ms": NOW_MS,
    },
    "site_wish": {
        "site": "s{n}", "drained": 1, "reason": "disk", "actor": "bo", "time_ms": NOW_MS,
    },
    "node": {
        "site": "site", "name": "o{n}", "declared": 1, "cpu_milli": 8_000, "memory_bytes": 2**34,
        "disk_bytes": 0, "accelerator_milli": 0, "cpu_used_milli": 1_000,
        "memory_used_bytes": 2**28, "disk_used_bytes": 0, "accelerator_used_milli": 0,
    },
    "allocation": {
        "number": "{n}", "job": "{n}", "site": "site", "flavor": "std",
        "shares": b'[{"node":"n0","slots":1}]', "resources": b'{"cpu_milli":1000}', "nodes": 1,
        "tasks_set": "0", "price": PRICE, "speed_milli": 1_000, "created_ms": NOW_MS,
        "finish_ms": NOW_MS + 1, "held_micro": 9, "attempt": 1, "state": "running",
        "driver_cursor": "7", "epoch": 1, "succeeded_set": "", "failed_set": "",
        "started_ms": NOW_MS, "ended_ms": 0, "tasks_ended": 0, "wall_ms": 0, "billed_ms": 0,
        "cpu_ms": 0, "peak_memory_bytes": 0, "cost_micro": 0, "reason": "",
    },
    "usage": {
        "attempt": "hub-a{n}-0", "allocation": "{n}", "job": "{n}", "site": "site",
        "flavor": "std", "tasks": 1, "wall_ms": 5, "billed_ms": 5, "cpu_ms": 4,
        "peak_memory_bytes": 3, "started_ms": NOW_MS, "ended_ms": NOW_MS, "recorded_ms": NOW_MS,
    },
    "event": {
        "time_ms": NOW_MS, "job": "{n}", "kind": "started", "text": "x", "actor": "ann",
        "epoch": 1,
    },
    "receipt": {"job": "{n}", "cycle": 4, "body": b"r"},
}  # fmt: skip


class OldLedger:
    """What a hub of version 1 enters, by its own statements."""

    def __init__(self):
        self.entries = []
        self.balances = {}

    def enter(self, conn, *drafts):
        if not self.entries:
            self._write(conn, genesis("old", NOW_MS))
        for draft in drafts:
            self._write(conn, seal(self.entries[-1].head, draft, NOW_MS))

    def _write(self, conn, entry):
        self.entries.append(entry)
        details = msgspec.json.encode(entry.details).decode()
        for n, leg in enumerate(entry.legs):
            conn.execute(
                "INSERT INTO ledger_leg (seq, n, account, commodity, amount_micro)"
                " VALUES (?, ?, ?, ?, ?)",
                (entry.seq, n, leg.account, leg.commodity, leg.amount_micro),
            )
            place = (leg.account, leg.commodity)
            self.balances[place] = self.balances.get(place, 0) + leg.amount_micro
            conn.execute(
                "INSERT INTO ledger_balance (account, commodity, amount_micro) VALUES (?, ?, ?)"
                " ON CONFLICT (account, commodity) DO UPDATE SET"
                " amount_micro = excluded.amount_micro",
                (*place, self.balances[place]),
            )
        conn.execute(
            f"INSERT INTO ledger_entry ({COLUMNS}, hash)"  # noqa: S608
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                entry.version, entry.ledger_id, entry.seq, entry.time_ms, entry.kind, entry.key,
                entry.job, entry.attempt, entry.memo, details, entry.prev_hash, entry.hash,
            ),
        )  # fmt: skip


def moves(n):
    """Return what is entered while an old hub leads."""
    used, unused = (Hold(f"hub-a{n}-{at}", "lab", "CNY", 500, n) for at in (0, 1))
    return (
        grant("lab", 10_000, f"config:{n}"),
        deposit("lab", 7, f"d{n}"),
        hold("lab", 500, used.attempt, job=n),
        hold("lab", 500, unused.attempt, job=n),
        post(used, "p", [Charge("core_hour", 1, 1, 300, 300)], Terms("site", "std", "p1")),
        void(unused),
    )


def write_old(conn, old, n):
    """Write a row into every table, in one transaction, as a hub of version 1 does."""
    conn.execute("BEGIN IMMEDIATE")
    for table, row in ROWS.items():
        names = ", ".join(row)
        marks = ", ".join("?" * len(row))
        values = [filled(value, n) for value in row.values()]
        conn.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", values)  # noqa: S608
    if n == 1:
        conn.execute("INSERT INTO meta (name, value) VALUES ('hub', 'hub'), ('ledger', 'old')")
        conn.execute("INSERT INTO meta (name, value) VALUES ('epoch', '1')")
    old.enter(conn, *moves(n))
    conn.execute("COMMIT")


def filled(value, n):
    if value == "{n}":
        return n
    if isinstance(value, bytes):
        return hashlib.sha256(value + b"%d" % n).digest() if value == b"{n}" else value
    return value.replace("{n}", str(n)) if isinstance(value, str) else value


def read_old(conn):
    """Return every row of every table of version 1, in the columns that it knew."""
    tables = {table: list(row) for table, row in ROWS.items()}
    tables["ledger_entry"] = [*COLUMNS.split(", "), "hash"]
    tables["ledger_leg"] = ["seq", "n", "account", "commodity", "amount_micro"]
    tables["ledger_balance"] = ["account", "commodity", "amount_micro"]
    return {
        table: sorted(conn.execute(f"SELECT {', '.join(names)} FROM {table}").fetchall(), key=repr)  # noqa: S608
        for table, names in tables.items()
    }


class OldFile:
    """A file of version 1."""

    def __init__(self, path):
        self.path = path

    def make(self):
        conn = schema.connect(self.path)
        for statement in schema.SCHEMA:
            conn.execute(statement)
        conn.execute("PRAGMA user_version = 1")
        return conn

    def forward(self):
        with contextlib.closing(schema.connect(self.path)) as conn:
            ensure_schema(conn, self.path)

    def store(self):
        from fenglin.storage.store import SqliteStore  # noqa: PLC0415 - beside the other

        return SqliteStore(self.path)


class OldServer:
    """A database of version 1 in PostgreSQL."""

    def __init__(self, url):
        self.url = url

    def make(self):
        from fenglin.storage.postgres.connection import PostgresConnection  # noqa: PLC0415
        from fenglin.storage.postgres.schema import OWN  # noqa: PLC0415 - an extra

        conn = PostgresConnection(self.url)
        for statement in OWN:
            conn.raw(statement)
        for statement in schema.SCHEMA:
            for part in ddl(statement):
                conn.raw(part)
        conn.raw("INSERT INTO schema_version (version) VALUES (1)")
        return conn

    def forward(self):
        from fenglin.storage.postgres.store import open_database  # noqa: PLC0415 - an extra

        open_database(self.url).close()

    def store(self):
        from fenglin.storage.postgres.store import PostgresStore  # noqa: PLC0415 - an extra

        return PostgresStore(self.url)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def first(request, tmp_path):
    """Return a place for a database of version 1."""
    if request.param == "sqlite":
        return OldFile(tmp_path / "old.db")
    return OldServer(request.getfixturevalue("postgres").database())


def test_the_rows_of_here_are_all_that_version_1_had():
    made = {statement.split()[2] for statement in schema.DDL if "CREATE TABLE" in statement}
    assert made == {*ROWS, "ledger_entry", "ledger_leg", "ledger_balance"}
    for statement in schema.DDL:
        if statement.startswith("CREATE TABLE") and statement.split()[2] in ROWS:
            missing = [name for name in ROWS[statement.split()[2]] if name not in statement]
            assert missing == []


def test_no_step_takes_anything_away():
    for statement in (one for step in migrations.STEPS for one in step):
        words = statement.upper().split()
        assert words[:2] not in (["DROP", "TABLE"], ["DROP", "COLUMN"], ["DELETE", "FROM"])
        if words[:2] == ["ALTER", "TABLE"]:
            assert words[3:5] == ["ADD", "COLUMN"]
            assert "DEFAULT" in words  # an old hub's INSERT does not name it


def test_version_1_comes_forward_whole_and_its_hub_goes_on(first):
    old = OldLedger()
    with contextlib.closing(first.make()) as running:
        write_old(running, old, 1)
        before = read_old(running)
        report = verify(items(running, 0, None, 100))
        assert (report.ok, report.entries) == (True, 7)

        first.forward()
        first.forward()

        # The hub that ran all the time knows nothing of it, and writes as before.
        assert read_old(running) == before
        assert books.verify(running).ok
        for n in (2, 3):
            write_old(running, old, n)
        assert books.verify(running).ok
        head = ledger.head(running)
    assert (head.seq, head.hash) == (19, old.entries[-1].hash)


def test_a_hub_of_today_takes_over_what_version_1_left(first):
    old = OldLedger()
    with contextlib.closing(first.make()) as running:
        write_old(running, old, 1)
        first.forward()
        write_old(running, old, 2)
        write_old(running, old, 3)

    async def scene():
        store = first.store()
        try:
            loaded = await store.load([a_site()], NOW_MS)
            assert (loaded.hub, loaded.epoch) == ("hub", 2)
            assert sorted(loaded.jobs) == sorted(loaded.allocations) == [1, 2, 3]
            assert loaded.drained == {"s1": "disk", "s2": "disk", "s3": "disk"}
            tokens = await SqliteIdentity(store).page("", 0, 9)
            assert [(one.number, one.role) for one in tokens] == [(n, "member") for n in (1, 2, 3)]
            await SqliteAccounts(store).set_budgets(loaded.epoch, {}, 480, NOW_MS)
            await store.post(loaded.epoch, [deposit("lab", 5, "new")], NOW_MS)
            note, fresh = await SqliteProofs(store, new_key("hub.test", bytes(32))).check_point(
                loaded.epoch, NOW_MS
            )
            assert fresh
            assert "\n20\n" in note
            check = await store.ledger_verify()
            assert (check.ok, check.entries, check.problem) == (True, 20, "")
            with pytest.raises(ConflictError):
                await store.post(loaded.epoch, [grant("lab", 1, "config:1")], NOW_MS)
            return await store.balances()
        finally:
            await store.close()

    assert asyncio.run(scene()) == {"lab": old.balances[(available("lab"), "CNY")] + 5}
