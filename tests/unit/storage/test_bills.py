"""Bills from the store: proven without it, and unchanged by whatever comes later."""

import msgspec
import pytest

from fenglin.errors import NotFoundError
from fenglin.ledger.moves import deposit
from fenglin.ledger.note import new_key
from fenglin.ledger.posting import Hold, Terms, charge, grant, hold, post
from fenglin.ledger.proof import check_proof, read_proof
from fenglin.model.hours import CORE_HOUR
from fenglin.quantities.period import Period
from fenglin.storage import books, ledger, ledger_tree
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


def test_hours_have_totals_of_their_own_and_come_too_late_for_a_past_month(conn):
    of = Hold("a2", "lab", CORE_HOUR, 3_000_000, 8)
    used = [charge("core_hour", 2, 1, 1_000_000)]
    enter(
        conn,
        NOVEMBER.from_ms + 5,
        grant("lab", 10_000_000, "quota", commodity=CORE_HOUR),
        hold("lab", of.amount_micro, "a2", job=8, commodity=CORE_HOUR),
        post(of, "gz", used, Terms("west")),
    )
    seal(conn)
    made = bill(conn)
    (hours,) = made.hours
    assert (hours.kind, hours.granted_micro, hours.charged_micro) == (
        CORE_HOUR, 10_000_000, 2_000_000,
    )  # fmt: skip
    assert hours.closing.total_micro == 8_000_000
    assert [(one.item, one.amount_micro) for one in hours.items] == [("core_hour", 2_000_000)]
    # Money as it was without them.
    assert made.charged_micro == sum(one.amount_micro for one in CHARGES)
    assert [one.item for one in made.items] == ["core-hour"]
    told = books.statement(conn, "lab", 0, NOVEMBER.to_ms)
    (kind,) = told.hours
    assert (kind.charged_micro, kind.closing_micro) == (2_000_000, 8_000_000)
    assert [line.amount_micro for line in kind.lines] == [2_000_000]
    assert [line.item for line in told.lines] == ["core-hour"]
    # Another kind in December changes nothing of November.
    enter(conn, DECEMBER.from_ms, grant("lab", 1, "cards", commodity="CARD.A100-80"))
    seal(conn)
    assert msgspec.json.encode(bill(conn)) == msgspec.json.encode(made)
    assert [one.kind for one in bill(conn, DECEMBER).hours] == ["CARD.A100-80", CORE_HOUR]
