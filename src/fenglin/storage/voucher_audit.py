"""The auditor's view of a pool: everything that was entered, and whether it holds together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fenglin.errors import FenglinError, NotFoundError
from fenglin.ledger.accounts import voucher_reserved
from fenglin.ledger.vouchers.claim import Decision
from fenglin.ledger.vouchers.pool import Act, Event, fold, open_pool
from fenglin.ports.vouchers import Audit, DecisionRecord, EventRecord
from fenglin.storage import ledger
from fenglin.storage import voucher_rows as rows

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from fenglin.ports.vouchers import PoolRecord

_EVENT = msgspec.json.Decoder(Event)
_DECISION = msgspec.json.Decoder(Decision)


def audit(conn: sqlite3.Connection, pool: PoolRecord, voucher: str, account: str) -> Audit:
    """Return what was entered of a pool; see `ports.vouchers.Vouchers`."""
    tests, values = ["a.pool = ?"], [pool.name]
    for column, value in (("a.application", voucher), ("a.account", account)):
        if value:
            tests.append(f"{column} = ?")
            values.append(value)
    records = rows.records(conn, f"WHERE {' AND '.join(tests)} ORDER BY a.number", values)
    if voucher and not records:
        raise NotFoundError(f"pool {pool.name} has no voucher {voucher!r}", where="voucher")
    mine = {one.application.id for one in records}
    events, uses = _events(conn, pool.name, mine, every=bool(voucher))
    return Audit(
        pool=pool,
        records=tuple(records),
        decisions=tuple(
            DecisionRecord(_DECISION.decode(body), who, time_ms)
            for name, body, who, time_ms in _decisions(conn, pool.name)
            if name in mine
        ),
        events=tuple(events),
        uses=tuple((name, *sums) for name, sums in uses.items()),
        problems=tuple(_problems(conn, pool)),
    )


def _events(
    conn: sqlite3.Connection, pool: str, mine: set[str], *, every: bool
) -> tuple[list[EventRecord], dict[str, tuple[int, int, int]]]:
    """Return events of some vouchers, and each one's uses as a count, the last and a sum."""
    events: list[EventRecord] = []
    uses: dict[str, tuple[int, int, int]] = {}
    for number, body, who in conn.execute(
        "SELECT number, body, entered_by FROM voucher_event WHERE pool = ? ORDER BY number", (pool,)
    ):
        event = _EVENT.decode(body)
        if event.voucher not in mine:
            continue
        if event.act is Act.USE:
            count, _, total = uses.get(event.voucher, (0, 0, 0))
            uses[event.voucher] = (count + 1, event.time_ms, total + event.amount_micro)
        if every or event.act is not Act.USE:
            events.append(EventRecord(number, event, who))
    return events, uses


def _decisions(conn: sqlite3.Connection, pool: str) -> list[tuple[str, bytes, str, int]]:
    return conn.execute(
        "SELECT application, body, decided_by, time_ms FROM voucher_decision WHERE pool = ?"
        " ORDER BY number",
        (pool,),
    ).fetchall()


def _problems(conn: sqlite3.Connection, pool: PoolRecord) -> Iterator[str]:
    """Yield where what stands, what was entered and the ledger say different things."""
    at = rows.named(conn, pool.name)
    stands = rows.standing(conn, at)
    query = "SELECT body FROM voucher_event WHERE pool = ? ORDER BY number"
    events = (_EVENT.decode(body) for (body,) in conn.execute(query, (pool.name,)))
    try:
        folded = fold(open_pool(pool.name, at.rules), events)
    except FenglinError as error:
        yield f"the events contradict each other: {error}"
        return
    if folded.free_micro != stands.free_micro:
        yield "the ledger has another sum free than the events come to"
    reserved = ledger.balance(conn, voucher_reserved(pool.name), at.rules.commodity)
    if folded.reserved_micro != reserved:
        yield "the ledger has another sum reserved than the events come to"
    names = stands.vouchers.keys() | folded.vouchers.keys()
    for name in sorted(names):
        if stands.vouchers.get(name) != folded.vouchers.get(name):
            yield f"voucher {name} stands otherwise than its events come to"
    yield from _unsealed(conn, pool.name)


def _unsealed(conn: sqlite3.Connection, pool: str) -> Iterator[str]:
    """Yield the decisions that are not what the ledger has sealed."""
    granted = dict(
        conn.execute(
            "SELECT voucher, number FROM voucher_event WHERE pool = ? AND act = ?",
            (pool, Act.GRANT.value),
        ).fetchall()
    )
    for name, body, _, _ in _decisions(conn, pool):
        number = granted.get(name)
        key = f"voucher:{pool}:{f'refuse:{name}' if number is None else number}"
        entry = ledger.find(conn, key)
        if entry is None or entry.detail("decision") != rows.digest(body):
            yield f"the decision on {name} is not the one that the ledger has sealed"
        filed = rows.record(conn, pool, name).application
        if _DECISION.decode(body).application != filed:
            yield f"the decision on {name} is about another application than was filed"
