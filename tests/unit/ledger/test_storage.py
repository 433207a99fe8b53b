from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager

import msgspec
import pytest

from fenglin.errors import ConflictError, DamageError, InputError
from fenglin.ledger.accounts import available, due, held
from fenglin.ledger.entry import Draft, Head, Kind, Leg, genesis, seal
from fenglin.ledger.posting import Hold, Terms, charge, grant, hold, post, void
from fenglin.ledger.statement import statement as pure_statement
from fenglin.ledger.verify import balances, verify
from fenglin.storage import ledger
from fenglin.storage.ledger_rows import OF_TENANT
from fenglin.storage.ledger_schema import LEDGER_DDL, LEDGER_GUARDS

OF = Hold("hub-1-a1-1", "lab", "CNY", 1_000, 7)
OPEN = hold("lab", 1_000, OF.attempt, job=7)
USED = post(OF, "gz", [charge("task", 400, 1, 1)], Terms("site-a"))


@contextmanager
def transaction(conn):
    """What the store's writer does around every call."""
    conn.execute("BEGIN IMMEDIATE")
    try:
        yield
        conn.execute("COMMIT")
    except BaseException:
        conn.execute("ROLLBACK")
        raise


@pytest.fixture
def books(conn):
    ledger.found(conn, "hub-1", 1_000)
    return conn


@pytest.fixture
def told(books, story):
    """The story, entered one by one at its own times."""
    for entry in story[1:]:
        with transaction(books):
            assert ledger.append(books, "hub-1", entry.time_ms, [entry.draft]) == [entry]
    return books


def append(conn, *drafts, ledger_id="hub-1"):
    with transaction(conn):
        return ledger.append(conn, ledger_id, 2_000, drafts)


def test_what_is_stored_is_what_was_sealed(told, story):
    assert list(ledger.entries(told)) == story
    assert ledger.head(told) == story[-1].head
    assert ledger.verify_stored(told) == verify(story)
    assert ledger.verify_stored(told).ok


def test_one_batch_is_the_same_chain_as_single_appends(books, story):
    drafts = [entry.draft for entry in story[1:]]
    made = append(books, *drafts)
    assert [entry.draft for entry in made] == drafts
    assert ledger.verify_stored(books).ok


def test_a_batch_of_more_rows_than_a_statement_takes_is_one_chain(books):
    holds = [Hold(f"hub-1-a{n}-1", f"lab{n % 3}", "CNY", n, n) for n in range(500)]
    opened = [hold(one.account, one.amount_micro, one.attempt, job=one.job) for one in holds]
    ended = [
        void(one) if n % 7 == 0 else post(one, "gz", [], Terms()) for n, one in enumerate(holds)
    ]
    made = append(books, *opened, *ended)
    assert [entry.draft for entry in made] == [*opened, *ended]
    assert list(ledger.entries(books))[1:] == made
    assert append(books, *ended, *opened) == [*made[500:], *made[:500]]
    assert ledger.verify_stored(books).ok
    assert ledger.head(books).seq == 1_001


def test_a_tenants_entries_are_found_by_the_index(books):
    plan = books.execute(
        f"EXPLAIN QUERY PLAN SELECT seq FROM ledger_entry WHERE {OF_TENANT}",  # noqa: S608
        (available("lab"),),
    ).fetchall()
    assert any("INDEX ledger_leg_account (account=?)" in row[3] for row in plan)


@pytest.mark.parametrize("chunk", [1, 2, 1_000])
def test_entries_are_read_in_chunks(told, story, chunk):
    assert list(ledger.entries(told, chunk=chunk)) == story
    assert list(ledger.entries(told, after_seq=3, limit=4, chunk=chunk)) == story[3:7]
    assert list(ledger.entries(told, after_seq=9, chunk=chunk)) == []


