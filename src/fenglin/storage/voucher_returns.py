"""What vouchers paid for use that was none returns to those that paid it.

Vouchers pay first and money the rest, so money gets its own back first: a voucher gets back what
it paid beyond what the use that is left costs, the last draw first. That is what would not have
been drawn, had the use never been told. All functions run inside a transaction of the caller.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from fenglin.ledger.vouchers.entries import GIVEN_BACK_BY, Origin
from fenglin.ledger.vouchers.pool import Act, give_back
from fenglin.storage import ledger
from fenglin.storage import voucher_rows as rows

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from fenglin.ledger.entry import Entry
    from fenglin.ledger.vouchers.pool import Event

_EVENTS = "SELECT event.pool, event.voucher, event.act, event.amount_micro, event.bill"
_OF_BILL = f"""\
{_EVENTS}, entry.job FROM voucher_event AS event JOIN ledger_entry AS entry
ON entry.key = event.bill WHERE event.bill = ? AND event.bill <> '' ORDER BY event.number"""
# Of all lines that count towards the same tiers.
_OF_COUNTER = f"""\
{_EVENTS}, entry.job FROM metered_use AS line JOIN ledger_entry AS entry ON entry.seq = line.entry
JOIN voucher_event AS event ON event.bill = entry.key AND event.bill <> ''
WHERE line.account = ? AND line.counter = ? AND line.span = ? ORDER BY event.number"""
# Entries of one give-back that are read at a time: few vouchers pay a line.
_CHUNK = 20


class Draw(Struct, frozen=True):
    """What a voucher paid of a charge at one time, and has not got back.

    Attributes:
        pool: Of the voucher.
        voucher: Its id.
        bill: Key of the entry that charges.
        job: Whose charge it is; 0 for none.
        amount_micro: How much.
    """

    pool: str
    voucher: str
    bill: str
    job: int
    amount_micro: int


class Cause(Struct, frozen=True):
    """Why vouchers get something back.

    Attributes:
        by: Key of the entry that gave the charge back.
        why: For the auditor.
        who: Who did it.
        now_ms: Unix time.
    """

    by: str
    why: str
    who: str
    now_ms: int


def draws_of_bill(conn: sqlite3.Connection, bill: str) -> list[Draw]:
    """Return what vouchers paid of a charge, in the order in which they did."""
    return _draws(conn, _OF_BILL, (bill,))


def draws_of_counter(conn: sqlite3.Connection, place: tuple[str, str, str]) -> list[Draw]:
    """Return what vouchers paid of all lines of an (account, counter, period), in order."""
    return _draws(conn, _OF_COUNTER, place)


def return_over(
    conn: sqlite3.Connection, draws: Sequence[Draw], costs_micro: int, cause: Cause
) -> None:
    """Return what draws come to beyond what their charges cost now, the last first."""
    over_micro = sum(one.amount_micro for one in draws) - max(0, costs_micro)
    for draw in reversed(draws):
        if over_micro <= 0:
            return
        part_micro = min(over_micro, draw.amount_micro)
        over_micro -= part_micro
        one = rows.voucher(conn, draw.pool, draw.voucher)
        events = give_back(one, draw.bill, part_micro, cause.now_ms, cause.why)
        origins = (_origin(event, draw, cause) for event in events)
        at = rows.named(conn, draw.pool)
        rows.enter(conn, at, zip(events, origins, strict=True), cause.who, cause.now_ms)


def returned_micro(conn: sqlite3.Connection, back: Entry) -> int:
    """Return what vouchers got back by an entry that gave a charge back.

    Their entries follow it at once, in the same transaction.
    """
    after = ledger.entries(conn, after_seq=back.seq, chunk=_CHUNK)
    mine = takewhile(lambda one: one.detail(GIVEN_BACK_BY) == back.key, after)
    return -sum(
        leg.amount_micro for one in mine for leg in one.legs if leg.account.startswith("tenant:")
    )


def _origin(event: Event, draw: Draw, cause: Cause) -> Origin:
    return Origin(0, job=draw.job if event.act is Act.RETURN else 0, given_back_by=cause.by)


def _draws(conn: sqlite3.Connection, query: str, values: tuple[str, ...]) -> list[Draw]:
    """Return the uses that a query finds, less what returned of them; the last returned first."""
    found: list[Draw] = []
    for pool, voucher, act, amount_micro, bill, job in conn.execute(query, values).fetchall():
        if act == Act.USE:
            found.append(Draw(pool, voucher, bill, job, amount_micro))
            continue
        left_micro = amount_micro
        for n in reversed(range(len(found))):
            one = found[n]
            if (one.pool, one.voucher, one.bill) == (pool, voucher, bill):
                part_micro = min(left_micro, one.amount_micro)
                left_micro -= part_micro
                found[n] = replace(one, amount_micro=one.amount_micro - part_micro)
    return [one for one in found if one.amount_micro]
