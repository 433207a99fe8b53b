"""The row `ledger`: a million usage records entered, verified, proven; beside beancount.

Usage is entered as a hub does it: an attempt's hold, later the posting that resolves it, in
batches, durably, with every check of the program and of the database. Beancount loads and checks
a part of the same ledger as we export it, and its balances are compared with ours to the
millionth. Each time is given as the process's own CPU beside the clock, because this machine may
have other work.
"""

from __future__ import annotations

import resource
import tempfile
import time
from contextlib import closing
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bench.figures import Figure, Ratio, Row
from fenglin.bootstrap.calm import calm_interpreter
from fenglin.ledger import tree
from fenglin.ledger.beancount import account_name, beancount
from fenglin.ledger.posting import Hold, Terms, charge, grant, hold, post
from fenglin.ledger.verify import balances, verify
from fenglin.storage import ledger, ledger_parts, ledger_tree, monthly
from fenglin.storage.ledger_schema import LEDGER_DDL
from fenglin.storage.migrations import STEPS
from fenglin.storage.schema import SCHEMA, connect

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from bench.effort import Effort
    from fenglin.ledger.entry import Draft, Entry

T = TypeVar("T")
FULL_RECORDS = 1_000_000
TENANTS = 1_000
BATCH = 20_000
BEANCOUNT_ENTRIES = 50_000
PROOFS = 100
# A usage record is a hold of two legs and a posting of three.
FULL_LEGS = 10_000_000
LEGS = 5
ID = "bench"