def test_founding_twice_is_founding_once(books):
    assert ledger.found(books, "hub-1", 9_000) == genesis("hub-1", 1_000)
    with pytest.raises(ConflictError, match="holds ledger 'hub-1'"):
        ledger.found(books, "hub-2", 9_000)


def test_a_ledger_that_was_not_founded_takes_nothing(conn):
    assert ledger.head(conn) is None
    with pytest.raises(DamageError, match="no genesis"):
        append(conn, OPEN)
    assert ledger.verify_stored(conn).bad_seq == 1


def test_another_hubs_ledger_is_not_written(books):
    with pytest.raises(ConflictError, match="not 'hub-2'"):
        append(books, OPEN, ledger_id="hub-2")


def test_balances_are_cached_and_true(told, story):
    for (account, commodity), amount in balances(story).items():
        assert ledger.balance(told, account, commodity) == amount
    assert ledger.balance(told, due("nobody")) == 0
    assert ledger.balance(told, available("lab"), "CARD-HOUR") == 0


def test_a_hold_is_open_until_it_is_resolved(books):
    assert ledger.open_hold(books, OF.attempt) is None
    append(books, OPEN)
    assert ledger.open_hold(books, OF.attempt) == OF
    assert ledger.balance(books, held("lab")) == 1_000
    append(books, USED)
    assert ledger.open_hold(books, OF.attempt) is None
    assert ledger.find(books, USED.key).draft == USED


def test_the_same_key_and_body_is_one_entry(books):
    first = append(books, OPEN, USED, OPEN)
    assert first[0] == first[2]
    assert append(books, USED, OPEN) == [first[1], first[0]]
    assert ledger.head(books).seq == 3
    assert ledger.balance(books, due("gz")) == 400


@pytest.mark.parametrize(
    "change",
    [
        {"memo": "x"},
        {"job": 8},
        {"details": (("a", "b"),)},
        {"legs": hold("lab", 999, "k").legs},
    ],
)
def test_the_same_key_with_another_body_is_a_conflict(books, change):
    append(books, OPEN)
    with pytest.raises(ConflictError, match="another body"):
        append(books, msgspec.structs.replace(OPEN, **change))
    assert ledger.head(books).seq == 2


@pytest.mark.parametrize(
    ("drafts", "says"),
    [
        ([USED], "no open hold"),
        ([OPEN, USED, void(OF)], "resolved by entry 3"),
        ([OPEN, void(OF), USED], "resolved by entry 3"),
        ([OPEN, void(msgspec.structs.replace(OF, amount_micro=999))], "its hold moved"),
        ([OPEN, void(msgspec.structs.replace(OF, account="other"))], "its hold moved"),
    ],
)
def test_a_hold_is_resolved_once_and_exactly(books, drafts, says):
    with pytest.raises(ConflictError, match=says):
        append(books, *drafts)
    assert ledger.head(books).seq == 1
    for draft in drafts[:-1]:
        append(books, draft)
    with pytest.raises(ConflictError, match=says):
        append(books, drafts[-1])


def test_a_malformed_draft_spoils_its_batch_alone(books):
    with pytest.raises(InputError):
        append(books, OPEN, msgspec.structs.replace(USED, legs=USED.legs[:2]))
    assert ledger.head(books).seq == 1


def test_a_batch_larger_than_one_statement_takes(books):
    drafts = [grant(f"t{i}", i + 1, str(i)) for i in range(2_000)]
    first = append(books, *drafts)
    assert append(books, *drafts) == first
    assert ledger.verify_stored(books).entries == 2_001


def test_a_statement_of_a_period_is_the_pure_one(told, story):
    for from_ms, to_ms in ((0, 10**15), (1_030, 1_060), (1_060, 1_061), (5_000, 6_000)):
        before = pure_statement(story, "lab", 0, from_ms).closing
        expected = pure_statement(story, "lab", from_ms, to_ms, before)
        assert ledger.statement(told, "lab", from_ms, to_ms) == expected


# The database's own rules: `raw` writes past the code's checks.


