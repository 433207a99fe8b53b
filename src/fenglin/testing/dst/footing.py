"""What is asked of the books when everything has come to rest: vouchers, hours, three ways."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fenglin.engine.books import vouchers
from fenglin.ledger.accounts import FEE
from fenglin.ledger.posting import CURRENCY
from fenglin.quantities.period import period_of
from fenglin.storage.settlements import three_way
from fenglin.testing.dst.books import OFFSET_MIN, at_vouchers
from fenglin.testing.dst.metered import sold_micro
from fenglin.testing.dst.months import late_micro
from fenglin.testing.dst.users import ADMIN

if TYPE_CHECKING:
    from fenglin.testing.dst.books import Clerk
    from fenglin.testing.dst.world import World

# An expired voucher is freed within one look of the desk, and this.
FREED_WITHIN_MS = 120_000
_EVENTS = """\
SELECT act, voucher, bill, json_extract(CAST(body AS TEXT), '$.why'), amount_micro
FROM voucher_event WHERE pool = ?"""


async def audit(world: World) -> None:
    """Let the auditor look at every pool, through the hub."""
    for (name,) in world.disk.conn.execute(
        "SELECT name FROM voucher_pool ORDER BY name"
    ).fetchall():
        view = await at_vouchers(world, lambda desk, name=name: desk.audit(name, "", ADMIN))  # type: ignore[misc]
        world.judge.must("V3", view.ok, f"pool {name}: {'; '.join(view.problems)}")


def judge_books(world: World, first_ms: int) -> None:
    """Judge the books of a world in which nothing is under way."""
    three_ways(world, first_ms)
    _conserved(world)
    if world.books is not None:
        _pools(world)
        for clerk in world.books.clerks:
            _acknowledged(world, clerk)


def three_ways(world: World, first_ms: int) -> None:
    """What tenants paid is what providers and the hub got, in each month and commodity (V4)."""
    months = {period_of(first_ms, OFFSET_MIN), period_of(world.now_ms(), OFFSET_MIN)}
    for month in sorted(months, key=str):
        found = three_way(world.disk.conn, month)
        what = "" if found.ok else f"{month} does not foot: {found.faults} {found.rows}"
        world.judge.must("V4", found.ok, what)


def _conserved(world: World) -> None:
    """Nothing comes from nowhere, in any commodity; hours are owed as they were used (L1, L6)."""
    judge = world.judge
    sums: dict[str, int] = {}
    for (_, commodity), amount in judge.balances.items():
        sums[commodity] = sums.get(commodity, 0) + amount
    for commodity, total in sums.items():
        judge.must("L1", total == 0, f"all accounts come to {total} micro-{commodity}")
    costs: dict[str, int] = {}
    dues = owed(world)
    for price, cost in world.disk.conn.execute("SELECT price, cost_micro FROM allocation"):
        commodity = msgspec.json.decode(price).get("currency", CURRENCY)
        costs[commodity] = costs.get(commodity, 0) + cost
    for commodity in sorted(costs.keys() | dues.keys()):
        cost, due = costs.get(commodity, 0), dues.get(commodity, 0)
        judge.must("L6", cost == due, f"{cost} micro-{commodity} were used, {due} are owed")


def owed(world: World) -> dict[str, int]:
    """Return what providers, authorities and the hub have got for attempts, by commodity.

    What was charged late or by lines is left out: it stands in no attempt, and is judged with its
    use.
    """
    found: dict[str, int] = {}
    for (account, commodity), amount in world.judge.balances.items():
        if account.startswith(("provider:", "tax:")) or account == FEE:
            found[commodity] = found.get(commodity, 0) + amount
    for (_, commodity), late in late_micro(world.disk.conn).items():
        found[commodity] -= sum(late.values())
    if world.sheets is not None:
        found[CURRENCY] = found.get(CURRENCY, 0) - sold_micro(world.disk.conn)
    return found


def _pools(world: World) -> None:
    """Each pool's budget is free, reserved or paid; no charge is paid beyond itself (V1, V2)."""
    conn, must = world.disk.conn, world.judge.must
    query = "SELECT name, json_extract(CAST(scheme AS TEXT), '$.budget_micro') FROM voucher_pool"
    for name, budget in conn.execute(query).fetchall():
        free = world.judge.balances.get((f"voucher:{name}:budget", CURRENCY), 0)
        reserved = world.judge.balances.get((f"voucher:{name}:reserved", CURRENCY), 0)
        paid = conn.execute(
            "SELECT coalesce(sum(CASE act WHEN 'use' THEN amount_micro"
            " WHEN 'clawback' THEN -amount_micro WHEN 'return' THEN -amount_micro ELSE 0 END), 0)"
            " FROM voucher_event WHERE pool = ?",
            (name,),
        ).fetchone()[0]
        left = conn.execute(
            "SELECT coalesce(sum(left_micro), 0) FROM voucher WHERE pool = ?", (name,)
        ).fetchone()[0]
        must("V1", left == reserved, f"{name}: vouchers have {left} left, {reserved} is reserved")
        parts = (free, reserved, paid)
        must("V1", sum(parts) == budget, f"{name}: {budget} is not free, reserved, paid: {parts}")
    for bill, used, charged in conn.execute(
        "SELECT bill, sum(CASE act WHEN 'use' THEN amount_micro ELSE -amount_micro END),"
        " (SELECT sum(leg.amount_micro) FROM ledger_leg AS leg"
        " JOIN ledger_entry AS entry USING (seq) WHERE entry.key = bill"
        " AND leg.account LIKE 'provider:%') FROM voucher_event WHERE bill <> '' GROUP BY bill"
    ):
        must("V2", used <= (charged or 0), f"{bill} of {charged} was paid with vouchers of {used}")
    dead_ms = world.now_ms() - round(vouchers.LAPSE_EVERY_S * 1_000) - FREED_WITHIN_MS
    late = conn.execute(
        "SELECT voucher FROM voucher WHERE left_micro > 0 AND valid_to_ms <= ?", (dead_ms,)
    ).fetchall()
    must("V1", not late, f"expired long ago and not freed: {late[:3]}")


def _acknowledged(world: World, clerk: Clerk) -> None:
    """What was acknowledged is there, once; a restored backup may know nothing of it (V3)."""
    events: dict[tuple[str, str, str, str], list[int]] = {}
    for act, voucher, bill, why, amount in world.disk.conn.execute(_EVENTS, (clerk.pool,)):
        # What a use says of itself is its bill.
        place = (act, voucher, bill, "" if bill else why or "")
        events.setdefault(place, []).append(amount)
    for told in clerk.told:
        found = events.get((told.act, told.voucher, told.bill, told.why), [])
        wanted = not told.amount_micro or told.amount_micro in found
        once = told.act == "use" or len(found) == 1
        good = (found and wanted and once) or (world.judge.restores and not found)
        world.judge.must("V3", good, f"{clerk.pool}: {told} was acknowledged, there is {found}")
