"""Settlements in the store: posted once, kept as they were, and held against the rows."""

import asyncio
import shutil
import sqlite3
from pathlib import Path

import msgspec
import pytest

from fenglin.errors import ConflictError, DamageError
from fenglin.ledger.accounts import FEE, available, due, voucher_budget, voucher_reserved
from fenglin.ledger.moves import move_voucher
from fenglin.ledger.posting import Hold, Terms, charge, grant, hold, post
from fenglin.ledger.settlement_deal import Deal, Rate
from fenglin.ledger.vouchers.entries import PAYS
from fenglin.model.hours import CORE_HOUR
from fenglin.quantities.period import Period
from fenglin.storage import books, ledger
from fenglin.storage.accounts import SqliteAccounts
from fenglin.storage.settlements import SqliteSettlings
from fenglin.storage.store import SqliteStore
from fenglin.testing.builders import a_site

NOVEMBER = Period(2026, 11)
NOW_MS = NOVEMBER.to_ms + 5
HOUR = 3_600_000
HALF = {"gz": (Deal(provider="gz", share=Rate(1, 2)),)}


def use(key, provider, hours, tenant="lab"):
    of = Hold(key, tenant, "CNY", 10**9, 1)
    charges = [charge("core_hour", hours * HOUR, HOUR, 123_456)]
    return hold(tenant, 10**9, key, job=1), post(of, provider, charges, Terms("west"))


@pytest.fixture
def november(tmp_path):
    """Run a scene with an open store in which November was earned."""
    return lambda scene: asyncio.run(play(tmp_path / "hub.db", scene))


async def play(path, scene):
    store = SqliteStore(path)
    loaded = await store.load((a_site(),), NOVEMBER.from_ms)
    drafts = [
        grant("lab", 10**10, "config:lab"),
        *use("a1", "gz", 10),
        *use("a2", "cloud", 7),
        *use("a3", "gz", 1, tenant="ann"),
        move_voucher(voucher_budget("spring"), voucher_reserved("spring"), 5, "v0"),
        move_voucher(
            voucher_reserved("spring"),
            available("lab"),
            300_000,
            "v1",
            details=((PAYS, "post:a2"),),
        ),
    ]
    try:
        await store.write(
            loaded.epoch, lambda conn: books.append(conn, drafts, NOVEMBER.from_ms + 9)
        )
        return await scene(SqliteSettlings(store), store, loaded.epoch)
    finally:
        await store.close()


async def close(store, epoch):
    return (await SqliteAccounts(store).close(epoch, NOVEMBER, NOW_MS))[0].seq


def made_of(settled):
    return [one.settlement for one in settled]


def test_a_month_is_posted_once_and_stays_as_it_was(november):
    async def scene(settlings, store, epoch):
        preview, closed = await settlings.month(NOVEMBER, HALF)
        assert closed == 0
        assert [one.seq for one in preview] == [0, 0]
        closing = await close(store, epoch)
        posted = await settlings.post(epoch, made_of(preview), "ada", NOW_MS)
        again = await settlings.post(epoch, made_of(preview), "bob", NOW_MS + 9)
        assert again == posted
        cloud, gz = posted
        assert (gz.seq, gz.posted_by) == (closing + 2, "ada")
        assert gz.settlement.fee_micro == 670_000
        assert gz.settlement.charged_micro == 11 * 123_456
        assert cloud.settlement.provider_micro == cloud.settlement.charged_micro
        fee = await store.read(lambda conn: ledger.balance(conn, FEE))
        assert fee == 670_000
        owed = await store.read(lambda conn: ledger.balance(conn, due("gz")))
        assert owed == gz.settlement.provider_micro == 11 * 123_456 - 670_000

        # Other deals, and entries of later months, change nothing.
        others = {"gz": (Deal(provider="gz", share=Rate(1, 9)),), "cloud": HALF["gz"]}
        await store.write(epoch, lambda conn: books.append(conn, use("a9", "gz", 3), NOW_MS))
        later, found = await settlings.month(NOVEMBER, others)
        assert found == closing
        encode = msgspec.json.encode
        assert encode(later) == encode(posted)

    november(scene)


def test_a_month_is_settled_and_checked_on_either_database(desk):
    async def scene(here):
        month = Period(2023, 11)
        drafts = [*use("a1", "gz", 10), *use("a2", "cloud", 7)]
        await here.store.write(here.epoch, lambda conn: books.append(conn, drafts, month.to_ms - 1))
        settlings = SqliteSettlings(here.store)
        settled, closed = await settlings.month(month, HALF)
        assert (len(settled), closed) == (2, 0)
        posted = await settlings.post(here.epoch, made_of(settled), "ada", month.to_ms)
        assert await settlings.post(here.epoch, made_of(settled), "bob", month.to_ms) == posted
        assert (await settlings.month(month, {}))[0] == posted
        found = await settlings.check(month)
        assert found.ok, found.faults
        assert [row.fee_micro for row in found.rows] == [0, 610_000]
        assert await settlings.usage(month) == ()

    desk(scene)


def test_what_was_posted_otherwise_is_refused(november):
    async def scene(settlings, store, epoch):
        settled, _ = await settlings.month(NOVEMBER, HALF)
        await close(store, epoch)
        await settlings.post(epoch, made_of(settled), "ada", NOW_MS)
        other, _ = await settlings.month(NOVEMBER.next(), {})
        assert other == ()
        changed = msgspec.structs.replace(settled[1].settlement, fee_micro=0)
        with pytest.raises(ConflictError, match="otherwise"):
            await settlings.post(epoch, [changed], "ada", NOW_MS)

    november(scene)