def raw(conn, entry, verb="INSERT"):
    for n, leg in enumerate(entry.legs):
        row = (entry.seq, n, leg.account, leg.commodity, leg.amount_micro)
        conn.execute(f"{verb} INTO ledger_leg VALUES (?, ?, ?, ?, ?)", row)
    row = (
        entry.seq,
        entry.version,
        entry.ledger_id,
        entry.time_ms,
        entry.kind.value,
        entry.key,
        entry.job,
        entry.attempt,
        entry.memo,
        "[]",
        entry.prev_hash,
        entry.hash,
    )
    conn.execute(f"{verb} INTO ledger_entry VALUES ({', '.join('?' * 12)})", row)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE ledger_entry SET memo = 'x' WHERE seq = 2",
        "UPDATE OR REPLACE ledger_entry SET key = 'genesis' WHERE seq = 2",
        "DELETE FROM ledger_entry WHERE seq = 9",
        "UPDATE ledger_leg SET amount_micro = 0",
        "DELETE FROM ledger_leg WHERE seq = 2",
        "INSERT INTO ledger_leg VALUES (2, 2, 'hub:x', 'CNY', 1)",
        "INSERT OR REPLACE INTO ledger_leg VALUES (2, 0, 'hub:x', 'CNY', 1)",
    ],
)
def test_the_database_keeps_what_was_entered(told, sql):
    with pytest.raises(sqlite3.IntegrityError, match="ledger:"):
        told.execute(sql)
    assert ledger.verify_stored(told).ok


def spoiled(**changes):
    return lambda head: msgspec.structs.replace(seal(head, grant("lab", 5, "k"), 0), **changes)


def drafted(draft):
    return lambda head: seal(head, draft, 0)


GRANT_LEGS = grant("lab", 5, "k").legs


@pytest.mark.parametrize("verb", ["INSERT", "INSERT OR REPLACE", "INSERT OR IGNORE"])
@pytest.mark.parametrize(
    ("make", "says"),
    [
        (spoiled(seq=12), "does not follow"),
        (spoiled(seq=9), "complete"),
        (spoiled(seq=9, legs=()), "taken"),
        (spoiled(prev_hash=bytes(32)), "does not follow"),
        (spoiled(ledger_id="hub-2"), "does not follow"),
        (spoiled(kind=Kind.GENESIS), "genesis comes first"),
        (spoiled(key="grant:first"), "key exists"),
        (spoiled(legs=()), "fewer than two"),
        (spoiled(legs=GRANT_LEGS[:1]), "fewer than two"),
        (spoiled(legs=(GRANT_LEGS[0], Leg("hub:x", "CNY", 6))), "sum to zero"),
        (spoiled(legs=(GRANT_LEGS[0], Leg("hub:x", "USD", 5))), "sum to zero"),
        (drafted(void(msgspec.structs.replace(OF, attempt="none"))), "no such hold"),
        (drafted(Draft(Kind.VOID, "void:x", GRANT_LEGS, 0, "hub-1-a1-1")), "hold is resolved"),
        (spoiled(hash=b"short"), "CHECK|FOREIGN KEY"),
    ],
)
def test_the_database_refuses_what_breaks_the_ledger(told, make, says, verb):
    entry = make(ledger.head(told))
    with pytest.raises(sqlite3.IntegrityError, match=says), transaction(told):
        raw(told, entry, verb)
    assert ledger.verify_stored(told).ok


@pytest.mark.parametrize(
    "legs",
    [
        void(msgspec.structs.replace(OF, amount_micro=999)).legs,
        void(msgspec.structs.replace(OF, account="other")).legs,
        void(msgspec.structs.replace(OF, commodity="USD")).legs,
        (*void(OF).legs, *void(OF).legs),
        GRANT_LEGS,
    ],
)
def test_the_database_frees_exactly_what_was_held(books, legs):
    append(books, OPEN)
    last = ledger.head(books)
    forged = Draft(Kind.VOID, f"void:{OF.attempt}", legs, 0, OF.attempt)
    says = "not exactly what was held"
    with pytest.raises(sqlite3.IntegrityError, match=says), transaction(books):
        raw(books, seal(last, forged, 0))
    with transaction(books):
        raw(books, seal(last, void(OF), 0))
    assert ledger.head(books).seq == last.seq + 1


