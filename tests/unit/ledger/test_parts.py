"""A ledger that is verified in parts is found right exactly where it is right as a whole."""

import importlib.util
import itertools
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fenglin.ledger import parts as rules
from fenglin.ledger.entry import ZERO_HASH
from fenglin.ledger.parts import Part, PartVerifier, Start, join
from fenglin.ledger.seals import Seals
from fenglin.ledger.verify import verify
from fenglin.storage import ledger, ledger_parts
from fenglin.storage.ledger_rows import behind, rows_between
from fenglin.storage.schema import connect


def _module(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f"test_{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


quick = _module("quick")
tampers = quick.tampers
LEVEL = 3


@pytest.fixture
def conn():
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as conn:
        yield conn


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(rules, "BLOCK_LEVEL", LEVEL)
    monkeypatch.setattr(rules, "BLOCK", 1 << LEVEL)


def found(conn, entries, cuts, kept=(), anchor=None):
    """Return what joining the parts between cuts gives."""
    made: list[Part] = []
    edges = [0, *cuts, entries[-1].seq]
    for after, last in itertools.pairwise(edges):
        start = Start("", 0, ZERO_HASH, 0)
        if after:
            before = entries[after - 1]
            start = Start(before.ledger_id, before.seq, before.hash, before.time_ms)
        sizes = [one.size for one in kept]
        verifier = PartVerifier(lambda after: behind(conn, after), start, anchor, sizes)
        verifier.feed_rows(rows_between(conn, after, last))
        part = verifier.part()
        if part is None:
            return None
        made.append(part)
    return join(made, entries[-1].seq, kept, anchor)


@pytest.mark.parametrize("case", range(40))
def test_an_honest_ledger_is_right_wherever_it_is_cut(conn, case):
    rng = random.Random(case)
    entries = tampers.story(rng)
    kept = [tampers.checkpoint(entries, size) for size in rng.sample(range(1, len(entries)), 4)]
    quick.stored(conn, entries)
    blocks = range(1 << LEVEL, len(entries), 1 << LEVEL)
    cuts = sorted(rng.sample(blocks, min(len(blocks), rng.randrange(1, 4))))
    anchor = rng.choice(entries).head if case % 2 else None
    report = found(conn, entries, cuts, kept, anchor)
    assert report == verify(entries, anchor, Seals(kept))
    assert report.ok
    assert report.sealed == max(one.size for one in kept)


@pytest.mark.parametrize("case", range(25))
@pytest.mark.parametrize("cheat", [tampers.change, tampers.delete, tampers.splice])
def test_what_was_tampered_with_is_never_right(conn, cheat, case):
    rng = random.Random(case)
    entries, _ = cheat(rng, tampers.story(rng))
    quick.stored(conn, {one.seq: one for one in entries}.values())
    whole_one = verify(entries)
    for cut in range(8, len(entries), 8):
        joined = found(conn, entries, [cut])
        assert joined == (whole_one if whole_one.ok else None)


@pytest.mark.parametrize("case", range(40))
def test_a_ledger_made_anew_breaks_the_same_rules_in_parts(conn, case):
    rng = random.Random(case)
    entries = tampers.story(rng)
    at = rng.randrange(1, len(entries))
    wrong = [{"kind": kind} for kind in type(entries[0].kind)]
    wrong += [{"attempt": entries[n].attempt} for n in range(5, len(entries), 9)]
    bent = tampers.msgspec.structs.replace(entries[at], **rng.choice(wrong))
    anew = list(tampers.resealed([*entries[:at], bent, *entries[at + 1 :]], at))
    quick.stored(conn, anew)
    whole_one = verify(anew)
    for cut in (8, 24, 40):
        assert found(conn, anew, [cut]) == (whole_one if whole_one.ok else None)


def test_a_checkpoint_that_does_not_fit_or_lies_beyond_is_not_passed(conn):
    entries = tampers.story(random.Random(5))
    other = tampers.story(random.Random(6))
    quick.stored(conn, entries)
    assert found(conn, entries, [16], [tampers.checkpoint(entries, 20)]).sealed == 20
    assert found(conn, entries, [16], [tampers.checkpoint(other, 20)]) is None
    assert found(conn, entries[:-1], [16], [tampers.checkpoint(entries, len(entries))]) is None
    assert found(conn, entries[:-1], [16], (), entries[-1].head) is None


@pytest.mark.parametrize(
    ("last", "cores", "count"), [(99_999, 8, 1), (100_000, 2, 2), (10**6, 4, 4), (10**7, 99, 8)]
)
def test_parts_follow_each_other_and_none_is_empty(last, cores, count):
    spans = ledger_parts.spans(last, cores)
    assert len(spans) == count
    assert [before[1] for before in spans[:-1]] == [after[0] for after in spans[1:]]
    assert (spans[0][0], spans[-1][1]) == (0, last)
    assert all(after < until and after % ledger_parts.BLOCK == 0 for after, until in spans)


def test_processes_share_a_ledger_in_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger_parts, "spans", lambda last, _cores: [(0, 32), (32, last)])
    entries = tampers.story(random.Random(7))
    with closing(connect(tmp_path / "hub.db")) as conn:
        for statement in ledger.LEDGER_DDL:
            conn.execute(statement)
        conn.execute("BEGIN IMMEDIATE")
        ledger.found(conn, entries[0].ledger_id, entries[0].time_ms)
        for one in entries[1:]:
            ledger.append(conn, one.ledger_id, one.time_ms, [one.draft])
        conn.execute("COMMIT")
        kept = Seals([])
        assert ledger_parts.verify_in_parts(conn, None, kept, 2) == verify(entries)
        assert ledger.verify_stored(conn, cores=2).ok
        conn.execute("DROP TRIGGER ledger_leg_no_update")
        conn.execute("UPDATE ledger_leg SET amount_micro = amount_micro + 1 WHERE seq = 40")
        assert ledger_parts.verify_in_parts(conn, None, kept, 2) is None
        report = ledger.verify_stored(conn, cores=2)
        assert report.bad_seq == 40
        assert report == ledger.verify_stored(conn)


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_a_repeated_key_lies_in_exactly_one_range(conn, count):
    entries = tampers.story(random.Random(count))
    quick.stored(conn, entries)
    ranges = ledger_parts.key_ranges(conn, len(entries), count)
    assert len(ranges) == count
    assert [ledger_parts.repeated_key(conn, keys) for keys in ranges] == [None] * count
    columns = quick.COLUMNS.replace("seq", "seq + 1000")
    for again in entries:
        conn.execute(
            f"INSERT INTO ledger_entry ({quick.COLUMNS})"  # noqa: S608
            f" SELECT {columns} FROM ledger_entry WHERE seq = ?",
            (again.seq,),
        )
        found = [ledger_parts.repeated_key(conn, keys) for keys in ranges]
        assert [one for one in found if one] == [(again.seq + 1000, again.key)]
        conn.execute("DELETE FROM ledger_entry WHERE seq > 1000")
