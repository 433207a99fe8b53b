"""Tiers at settlement: what an account has used decides what the next use of it costs.

The count is read, used and raised in the transaction that posts the charge. So uses that are
settled at once see each other, and what accounts pay in a period does not depend on who came
first. A use counts in the period in which it is posted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.catalog.prices import counted, rate_usage, total_micro
from fenglin.ledger.entry import Kind
from fenglin.ledger.posting import Charge, recharged
from fenglin.ports.store import Event
from fenglin.quantities.money import format_money
from fenglin.quantities.period import period_of
from fenglin.storage import books

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from fenglin.catalog.prices import RatedItem
    from fenglin.model.allocation import Usage
    from fenglin.ports.store import AllocationRecord, Change

_PUT = """\
INSERT INTO account_use (account, counter, period, used) VALUES (?, ?, ?, ?)
ON CONFLICT (account, counter, period) DO UPDATE SET used = excluded.used"""


def settle(conn: sqlite3.Connection, change: Change) -> None:
    """Charge the postings of a change by their tiers, and put the costs of its records right."""
    tiered = {key: record for key, record in change.usage if record.price.tiers}
    if not tiered:
        return
    jobs = {job.number: job for job in change.jobs}
    allocations = {one.number: one for one in change.allocations}
    for at, draft in enumerate(change.postings):
        record = tiered.get(draft.attempt)
        if record is None or draft.kind is not Kind.POST:
            continue
        job = jobs[record.job]
        lines = take(conn, job.spec.account, record, record.usage, change.now_ms)
        change.postings[at] = recharged(
            draft,
            [
                Charge(line.item, line.quantity, line.per, line.price_micro, line.amount_micro)
                for line in lines
            ],
        )
        allocation = allocations[record.number]
        more_micro = total_micro(lines) - allocation.cost_micro
        if more_micro:
            allocation.cost_micro += more_micro
            job.cost_micro += more_micro
            cost = format_money(allocation.cost_micro, record.price.currency)
            change.events.append(
                Event(record.job, "tier_reached", f"a{record.number} costs {cost} by tiers")
            )


def take(
    conn: sqlite3.Connection,
    account: str,
    record: AllocationRecord,
    usage: Usage,
    now_ms: int,
) -> tuple[RatedItem, ...]:
    """Rate a use by what its account has used before, and count it.

    Args:
        conn: Inside a transaction.
        account: Who pays.
        record: What was held, and by which price.
        usage: Of all or some of its tasks.
        now_ms: Unix time of the posting.
    """
    price, held = record.price, record.resources.times(record.nodes)
    at_ms = max(now_ms, books.closed_until_ms(conn))
    places = {}
    before = {}
    for one in price.tiers:
        month = str(period_of(at_ms, one.offset_min))
        place = places[one.counter] = (account, one.counter, month[:4] if one.yearly else month)
        before[one.counter] = used_before(conn, place)
    lines = rate_usage(price, held, usage, before)
    more = counted(price, held, usage)
    put_used(conn, {place: before[name] + more[name] for name, place in places.items()})
    return lines


def used_before(conn: sqlite3.Connection, place: tuple[str, str, str]) -> int:
    """Return what was counted of an account's use: by (account, counter, period)."""
    row = conn.execute(
        "SELECT used FROM account_use WHERE account = ? AND counter = ? AND period = ?", place
    ).fetchone()
    return int(row[0]) if row else 0


def put_used(conn: sqlite3.Connection, used: Mapping[tuple[str, str, str], int]) -> None:
    """Keep what accounts have used, by (account, counter, period)."""
    conn.executemany(_PUT, [(*place, str(quantity)) for place, quantity in used.items()])