def run(effort: Effort) -> Row:
    """Measure the row once: it is long, and the same each time."""
    scale = 1.0 if effort.scale >= 1.0 else effort.scale / 10
    records = int(FULL_RECORDS * scale) if effort.peers else 2_000
    # The collector passes over what stays in a hub; it is a seventh of the work otherwise.
    calm_interpreter()
    row = Row("ledger", f"Ledger: {records:,} usage records of {TENANTS:,} tenants", rounds=1)
    whole = records >= FULL_RECORDS
    with tempfile.TemporaryDirectory(prefix="fenglin-bench-") as folder:
        with closing(connect(Path(folder, "hub.db"))) as conn:
            for statement in (*SCHEMA, *(one for step in STEPS for one in step)):
                conn.execute(statement)
            _enter(row, conn, records, whole=whole)
            _verify(row, conn, whole=whole)
            _prove(row, conn)
            part = list(islice(ledger.entries(conn), BEANCOUNT_ENTRIES))
        _month(row, Path(folder, "month.db"), records * FULL_LEGS // FULL_RECORDS // LEGS)
        if effort.peers:
            _beancount(row, part, Path(folder, "ledger.beancount"))
    return row


def timed(work: Callable[[], T]) -> tuple[T, float, float]:
    """Return what the work gives, its seconds by the clock and its seconds of CPU.

    The CPU of processes that it started and that have ended counts too.
    """
    begun, cpu = time.perf_counter(), _cpu_s()
    result = work()
    return result, time.perf_counter() - begun, _cpu_s() - cpu


def _cpu_s() -> float:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def _enter(row: Row, conn: sqlite3.Connection, records: int, *, whole: bool) -> None:
    """Enter holds and postings, a batch of one after a batch of the other, and time each."""
    conn.execute("BEGIN IMMEDIATE")
    ledger.found(conn, ID, 0)
    opening = [grant(_tenant(n), 10**12, f"g{n}") for n in range(TENANTS)]
    ledger.append(conn, ID, 0, opening)
    conn.execute("COMMIT")
    spent = {"holds": [0.0, 0.0], "postings": [0.0, 0.0]}
    for start in range(0, records, BATCH):
        numbers = range(start, min(records, start + BATCH))
        holds = [_hold(n) for n in numbers]
        batches = {
            "holds": [hold(of.account, of.amount_micro, of.attempt, job=of.job) for of in holds],
            "postings": [_posting(of, n) for n, of in zip(numbers, holds, strict=True)],
        }
        for name, drafts in batches.items():

            def enter() -> None:
                conn.execute("BEGIN IMMEDIATE")
                ledger.append(conn, ID, 1_000 + start, drafts)  # noqa: B023 - called at once
                conn.execute("COMMIT")

            _, wall_s, cpu_s = timed(enter)
            spent[name][0] += wall_s
            spent[name][1] += cpu_s
    for name, (wall_s, cpu_s) in spent.items():
        goal = 60.0 if whole and name == "postings" else None
        _tell(row, f"Fenglin, enter {records:,} {name}", wall_s, cpu_s, goal)


def _tell(row: Row, name: str, wall_s: float, cpu_s: float, goal: float | None = None) -> None:
    row.figures += [
        Figure(name, "s", [wall_s], ours=True, goal=goal, at_most=True, digits=1),
        Figure(f"{name}, CPU", "s", [cpu_s], ours=True, digits=1),
    ]


def _verify(row: Row, conn: sqlite3.Connection, *, whole: bool) -> None:
    """Verify the stored ledger: chain, rules, keys, legs, balances, guards."""
    here = ledger_parts.cores_here()
    for cores in sorted({1, here}):
        conn.execute("BEGIN")
        report, wall_s, cpu_s = timed(lambda: ledger.verify_stored(conn, cores=cores))  # noqa: B023 - called at once
        conn.execute("ROLLBACK")
        if not report.ok:
            raise AssertionError(report)
        per = 1e6 / report.entries
        name = f"Fenglin, verify {report.entries:,} entries, {cores} core(s)"
        _tell(row, name, wall_s, cpu_s)
        row.figures.append(
            Figure(f"{name}, a million", "s", [wall_s * per], ours=True, digits=1,
                   goal=5.0 if whole and cores == here else None, at_most=True)
        )  # fmt: skip


def _month(row: Row, path: Path, records: int) -> None:
    """Work out every tenant's month from legs that are laid down without their hashes."""
    with closing(connect(path)) as conn:
        for statement in LEDGER_DDL[:3]:
            conn.execute(statement)
        conn.execute("BEGIN IMMEDIATE")
        for statement in _RAW:
            conn.execute(statement, (records,))
        conn.execute("COMMIT")
        month, wall_s, cpu_s = timed(lambda: monthly.totals(conn, 1_000, 10**12))
    charged = sum(one.charged_micro for one in month.values())
    if charged != 700_000 * records or len(month) != min(records, TENANTS):
        raise AssertionError(charged)
    full = records * LEGS >= FULL_LEGS
    name = f"Fenglin, the month of {len(month):,} tenants over {records * LEGS:,} legs"
    _tell(row, name, wall_s, cpu_s, 30.0 if full else None)


# Holds have odd numbers, postings even ones; the deferred reference wants entries in the end.
_COUNT = "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?)"
_ENTRY = (
    f"{_COUNT} INSERT INTO ledger_entry SELECT {{seq}}, 1, 'bench', 2000 + i, '{{kind}}',"  # noqa: S608 - ours
    " '{kind}:a' || i, i / 10, 'a' || i, '', '[]', zeroblob(32), zeroblob(32) FROM n"
)
_LEG = (
    f"{_COUNT} INSERT INTO ledger_leg SELECT {{seq}}, {{n}}, {{account}}, 'CNY', {{micro}} FROM n"  # noqa: S608 - ours
)
_FREE, _KEPT = (f"'tenant:t' || (i % {TENANTS}) || ':{part}'" for part in ("available", "held"))
_RAW = (
    _ENTRY.format(seq="2 * i + 1", kind="hold"),
    _ENTRY.format(seq="2 * i + 2", kind="post"),
    _LEG.format(seq="2 * i + 1", n=0, account=_FREE, micro="-1000000"),
    _LEG.format(seq="2 * i + 1", n=1, account=_KEPT, micro="1000000"),
    _LEG.format(seq="2 * i + 2", n=0, account=_KEPT, micro="-1000000"),
    _LEG.format(seq="2 * i + 2", n=1, account=_FREE, micro="300000"),
    _LEG.format(seq="2 * i + 2", n=2, account="'provider:gz:due'", micro="700000"),
)


def _prove(row: Row, conn: sqlite3.Connection) -> None:
    """Make inclusion proofs of entries all over the ledger, each from a fresh start."""
    conn.execute("BEGIN IMMEDIATE")
    size = ledger_tree.extend(conn)
    conn.execute("COMMIT")
    times: list[float] = []
    for n in range(PROOFS):
        place = n * (size - 1) // PROOFS
        begun = time.perf_counter()
        stored = ledger_tree.StoredTree(conn, size)
        tree.inclusion([place], size, stored)
        times.append((time.perf_counter() - begun) * 1e3)
    row.figures.append(
        Figure("Fenglin, one inclusion proof", "ms", times, ours=True, goal=10.0, at_most=True,
               digits=2)
    )  # fmt: skip


def _beancount(row: Row, entries: list[Entry], path: Path) -> None:
    """Have beancount load the export, and compare all balances."""
    if find_spec("beancount") is None:
        row.failed["beancount"] = "not installed"
        return
    from beancount import loader  # noqa: PLC0415 - a peer, only where it is installed
    from beancount.core import data, realization  # noqa: PLC0415

    path.write_text("".join(beancount(entries)), encoding="utf-8")
    (told, errors, _), wall_s, cpu_s = timed(lambda: loader.load_file(str(path)))
    if errors:
        raise AssertionError(errors[:3])
    real = realization.realize([one for one in told if isinstance(one, data.Transaction)])  # type: ignore[no-untyped-call]
    for (account, commodity), amount_micro in balances(entries).items():
        position = realization.get(real, account_name(account)).balance
        if int(position.get_currency_units(commodity).number * 1_000_000) != amount_micro:
            raise AssertionError(f"beancount has another balance of {account}")
    report, ours_s, ours_cpu_s = timed(lambda: verify(entries))
    count = f"{report.entries:,} entries"
    row.figures += [
        Figure(f"beancount, load and check {count}", "s", [wall_s], digits=2),
        Figure(f"beancount, load and check {count}, CPU", "s", [cpu_s], digits=2),
        Figure(f"Fenglin, verify the same {count}", "s", [ours_s], ours=True, digits=2),
        Figure(f"Fenglin, verify the same {count}, CPU", "s", [ours_cpu_s], ours=True, digits=2),
    ]
    row.ratios.append(Ratio("Fenglin to beancount, by CPU", cpu_s / ours_cpu_s))
    row.notes.append(f"Beancount's balances of all {len(balances(entries)):,} accounts are ours.")


def _tenant(n: int) -> str:
    return f"tenant{n % TENANTS}"


def _hold(n: int) -> Hold:
    return Hold(f"{ID}-a{n}-1", _tenant(n), "CNY", 1_000_000 + n, n // 10 + 1)


def _posting(of: Hold, n: int) -> Draft:
    charges = [
        charge("core-hour", 7_200_000 + n, 3_600_000, 80_000),
        charge("card-hour", 360_000, 3_600_000, 300_000),
    ]
    return post(of, "gz", charges, Terms("east", "cpu-8", "2027-01"))
