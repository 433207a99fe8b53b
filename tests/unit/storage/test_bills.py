"""Bills from the store: proven without it, and unchanged by whatever comes later."""

import msgspec
import pytest

from fenglin.errors import NotFoundError
from fenglin.ledger.moves import deposit
from fenglin.ledger.note import new_key
from fenglin.ledger.posting import Hold, Terms, charge, grant, hold, post
from fenglin.ledger.proof import check_proof, read_proof
from fenglin.quantities.period import Period
from fenglin.storage import ledger, ledger_tree
from fenglin.storage.bills import read_bill
from fenglin.storage.schema import connect, ensure_schema

KEY = new_key("hub.test", bytes(32))
NOVEMBER = Period(2026, 11)
DECEMBER = NOVEMBER.next()
OF = Hold("a1", "lab", "CNY", 5_000_000, 7)
CHARGES = [charge("core-hour", 7_200_000, 3_600_000, 80_000)]


@pytest.fixture
def conn(tmp_path):
    path = tmp_path / "hub.db"
    conn = connect(path)
    ensure_schema(conn, path)
    enter(conn, NOVEMBER.from_ms - 10, grant("lab", 9_000_000, "before"), grant("ann", 1, "ann"))
    enter(
        conn,
        NOVEMBER.from_ms,
        hold("lab", OF.amount_micro, "a1", job=7),
        post(OF, "gz", CHARGES, Terms("west")),
    )
    yield conn
    conn.close()


def enter(conn, time_ms, *drafts):
    conn.execute("BEGIN IMMEDIATE")
    ledger.found(conn, "hub", time_ms)
    ledger.append(conn, "hub", time_ms, drafts)
    conn.execute("COMMIT")


def seal(conn):
    conn.execute("BEGIN IMMEDIATE")
    ledger_tree.check_point(conn, "hub.test", KEY, 10)
    conn.execute("COMMIT")


def bill(conn, period=NOVEMBER, account="lab"):
    return read_bill(conn, KEY.public, account, period, final=True)


def test_a_bill_waits_for_the_checkpoint_that_covers_it(conn):
    assert bill(conn) is None
    seal(conn)
    assert bill(conn) is not None


def test_a_bill_foots_and_its_proof_holds_without_the_store(conn):
    seal(conn)
    made = bill(conn)
    assert made.opening.total_micro == 9_000_000
    assert made.charged_micro == 160_000
    assert made.closing.total_micro == 9_000_000 - 160_000
    assert [entry.seq for entry in made.entries] == [4, 5]
    report = check_proof(read_proof(msgspec.json.encode(made.proof)), KEY.public)
    assert [entry.seq for entry in report.entries] == [4, 5]
    assert [entry.hash.hex() for entry in report.entries] == [entry.hash for entry in made.entries]


def test_a_past_bill_is_the_same_bytes_whatever_comes_later(conn):
    seal(conn)
    before = msgspec.json.encode(bill(conn))
    conn.execute("BEGIN IMMEDIATE")
    ledger_tree.add_cosignature(conn, 5, "witness", "— witness x\n")
    conn.execute("COMMIT")
    for step in range(3):
        enter(conn, DECEMBER.from_ms + step, deposit("lab", 5, f"d{step}"))
        seal(conn)
        assert msgspec.json.encode(bill(conn)) == before
    assert bill(conn, DECEMBER).opening == bill(conn).closing


def test_a_quiet_month_has_a_bill_without_a_proof(conn):
    made = bill(conn, DECEMBER)
    assert made.proof is None
    assert made.opening == made.closing
    assert made.entries == ()


def test_nobody_has_no_bill(conn):
    with pytest.raises(NotFoundError, match="no account 'bob'"):
        bill(conn, account="bob")
