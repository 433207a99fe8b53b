"""What is asked when everything has come to rest: jobs, money, use, and what truly ran."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from fenglin.catalog.prices import rate_usage
from fenglin.ledger.posting import CURRENCY
from fenglin.model.allocation import Usage
from fenglin.model.ids import attempt_key, job_id
from fenglin.model.reason import Reason
from fenglin.model.site import Price
from fenglin.quantities.resources import Resources
from fenglin.quantities.taskset import TaskSet
from fenglin.storage import books
from fenglin.testing.dst.footing import judge_books, owed
from fenglin.testing.dst.judge import TERMINAL
from fenglin.testing.dst.metered import judge_sheets
from fenglin.testing.dst.months import judge_months
from fenglin.testing.dst.vault import judge_tries

if TYPE_CHECKING:
    from fenglin.testing.dst.site import Run
    from fenglin.testing.dst.world import World


def judge_rest(world: World, first_ms: int) -> None:
    """Judge a world that began at `first_ms` and in which nothing is under way any more."""
    _jobs(world)
    _runs(world)
    _money(world)
    _bills(world)
    judge_books(world, first_ms)
    if world.months is not None:
        judge_months(world, world.months)
    if world.sheets is not None:
        judge_sheets(world, world.sheets)
    if world.safe is not None:
        judge_tries(world)
    world.judge.recount()
    world.judge.search("at rest")


def _jobs(world: World) -> None:
    must = world.judge.must
    rows = {
        row[0]: row[1:] for row in world.disk.conn.execute("SELECT number, name, state FROM job")
    }
    for wish in world.wishes:
        if wish.refused or wish.lost:
            continue
        name, state = rows.get(wish.number, ("nothing", "missing"))
        must("J1", name == wish.spec.name, f"{wish.key} was acknowledged as j{wish.number}: {name}")
        must("J5", state in TERMINAL, f"j{wish.number} is {state} although all is well")
        if wish.cancel_answer in ("cancelling", "cancelled"):
            must("J6", state == "cancelled", f"j{wish.number} was cancelled and is {state}")
    number_of = Counter(name for name, _ in rows.values())
    twice = [name for name, many in number_of.items() if many > 1]
    must("J2", not twice, f"stored more than once: {twice}")
    known = {number for wish in world.wishes for number in (wish.number, wish.stray)}
    strange = rows.keys() - known
    must("J2", not strange, f"jobs that nobody asked for: {sorted(strange)}")


def _runs(world: World) -> None:
    """Judge what truly ran against what the hub says."""
    must = world.judge.must
    good: Counter[tuple[str, int]] = Counter()
    for truth in world.truth.values():
        alive = sorted({run.key for run in truth.live})
        must("D2", not alive, f"{truth.name} still runs {alive[:3]}")
        for run in truth.runs:
            good[run.job, run.task] += run.ended_s is not None and run.reason is None
    unseen = {
        (run.job, run.task)
        for truth in world.truth.values()
        for run in truth.runs
        if run.key in truth.lost_keys
    }
    for number, state, done in world.disk.conn.execute(
        "SELECT number, state, succeeded_set FROM job"
    ):
        for task in TaskSet.parse(done):
            place = (job_id(number), task)
            must("J3", good[place] >= 1, f"{place} succeeded and never ran to its end")
            # What a restored backup does not know may be run once more.
            once = good[place] == 1 or place in unseen or world.judge.restores
            must("J3", once, f"{place} of a job that {state} ran well {good[place]} times")


def _money(world: World) -> None:
    """Judge the ledger by its own proof and by our fold."""
    judge, conn = world.judge, world.disk.conn
    check = books.verify(conn)
    judge.must("L4", check.ok, f"the ledger does not verify: {check.problem}")
    judge.must("L7", not judge.open_holds, f"never resolved: {sorted(judge.open_holds)[:5]}")
    stored = {
        (account, commodity): amount
        for account, commodity, amount in conn.execute(
            "SELECT account, commodity, amount_micro FROM ledger_balance"
        )
    }
    ours = {place: amount for place, amount in judge.balances.items() if amount}
    same = {place: amount for place, amount in stored.items() if amount} == ours
    judge.must("L6", same, f"balances differ from the fold of entries: {stored} {ours}")
    for key, amount in world.paid_in.items():
        entered = conn.execute(
            "SELECT count(*), max(amount_micro) FROM ledger_entry JOIN ledger_leg USING (seq)"
            " WHERE key = ? AND account LIKE '%:available'",
            (key,),
        ).fetchone()
        # A restored backup may know nothing of money that had come before.
        good = entered == (1, amount) or (judge.restores and entered == (0, None))
        judge.must("L2", good, f"{amount} were paid in once as {key}, entered are {entered}")
    held = {place: amount for place, amount in ours.items() if place[0].endswith(":held")}
    judge.must("L7", not held, f"still held: {held}")
    cost = conn.execute("SELECT coalesce(sum(cost_micro), 0) FROM job").fetchone()[0]
    due = owed(world).get(CURRENCY, 0)
    judge.must("L6", cost == due, f"jobs cost {cost}, providers are owed {due}")


def _bills(world: World) -> None:
    """Judge each attempt's bill against its price and against what truly ran (M2, M3, L11)."""
    must = world.judge.must
    by_key: dict[str, list[Run]] = {}
    lost: set[str] = set()
    for truth in world.truth.values():
        lost |= truth.lost_keys.keys()
        for run in truth.runs:
            by_key.setdefault(run.key, []).append(run)
    keys = Counter(row[0] for row in world.disk.conn.execute("SELECT attempt FROM usage"))
    for row in world.disk.conn.execute(
        "SELECT number, attempt, price, resources, nodes, tasks_ended, wall_ms, billed_ms, cpu_ms,"
        " peak_memory_bytes, cost_micro, reason, state FROM allocation"
    ):
        key = attempt_key(world.hub_id, row[0], row[1])
        must("J5", row[12] == "ended", f"{key} is {row[12]} although all is well")
        must("M1", keys[key] == 1, f"{key} has {keys[key]} records of usage")
        used = Usage(*row[5:10])
        price = msgspec.json.decode(row[2], type=Price)
        each = msgspec.json.decode(row[3], type=Resources).times(row[4])
        lines = rate_usage(price, each, used) if used.tasks else []
        again = sum(line.amount_micro for line in lines)
        must("L11", again == row[10], f"{key} cost {row[10]}, rated again {again}")
        runs = by_key.get(key, [])
        tasks, wall_ms = _proved(runs, preempted=row[11] == Reason.PREEMPTED)
        if key in lost:
            must("M4", used.tasks <= tasks, f"{key} billed {used.tasks} tasks, {tasks} ran")
        else:
            told = (used.tasks, used.wall_ms)
            must("M4", told == (tasks, wall_ms), f"{key} billed {told}, ran {(tasks, wall_ms)}")


def _proved(runs: list[Run], *, preempted: bool) -> tuple[int, int]:
    """Return tasks and milliseconds that are owed: work taken away for another job is not."""
    walls = [
        round(((run.ended_s or run.began_s) - run.began_s) * 1_000)
        for run in runs
        if not (preempted and run.reason is Reason.CANCELLED)
    ]
    return len(walls), sum(walls)
