"""Each rule of the judge can fail: what would break it is done to the rows, and it complains."""

import json
from random import Random

import pytest

from fenglin.model.site import Flavor, Node, Site
from fenglin.model.states import ComputeClass
from fenglin.quantities.period import Period
from fenglin.quantities.resources import Resources
from fenglin.storage import loads
from fenglin.testing.dst.books import OFFSET_MIN
from fenglin.testing.dst.disk import Disk
from fenglin.testing.dst.judge import Judge
from fenglin.testing.dst.line import Weather
from fenglin.testing.dst.site import Run
from fenglin.testing.dst.trace import Trace
from fenglin.testing.dst.vault import Safe
from fenglin.testing.dst.virtual import Process

SITE = Site(
    "alpha",
    "p",
    "dst",
    flavors=(Flavor("std", ComputeClass.GENERAL, Resources(4_000)),),
    nodes=(Node("n0", "std"),),
)
JOB = (
    "INSERT INTO job (number, name, queue, account, priority, tasks, actor, submitted_ms,"
    " pending_set, spec) VALUES (1, 'x', 'q', 'a', 0, 2, 'u', 1, '0-1', ?)"
)
SHARES = b'[{"node":"n0","slots":1}]'
ALLOCATION = (
    "INSERT INTO allocation VALUES (1, 1, 'alpha', 'std', ?, CAST('{}' AS BLOB), 1, '0',"
    " CAST('{}' AS BLOB), 1000, 1, 1, 0, 1, 'intent', '', 1, '', '', 0, 0, 0, 0, 0, 0, 0, 0, '')"
)
ASIDE = "INSERT INTO quarantine VALUES (1, 'plan', 'x', 'running', '', '', 1, 1)"
USE = (
    "INSERT INTO voucher_event VALUES (1, 'p', 'v', 'use', 1, 'post:x',"
    " CAST('{\"time_ms\":9}' AS BLOB), 'hub')"
)
VOUCHER = (
    "INSERT INTO voucher_pool VALUES ('p', x'7b7d', 'ada', 1)",
    (
        "INSERT INTO voucher (number, pool, voucher, account, commodity, firm, seller, contract,"
        " granted_micro, valid_to_ms, left_micro, used_micro, clawed_micro, revoked_micro,"
        " approved) VALUES (1, 'p', 'v', 'a', 'CNY', 'f', 's', 'c', 5, 9, 5, 0, 0, 0, 0)"
    ),
)
SPEC = b'{"name":"x","tasks":2,"command":["true"]}'


@pytest.fixture
def disk():
    made = Disk(Random(1), "hub")
    loads.take_over(made.conn, [SITE])
    yield made
    made.conn.close()


@pytest.fixture
def judge(disk):
    made = Judge(disk, "hub", lambda: 0.0, Trace(lambda: 0.0))
    disk.conn.execute(JOB, (SPEC,))
    disk.conn.execute("UPDATE job SET pending_set = '1', version = 1, state = 'running'")
    disk.conn.execute(ALLOCATION, (SHARES,))
    made.committed(Process("hub1"))
    assert made.broken is None
    return made


def run(key="hub-a1-1", task=0):
    return Run("j1", task, key, "alpha", 0.0)