def test_rows_of_settlements_cannot_be_changed(november, tmp_path):
    async def scene(settlings, store, epoch):
        settled, _ = await settlings.month(NOVEMBER, HALF)
        await close(store, epoch)
        await settlings.post(epoch, made_of(settled), "ada", NOW_MS)

    november(scene)
    conn = sqlite3.connect(tmp_path / "hub.db")
    for statement in ("UPDATE settlement SET posted_by = 'me'", "DELETE FROM settlement"):
        with pytest.raises(sqlite3.IntegrityError, match="never changed"):
            conn.execute(statement)
    conn.close()


# What is changed behind the hub's back → the number of the entry that is told.
TAMPER = [
    ("UPDATE ledger_leg SET amount_micro = amount_micro - 1 WHERE seq = 4 AND n = 2", 4),
    ("UPDATE ledger_leg SET amount_micro = amount_micro + 1 WHERE seq = 8 AND n = 1", 8),
    ("UPDATE ledger_leg SET account = 'provider:me:due' WHERE seq = 6 AND n = 2", 6),
    ("UPDATE ledger_entry SET details = '[]' WHERE seq = 8", 8),
    ("UPDATE ledger_entry SET details = '[1' WHERE seq = 8", 8),
    ("UPDATE ledger_entry SET time_ms = 0 WHERE seq = 4", 0),
    ("DELETE FROM ledger_entry WHERE seq = 4", 0),
    ("UPDATE ledger_leg SET amount_micro = amount_micro + 1 WHERE seq = 10 AND n = 1", 10),
    ("UPDATE ledger_leg SET amount_micro = 2 * amount_micro WHERE seq = 13", 13),
    ("UPDATE settlement SET body = CAST(replace(body, '670000', '660000') AS BLOB)", 13),
]


@pytest.fixture(scope="module")
def posted(tmp_path_factory):
    """Return the file of a hub whose November is closed and settled."""
    path = tmp_path_factory.mktemp("posted") / "hub.db"

    async def settle(settlings, store, epoch):
        settled, _ = await settlings.month(NOVEMBER, HALF)
        await close(store, epoch)
        await settlings.post(epoch, made_of(settled), "ada", NOW_MS)
        found = await settlings.check(NOVEMBER)
        assert found.ok, found.faults
        vouchers = {row.provider: row.vouchers_micro for row in found.rows}
        assert vouchers == {"cloud": 300_000, "gz": 0}
        assert {row.provider: row.settled for row in found.rows} == {"cloud": 12, "gz": 13}

    asyncio.run(play(path, settle))
    return path


def ask(path, question):
    """Ask a store that is only read."""

    async def asking():
        store = SqliteStore(path)
        try:
            return await question(SqliteSettlings(store))
        finally:
            await store.close()

    return asyncio.run(asking())


@pytest.mark.slow
@pytest.mark.parametrize(("change", "seq"), TAMPER)
def test_a_changed_row_is_told_by_the_check(posted, tmp_path, change, seq):
    path = shutil.copy(posted, tmp_path)
    tamper(path, change)
    found = ask(Path(path), lambda settlings: settlings.check(NOVEMBER))
    assert not found.ok
    assert seq in {fault.seq for fault in found.faults}, found.faults


@pytest.mark.parametrize(
    ("change", "seq"),
    [(TAMPER[0][0], 4), (TAMPER[2][0], 12), (TAMPER[4][0], 8), (TAMPER[9][0], 13)],
)
def test_a_damaged_month_is_not_settled(posted, tmp_path, change, seq):
    path = shutil.copy(posted, tmp_path)
    tamper(path, change)
    with pytest.raises(DamageError) as caught:
        ask(Path(path), lambda settlings: settlings.month(NOVEMBER, HALF))
    assert caught.value.where == f"entry {seq}"


def tamper(path, change):
    """Change a row as somebody who owns the file could."""
    conn = sqlite3.connect(path)
    triggers = conn.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for (name,) in triggers:
        conn.execute(f"DROP TRIGGER {name}")
    assert conn.execute(change).rowcount > 0
    conn.commit()
    conn.close()


def test_hours_are_owed_and_reconciled_beside_money(november):
    of = Hold("a9", "lab", CORE_HOUR, 9_000_000, 2)
    used = [charge("core_hour", 4 * HOUR, HOUR, 1_000_000)]

    async def scene(settlings, store, epoch):
        drafts = [
            grant("lab", 10_000_000, "quota", commodity=CORE_HOUR),
            hold("lab", 9_000_000, "a9", job=2, commodity=CORE_HOUR),
            post(of, "gz", used, Terms("west")),
        ]
        await store.write(epoch, lambda conn: books.append(conn, drafts, NOVEMBER.from_ms + 9))
        return await settlings.month(NOVEMBER, HALF), await settlings.check(NOVEMBER)

    (settled, _), check = november(scene)
    made = {(s.settlement.provider, s.settlement.commodity): s.settlement for s in settled}
    assert made["gz", CORE_HOUR].payable_micro == 4_000_000
    assert made["gz", CORE_HOUR].fee_micro == 0
    assert made["gz", "CNY"].charged_micro == 11 * 123_456
    assert check.ok
    (row,) = (one for one in check.rows if one.commodity == CORE_HOUR)
    assert (row.charged_micro, row.dues_micro, row.difference_micro) == (4_000_000, 4_000_000, 0)
