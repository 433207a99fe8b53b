"""The ledger's tree in the database, beside one that is made whole from the entries."""

import sqlite3

import pytest

from fenglin.errors import ConflictError, DamageError, NotFoundError
from fenglin.ledger import tree
from fenglin.ledger.moves import deposit
from fenglin.ledger.note import new_key, open_checkpoint
from fenglin.storage import ledger, ledger_tree
from fenglin.storage.schema import connect, ensure_schema

KEY = new_key("hub.test", bytes(32))
ENTRIES = 700


@pytest.fixture
def conn(tmp_path):
    path = tmp_path / "hub.db"
    conn = connect(path)
    ensure_schema(conn, path)
    conn.execute("BEGIN IMMEDIATE")
    ledger.found(conn, "hub", 1)
    conn.execute("COMMIT")
    yield conn
    conn.close()


def enter(conn, count, first=0):
    drafts = [deposit("ann", n + 1, f"d{n}") for n in range(first, first + count)]
    conn.execute("BEGIN IMMEDIATE")
    ledger.append(conn, "hub", 2, drafts)
    conn.execute("COMMIT")


def hashes(conn):
    return [h for (h,) in conn.execute("SELECT hash FROM ledger_entry ORDER BY seq")]


def whole(conn, size):
    growth = tree.Growth()
    for own in hashes(conn)[:size]:
        growth.add(own)
    return growth.root()


def test_roots_and_proofs_are_those_of_the_entries(conn):
    enter(conn, ENTRIES)
    for kept in (False, True):
        if kept:
            assert ledger_tree.extend(conn) == ENTRIES + 1
        for size in (1, 2, 255, 256, 257, 512, 700, 701):
            stored = ledger_tree.StoredTree(conn, size)
            assert stored.root() == whole(conn, size)
            places = [0, size // 2, size - 1] if size > 2 else [0]
            leaves = {place: hashes(conn)[place] for place in places}
            proof = tree.inclusion(places, size, stored)
            assert tree.included_root(leaves, size, proof) == stored.root()
            grown = tree.consistency(size, ENTRIES + 1, ledger_tree.StoredTree(conn, ENTRIES + 1))
            last = whole(conn, ENTRIES + 1)
            assert tree.consistent(size, stored.root(), ENTRIES + 1, last, grown) == ""


def test_keeping_goes_on_where_it_stopped(conn, monkeypatch):
    monkeypatch.setattr(ledger_tree, "STRIDE", 2)
    monkeypatch.setattr(ledger_tree, "_WIDE", 4)
    first = 0
    for count in (3, 1, 20, 7, 64):
        enter(conn, count, first)
        first += count
        ledger_tree.extend(conn)
        assert ledger_tree.StoredTree(conn, first + 1).root() == whole(conn, first + 1)
    levels = conn.execute("SELECT level, count(*) FROM ledger_node GROUP BY level").fetchall()
    assert levels == [(2, 24), (4, 6), (6, 1)]


def test_a_checkpoint_is_signed_once_per_size(conn):
    enter(conn, 5)
    note, fresh = ledger_tree.check_point(conn, "hub.test", KEY, 10)
    assert fresh
    assert ledger_tree.check_point(conn, "hub.test", KEY, 11) == (note, False)
    seen = open_checkpoint(note.encode(), KEY.public)
    assert (seen.size, seen.root) == (6, whole(conn, 6))
    enter(conn, 300, 5)
    later, fresh = ledger_tree.check_point(conn, "hub.test", KEY, 12)
    assert fresh
    assert later == ledger_tree.latest(conn)
    assert [one.size for one in ledger_tree.checkpoints(conn)] == [6, 306]


def test_nothing_is_signed_for_a_ledger_that_lost_or_changed_entries(conn):
    enter(conn, 5)
    ledger_tree.check_point(conn, "hub.test", KEY, 10)
    for trigger in ("ledger_entry_no_delete", "ledger_entry_no_update"):
        conn.execute(f"DROP TRIGGER {trigger}")
    conn.execute("PRAGMA foreign_keys = OFF")
    conn.execute("UPDATE ledger_entry SET hash = zeroblob(32) WHERE seq = 3")
    with pytest.raises(ConflictError, match="not those that a checkpoint was signed for"):
        ledger_tree.check_point(conn, "hub.test", KEY, 11)
    conn.execute("DELETE FROM ledger_entry WHERE seq = 6")
    with pytest.raises(ConflictError, match="has 5 entries, a checkpoint was signed for 6"):
        ledger_tree.check_point(conn, "hub.test", KEY, 11)


def test_missing_entries_are_told(conn):
    enter(conn, 300)
    conn.execute("DROP TRIGGER ledger_entry_no_delete")
    conn.execute("PRAGMA foreign_keys = OFF")
    conn.execute("DELETE FROM ledger_entry WHERE seq = 9")
    with pytest.raises(DamageError, match="entries 1 to 128 are not all there"):
        ledger_tree.StoredTree(conn, 300).root()
    with pytest.raises(DamageError, match="not all there"):
        ledger_tree.extend(conn)


def test_a_tree_larger_than_the_ledger(conn):
    with pytest.raises(NotFoundError, match="has 1 entries, not 2"):
        ledger_tree.StoredTree(conn, 2)


def test_checkpoints_are_never_changed(conn):
    ledger_tree.check_point(conn, "hub.test", KEY, 10)
    for statement in (
        "UPDATE ledger_checkpoint SET time_ms = 0",
        "DELETE FROM ledger_checkpoint",
        "INSERT OR REPLACE INTO ledger_checkpoint SELECT * FROM ledger_checkpoint",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="checkpoint"):
            conn.execute(statement)