def test_a_first_entry_must_be_a_genesis_that_follows_nothing(conn):
    with pytest.raises(sqlite3.IntegrityError, match="follows nothing"):
        raw(conn, seal(Head("h", 0, b"\1" * 32), Draft(Kind.GENESIS, "genesis", ()), 0))


def test_legs_without_an_entry_do_not_commit(books):
    books.execute("BEGIN")
    books.execute("INSERT INTO ledger_leg VALUES (2, 0, 'hub:x', 'CNY', 1)")
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        books.execute("COMMIT")
    books.execute("ROLLBACK")


def test_a_refusal_of_the_database_is_damage(books):
    books.execute("DROP TABLE ledger_balance")
    books.execute(
        "CREATE TABLE ledger_balance (account, commodity, amount_micro CHECK (0), "
        "PRIMARY KEY (account, commodity))"
    )
    with pytest.raises(DamageError, match="refused"):
        append(books, OPEN)


# Tampering by someone who owns the database: guards off, rows changed, guards back.


@pytest.fixture
def tampered(told):
    def tamper(*statements):
        told.execute("PRAGMA foreign_keys = OFF")
        for guard in LEDGER_GUARDS:
            what, name = guard.replace("UNIQUE ", "").split()[1:3]
            told.execute(f"DROP {what} {name}")
        for statement in statements:
            told.execute(statement)
        for guard in LEDGER_GUARDS:
            told.execute(guard)
        return ledger.verify_stored(told)

    return tamper


SET = {
    "version": "9",
    "ledger_id": "'hub-2'",
    "time_ms": "5",
    "kind": "'adjust'",
    "key": "'hold:q'",
    "job": "99",
    "attempt": "'q'",
    "memo": "'q'",
    "details": '\'[["a","b"]]\'',
    "prev_hash": "hash",
    "hash": "zeroblob(32)",
}


@pytest.mark.parametrize("seq", [1, 2, 6])
@pytest.mark.parametrize("column", sorted(SET))
def test_a_changed_entry_is_named(tampered, column, seq):
    report = tampered(f"UPDATE ledger_entry SET {column} = {SET[column]} WHERE seq = {seq}")  # noqa: S608
    assert (report.ok, report.bad_seq) == (False, seq)


@pytest.mark.parametrize(
    "change",
    [
        "account = 'tenant:thief:available'",
        "commodity = 'USD'",
        "amount_micro = amount_micro + 1",
        "n = 7",
        "seq = 3, n = 9",
    ],
)
def test_a_changed_leg_is_named(tampered, change):
    report = tampered(f"UPDATE ledger_leg SET {change} WHERE seq = 6 AND n = 1")  # noqa: S608
    assert report.bad_seq == (3 if "seq = 3" in change else 6)