@pytest.mark.parametrize(
    ("rule", "statements"),
    [
        ("J1", ["DELETE FROM job"]),
        ("J3", ["UPDATE job SET pending_set = '', version = 2"]),
        ("J3", ["UPDATE job SET pending_set = '0-1', version = 2"]),
        (
            "J5",
            [
                "UPDATE job SET version = 2, state = 'cancelling'",
                "UPDATE job SET version = 3, state = 'held'",
            ],
        ),
        ("J5", ["UPDATE job SET version = 3"]),
        (
            "J5",
            [
                "UPDATE allocation SET state = 'stopping'",
                "UPDATE allocation SET state = 'unknown'",
            ],
        ),
        (
            "J6",
            [
                "UPDATE job SET version = 2, cancelling = 1",
                "UPDATE job SET version = 3, cancelling = 0",
            ],
        ),
        ("J8", ["INSERT INTO task_try VALUES (1, 0, 7, '', 1, 1)"]),
        (
            "A1",
            ["DROP TRIGGER node_capacity", "UPDATE node SET cpu_used_milli = 5000"],
        ),
        ("F1", ["UPDATE allocation SET epoch = 0"]),
        ("F3", ["UPDATE meta SET value = '1' WHERE name = 'epoch'"]),
        ("J9", [ASIDE]),
        (
            "J9",
            [
                ASIDE,
                "UPDATE job SET version = 2, state = 'held', reason = 'quarantined'",
                "DELETE FROM quarantine",
                "UPDATE job SET version = 3, state = 'pending', reason = ''",
            ],
        ),
        ("V2", [*VOUCHER, "UPDATE voucher SET used_micro = 1, left_micro = 4"]),
        ("V2", [*VOUCHER, "UPDATE voucher SET granted_micro = 6"]),
        (
            "V2",
            [
                *VOUCHER,
                USE,
            ],
        ),
        ("M6", ["INSERT INTO usage VALUES ('k', 1, 1, 's', 'f', 1, -1, 0, 0, 0, 0, 0, 0)"]),
    ],
)
def test_a_row_that_breaks_a_rule_is_seen(judge, disk, rule, statements):
    for statement in statements:
        disk.conn.execute(statement)
    disk.conn.execute("INSERT OR IGNORE INTO dst_touched SELECT 'job', number FROM job")
    judge.committed(Process("hub1"))

    assert judge.broken is not None
    assert judge.broken.rule == rule


def test_a_change_that_is_rolled_back_is_no_violation(judge, disk):
    disk.conn.execute("BEGIN")
    disk.conn.execute("DELETE FROM job")
    disk.conn.execute("ROLLBACK")
    judge.committed(Process("hub1"))

    assert judge.broken is None


def test_a_recount_finds_use_that_nobody_holds(judge, disk):
    disk.conn.execute("UPDATE node SET cpu_used_milli = 1000")
    judge.recount()

    assert judge.broken.rule == "A3"


def test_a_task_that_meets_itself_is_seen(judge):
    judge.began(run(), 1)
    judge.began(run("hub-a2-1"), 1)

    assert judge.broken.rule == "J3"


def test_a_task_that_runs_after_its_end_is_none_that_meets_itself(judge):
    first = run()
    judge.began(first, 1)
    judge.ended(first)
    judge.began(run("hub-a2-1"), 1)

    assert judge.broken is None


def test_a_key_that_runs_twice_is_seen(judge):
    judge.began(run(), 2)

    assert judge.broken.rule == "D1"


def test_a_payload_of_nobody_is_seen(judge):
    judge.began(Run("j7", 0, "hub-a7-1", "alpha", 0.0), 1)

    assert judge.broken.rule == "J1"


def test_a_hub_that_decides_before_it_has_looked_is_seen(judge):
    judge.sites = ("alpha",)
    judge.called("hub1", "alpha", "start", "hub-a1-1")

    assert judge.broken.rule == "F2"


def test_weather_that_clears_is_fair():
    weather = Weather(latency_s=3, cut=True, repeat=0.5)
    assert not weather.fair
    weather.clear()
    assert weather.fair


def test_what_is_ill_may_be_set_aside_and_let_go_as_it_stood(judge, disk):
    judge.ill.add(1)
    for statement in (
        ASIDE,
        "UPDATE job SET version = 2, state = 'held', reason = 'quarantined'",
        "DELETE FROM quarantine",
        "UPDATE job SET version = 3, state = 'running', reason = ''",
    ):
        disk.conn.execute(statement)
        judge.committed(Process("hub1"))

    assert judge.broken is None


