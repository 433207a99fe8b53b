"""The quick way over a database's rows gives the verdict of the plain one, whatever was done."""

import importlib.util
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from fenglin.ledger.quick import QuickVerifier
from fenglin.ledger.seals import Seals
from fenglin.ledger.verify import verify
from fenglin.storage import ledger_verify
from fenglin.storage.ledger_rows import COLUMNS, MOST_SEQ, behind, items, rows_between
from fenglin.storage.ledger_schema import LEDGER_DDL

_SPEC = importlib.util.spec_from_file_location("tampers", Path(__file__).parent / "test_tamper.py")
tampers = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(tampers)

INSERT = f"INSERT INTO ledger_entry ({COLUMNS}) VALUES ({', '.join('?' * 12)})"  # noqa: S608
CASES = range(25)


def stored(conn, entries):
    """Write entries as they are, into tables without any guard."""
    for statement in LEDGER_DDL[:3]:
        conn.execute(statement.replace(" UNIQUE", "").replace("REFERENCES ledger_entry (seq)", ""))
    for one in entries:
        conn.execute(
            INSERT,
            (
                one.version, one.ledger_id, one.seq, one.time_ms, one.kind.value, one.key, one.job,
                one.attempt, one.memo, msgspec.json.encode(one.details).decode(), one.prev_hash,
                one.hash,
            ),
        )  # fmt: skip
        for n, leg in enumerate(one.legs):
            conn.execute(
                "INSERT INTO ledger_leg VALUES (?, ?, ?, ?, ?)",
                (one.seq, n, leg.account, leg.commodity, leg.amount_micro),
            )


def both(conn, kept=(), anchor=None):
    """Return the quick verdict and the plain one."""
    quick = ledger_verify.verify_stored(conn, anchor, Seals(kept))
    plain = verify(items(conn, 0, None, 1000), anchor, Seals(kept))
    return msgspec.structs.replace(quick, problems=()), plain


@pytest.fixture
def conn():
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as conn:
        yield conn


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("cheat", [None, tampers.change, tampers.delete, tampers.splice])
def test_tampered_entries(conn, cheat, case):
    rng = random.Random(case)
    entries = tampers.story(rng)
    kept = [tampers.checkpoint(entries, size) for size in (5, 20, 40)]
    shown, bad = cheat(rng, entries) if cheat else (entries, None)
    stored(conn, {one.seq: one for one in shown}.values())
    quick, plain = both(conn, kept, entries[30].head if case % 2 else None)
    assert quick == plain
    if cheat in {None, tampers.delete}:
        assert quick.bad_seq == bad


@pytest.mark.parametrize("case", CASES)
def test_a_ledger_made_anew(conn, case):
    """The hashes are right, so all that the kinds ask of the entries must be asked."""
    rng = random.Random(case)
    entries = tampers.story(rng)
    kept = [tampers.checkpoint(entries, 10)] if case % 2 else []
    at = rng.randrange(1, len(entries))
    one = entries[at]
    legs = list(one.legs)
    n = rng.randrange(len(legs))
    changed = [
        {"account": rng.choice(["tenant:lab:available", "tenant:ann:held", "provider:x:due"])},
        {"amount_micro": -legs[n].amount_micro or 7},
        {"commodity": "USD"},
    ]
    legs[n] = msgspec.structs.replace(legs[n], **rng.choice(changed))
    if rng.random() < 0.3:
        legs.reverse()
    bent = rng.choice([
        {"legs": tuple(legs)},
        {"key": one.key + "x"},
        {"attempt": "hub-1-a1-1"},
        {"kind": rng.choice(list(type(one.kind)))},
        {"legs": one.legs[:1]},
        {"legs": (*one.legs, *one.legs)},
    ])  # fmt: skip
    anew = [*entries[:at], msgspec.structs.replace(one, **bent), *entries[at + 1 :]]
    stored(conn, tampers.resealed(anew, at))
    quick, plain = both(conn, kept)
    assert quick == plain


ROWS = [
    "UPDATE ledger_leg SET n = 5 - n WHERE seq = {seq}",
    "UPDATE ledger_leg SET n = n + 5 WHERE seq = {seq} AND n = 1",
    "DELETE FROM ledger_leg WHERE seq = {seq} AND n = 1",
    "INSERT INTO ledger_leg VALUES ({seq}, 3, 'hub:fee', 'CNY', 0)",
    "INSERT INTO ledger_leg VALUES ({seq}, 9, 'hub:fee', 'CNY', 0)",
    "UPDATE ledger_entry SET details = ' []' WHERE seq = {seq}",
    "UPDATE ledger_entry SET details = '[[\"a\"' WHERE seq = {seq}",
    "UPDATE ledger_entry SET kind = 'gift' WHERE seq = {seq}",
    "UPDATE ledger_entry SET version = 2 WHERE seq = {seq}",
    "UPDATE ledger_entry SET ledger_id = 'other' WHERE seq = {seq}",
    "UPDATE ledger_entry SET memo = CAST(x'ff' AS TEXT) WHERE seq = {seq}",
    "UPDATE ledger_leg SET account = CAST(x'ff' AS TEXT) WHERE seq = {seq}",
    "UPDATE ledger_entry SET seq = 900 WHERE seq = {seq}",
]


@pytest.mark.parametrize("seq", range(2, 9))
@pytest.mark.parametrize("how", ROWS)
def test_rows_that_are_wrong(conn, how, seq):
    stored(conn, tampers.story(random.Random(seq)))
    conn.execute(how.format(seq=seq))
    quick, plain = both(conn)
    assert quick == plain
    assert quick.bad_seq == seq


def test_usual_entries_are_not_read_whole(conn):
    """Otherwise the quick way would be none."""
    entries = tampers.story(random.Random(3))
    stored(conn, entries)
    read = []

    def reader(after):
        item = behind(conn, after)
        read.append(item.kind)
        return item

    verifier = QuickVerifier(reader)
    assert verifier.feed_rows(rows_between(conn, 0, MOST_SEQ))
    assert set(read) == {"genesis", "grant", "deposit"}
    assert verifier.report() == verify(entries)