@pytest.mark.parametrize(
    ("statements", "bad"),
    [
        (["DELETE FROM ledger_entry WHERE seq = 4"], 4),
        (["DELETE FROM ledger_entry WHERE seq = 1"], 1),
        (["DELETE FROM ledger_entry", "DELETE FROM ledger_leg"], 1),
        (["DELETE FROM ledger_leg WHERE seq = 4 AND n = 0"], 4),
        (["DELETE FROM ledger_leg WHERE seq = 4 AND n = 1"], 4),
        (
            [
                "UPDATE ledger_entry SET seq = 0 WHERE seq = 4",
                "UPDATE ledger_entry SET seq = 4 WHERE seq = 5",
                "UPDATE ledger_entry SET seq = 5 WHERE seq = 0",
            ],
            4,
        ),
        (
            [
                "UPDATE ledger_entry SET seq = seq + 1000 WHERE seq > 4",
                "UPDATE ledger_entry SET seq = seq - 999 WHERE seq > 1000",
                """INSERT INTO ledger_entry
                SELECT 5, version, ledger_id, time_ms, kind, 'grant:z', job, attempt, memo,
                details, prev_hash, hash FROM ledger_entry WHERE seq = 2""",
            ],
            5,
        ),
        (["UPDATE ledger_entry SET details = '{}' WHERE seq = 6"], 6),
        (["UPDATE ledger_entry SET details = replace(details, ',', ', ') WHERE seq = 6"], 6),
        (["UPDATE ledger_entry SET kind = 'gift' WHERE seq = 6"], 6),
        (["UPDATE ledger_entry SET memo = CAST(x'ff' AS TEXT) WHERE seq = 6"], 6),
        (["UPDATE ledger_leg SET account = CAST(x'ff' AS TEXT) WHERE seq = 6"], 6),
    ],
)
def test_removal_reorder_insertion_and_garbage_are_named(tampered, statements, bad):
    report = tampered(*statements)
    assert (report.ok, report.bad_seq) == (False, bad)


def test_a_cut_tail_is_seen_with_a_noted_head(tampered, told, story):
    report = tampered(
        "DELETE FROM ledger_entry WHERE seq = 9", "DELETE FROM ledger_leg WHERE seq = 9"
    )
    assert report.bad_seq is None
    assert "balance cache" in report.problems[0]
    assert ledger.verify_stored(told, story[-1].head).bad_seq == 9


def test_what_lies_beside_the_chain_is_checked(tampered):
    report = tampered(
        "UPDATE ledger_balance SET amount_micro = 7 WHERE account = 'provider:gz:due'",
        "INSERT INTO ledger_balance VALUES ('tenant:thief:available', 'CNY', 5)",
        "INSERT INTO ledger_leg VALUES (99, 0, 'hub:x', 'CNY', 5)",
    )
    assert report.bad_seq is None
    assert report.problems == (
        "there are legs of an entry 99 that does not exist",
        "the balance cache of provider:gz:due says 7 micro-CNY, the entries 1519000",
        "the balance cache of tenant:thief:available says 5 micro-CNY, the entries 0",
    )


def test_a_guard_that_is_gone_or_altered_is_a_problem(told):
    told.execute("DROP TRIGGER ledger_entry_no_delete")
    told.execute("DROP TRIGGER ledger_leg_no_delete")
    told.execute(
        "CREATE TRIGGER ledger_leg_no_delete BEFORE DELETE ON ledger_leg BEGIN SELECT 1; END"
    )
    problems = ledger.verify_stored(told).problems
    assert len(problems) == 2
    assert "ledger_entry_no_delete" in problems[0]
    assert "ledger_leg_no_delete" in problems[1]


def test_a_repeated_key_is_a_problem_even_under_a_right_chain(sealed):
    drafts = [grant("lab", 5, "a"), grant("lab", 6, "b"), grant("lab", 5, "a")]
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as lax:
        for statement in LEDGER_DDL[:3]:
            lax.execute(statement.replace(" UNIQUE", ""))
        for entry in sealed(drafts):
            raw(lax, entry)
        report = ledger.verify_stored(lax)
    assert report.bad_seq is None
    assert "entry 4 repeats the key 'grant:a'" in report.problems


def test_reading_a_damaged_row_is_damage(tampered, told):
    tampered("UPDATE ledger_entry SET kind = 'gift' WHERE seq = 3")
    with pytest.raises(DamageError, match="entry 3 is of the unknown kind"):
        list(ledger.entries(told))
    with pytest.raises(DamageError, match="entry 3 is of the unknown kind"):
        ledger.open_hold(told, "hub-1-a1-1")