def enter(disk, seq, time_ms, kind, key, legs=()):
    """Enter what the ledger's own guards would refuse."""
    guards = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name LIKE 'ledger%'"
    for (name,) in disk.conn.execute(guards).fetchall():
        disk.conn.execute(f"DROP TRIGGER {name}")
    disk.conn.execute(
        "INSERT INTO ledger_entry VALUES (?, 1, 'l', ?, ?, ?, 1, 'x', '', '[]', ?, ?)",
        (seq, time_ms, kind, key, bytes(32), bytes(32)),
    )
    disk.conn.executemany(
        "INSERT INTO ledger_leg VALUES (?, ?, ?, ?, ?)",
        [(seq, at, *leg) for at, leg in enumerate(legs)],
    )


@pytest.mark.parametrize(
    ("rule", "legs"),
    [
        ("A4", [("tenant:a:available", "CORE-HOUR", -1), ("tenant:a:held", "CORE-HOUR", 1)]),
        ("A4", [("tenant:a:available", "CNY", -6), ("tenant:a:held", "CNY", 6)]),
        ("V1", [("voucher:p:budget", "CNY", -1), ("voucher:p:reserved", "CNY", 1)]),
    ],
)
def test_an_entry_beyond_what_is_there_is_seen(judge, disk, rule, legs):
    judge.credit_micro["a"] = 10
    judge.hard_micro["a"] = 5
    kind = "voucher" if rule == "V1" else "hold"
    enter(disk, 1, 1, kind, "k", legs)
    judge.committed(Process("hub1"))

    assert judge.broken.rule == rule


@pytest.mark.parametrize(("lent", "hard", "rule"), [(5, 5, None), (4, 9, "A4"), (9, 4, "A4")])
def test_hours_have_limits_and_budgets_of_their_own(judge, disk, lent, hard, rule):
    judge.credit_micro = {"a": 0, "a:CORE-HOUR": lent}
    judge.hard_micro = {"a": 0, "a:CORE-HOUR": hard}
    legs = [("tenant:a:available", "CORE-HOUR", -5), ("tenant:a:held", "CORE-HOUR", 5)]
    enter(disk, 1, 1, "hold", "hold:x", legs)
    judge.committed(Process("hub1"))

    assert (judge.broken and judge.broken.rule) == rule


@pytest.mark.parametrize(("late_ms", "rule"), [(-1, "L10"), (0, None)])
def test_an_entry_into_a_closed_month_is_seen(judge, disk, late_ms, rule):
    month = Period(2025, 10, OFFSET_MIN)
    enter(disk, 1, month.to_ms + 5, "close", "close:2025-10")
    enter(disk, 2, month.to_ms + late_ms, "deposit", "deposit:1")
    judge.committed(Process("hub1"))

    assert (judge.broken and judge.broken.rule) == rule


@pytest.mark.parametrize(("hold_ms", "rule"), [(-1, "A4"), (0, None)])
def test_a_budget_is_of_its_month(judge, disk, hold_ms, rule):
    turn_ms = Period(2025, 10, OFFSET_MIN).to_ms
    judge.credit_micro["a"] = 100
    judge.hard_micro["a"] = 5
    judge.open_holds.add("x")
    used = [("tenant:a:available", "CNY", -3), ("provider:p:due", "CNY", 3)]
    held = [("tenant:a:available", "CNY", -3), ("tenant:a:held", "CNY", 3)]
    enter(disk, 1, turn_ms - 2, "post", "post:x", used)
    enter(disk, 2, turn_ms + hold_ms, "hold", "hold:x", held)
    judge.committed(Process("hub1"))

    assert (judge.broken and judge.broken.rule) == rule


@pytest.mark.parametrize("odd", ["", "\"'", "\\", "\n", "\u00e9"])
def test_a_secret_is_found_however_it_is_written(odd):
    safe = Safe("sesame0123", bytes(32), [], Random(1))
    value = f"{odd}{safe.core}{odd}"
    written = (value, repr({"a": value}), json.dumps([value]), value.encode().hex().upper())

    assert all(safe.shows(f"it says {one}.") for one in written)
    assert safe.shows(value.encode())
    assert not safe.shows("***")
