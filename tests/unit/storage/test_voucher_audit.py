"""The auditor's view: what was changed behind the books' back is found, and nothing forgotten."""

import sqlite3

import pytest
from tests.unit.storage.voucherbench import POOL, Bench, asks, played


@pytest.fixture
def play(desk):
    return lambda scene: played(desk, scene)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("UPDATE voucher SET left_micro = left_micro - 1", "stands otherwise"),
        ("DELETE FROM voucher", "stands otherwise"),
        ("UPDATE voucher_decision SET body = replace(CAST(body AS TEXT), '300', '301')", "sealed"),
        ("UPDATE voucher_event SET body = replace(CAST(body AS TEXT), 'grant', 'lapse')", "events"),
        ("UPDATE ledger_balance SET amount_micro = 1 WHERE account LIKE '%budget'", "free"),
        ("UPDATE ledger_balance SET amount_micro = 1 WHERE account LIKE '%reserved'", "reserved"),
        (
            "UPDATE voucher_application SET body = replace(CAST(body AS TEXT), 'firm-', 'fake-')",
            "another application",
        ),
    ],
)
def test_an_audit_finds_what_was_changed_behind_its_back(request, desk, change, what):
    if "postgres" in request.node.name:
        pytest.skip("triggers are taken away in SQLite's words; what audits is the same")

    async def scene(here):
        bench = Bench(here)
        await bench.open()
        await bench.give(asks("a", 300))
        for (name,) in here.sql("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
            here.sql(f"DROP TRIGGER {name}")
        here.sql(
            change.replace("SET body = replace", "SET body = CAST(replace").replace(
                "')", "') AS BLOB)"
            )
            if "SET body" in change
            else change
        )
        problems = (await bench.rooms.audit(POOL, "", "")).problems
        assert any(what in one for one in problems), problems

    desk(scene)


@pytest.mark.parametrize(
    "table",
    [
        "voucher_pool",
        "voucher_application",
        "voucher_decision",
        "voucher_event",
        "voucher_request",
    ],
)
def test_the_database_refuses_to_forget(play, table):
    async def scene(bench):
        await bench.open()
        await bench.give(asks("a", 10))
        await bench.take("a")
        column = {"voucher_pool": "name", "voucher_request": "key"}.get(table, "pool")
        for change in (f"DELETE FROM {table}", f"UPDATE {table} SET {column} = 'x'"):  # noqa: S608
            with pytest.raises(sqlite3.IntegrityError, match="never changed"):
                bench.here.sql(change)

    play(scene)
