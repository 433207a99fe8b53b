"""The port of vouchers over the embedded store.

A pool is read as the fold of its events, inside the transaction that adds to them: two writers
cannot promise the same money, and a rule that an event breaks rolls everything back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fenglin.errors import ConflictError, InputError, NotFoundError
from fenglin.ledger.vouchers.claim import Decision
from fenglin.ledger.vouchers.entries import entry_of, opening
from fenglin.ledger.vouchers.pool import (
    Act,
    Event,
    Pool,
    cover,
    fold,
    grants,
    lapses,
    open_pool,
    withdraw,
)
from fenglin.ledger.vouchers.rounds import decide
from fenglin.ledger.vouchers.scheme import Scheme, complete
from fenglin.storage import books

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from fenglin.ledger.vouchers.claim import Application
    from fenglin.storage.store import SqliteStore

THE_HUB = "hub"
_EVENT = msgspec.json.Decoder(Event)
_DECISION = msgspec.json.Decoder(Decision)
_SCHEME = msgspec.json.Decoder(Scheme)
_ENCODE = msgspec.json.Encoder().encode


class SqliteVouchers:
    """Implements `ports.vouchers.Vouchers`."""

    def __init__(self, store: SqliteStore) -> None:
        """Take the store."""
        self._store = store

    async def open(self, epoch: int, name: str, scheme: Scheme, who: str, now_ms: int) -> Pool:
        """See `ports.vouchers.Vouchers`."""

        def work(conn: sqlite3.Connection) -> Pool:
            rules, body = complete(scheme), _ENCODE(scheme)
            query = "SELECT scheme FROM voucher_pool WHERE name = ?"
            row = conn.execute(query, (name,)).fetchone()
            if row is not None:
                if row[0] != body:
                    raise ConflictError(
                        "the pool is open, with other rules",
                        where=f"pool {name}",
                        hint="the rules of a year do not change; open the next year's pool",
                    )
                return _pool(conn, name)
            books.append(conn, [opening(name, rules)], now_ms)
            conn.execute(
                "INSERT INTO voucher_pool (name, scheme, opened_by, time_ms) VALUES (?, ?, ?, ?)",
                (name, body, who, now_ms),
            )
            return open_pool(name, rules)

        return await self._store.write(epoch, work)

    async def pools(self) -> tuple[Pool, ...]:
        """See `ports.vouchers.Vouchers`."""
        return await self._store.read(_pools)

    async def decide(
        self, epoch: int, pool: str, round_: Sequence[Application], who: str, now_ms: int
    ) -> tuple[Decision, ...]:
        """See `ports.vouchers.Vouchers`."""

        def work(conn: sqlite3.Connection) -> tuple[Decision, ...]:
            _lapse(conn, now_ms)
            at = _pool(conn, pool)
            _check_new(conn, pool, round_)
            elsewhere = {
                one.deal
                for other in _pools(conn)
                if other.name != pool
                for one in other.vouchers.values()
                if one.counted_micro
            }
            decisions = decide(at, round_, elsewhere)
            conn.executemany(
                "INSERT INTO voucher_decision (pool, application, body, decided_by, time_ms)"
                " VALUES (?, ?, ?, ?, ?)",
                [(pool, one.application.id, _ENCODE(one), who, now_ms) for one in decisions],
            )
            _enter(conn, at, grants(at, decisions, now_ms), who, now_ms)
            return decisions

        return await self._store.write(epoch, work)

    async def pay(
        self, epoch: int, account: str, commodity: str, bill: tuple[str, int], now_ms: int
    ) -> int:
        """See `ports.vouchers.Vouchers`."""
        name, owed_micro = bill

        def work(conn: sqlite3.Connection) -> int:
            _check_unpaid(conn, name)
            usable = [one for one in _pools(conn) if one.rules.commodity == commodity]
            left_micro = owed_micro
            for at, event in _soonest(usable, account, name, now_ms):
                part_micro = min(event.amount_micro, left_micro)
                if part_micro:
                    use = msgspec.structs.replace(event, amount_micro=part_micro)
                    _enter(conn, at, [use], THE_HUB, now_ms)
                    left_micro -= part_micro
            return left_micro

        if owed_micro < 0 or not name:
            raise InputError("a bill has a name, and is not negative", where=name or "bill")
        return await self._store.write(epoch, work)

    async def lapse(self, epoch: int, now_ms: int) -> int:
        """See `ports.vouchers.Vouchers`."""
        return await self._store.write(epoch, lambda conn: _lapse(conn, now_ms))

    async def withdraw(
        self, epoch: int, voucher: tuple[str, str], why: str, who: str, now_ms: int
    ) -> tuple[Event, ...]:
        """See `ports.vouchers.Vouchers`."""
        pool, name = voucher

        def work(conn: sqlite3.Connection) -> tuple[Event, ...]:
            at = _pool(conn, pool)
            events = withdraw(at, name, now_ms, why)
            _enter(conn, at, events, who, now_ms)
            return events

        return await self._store.write(epoch, work)

    async def decisions(self, pool: str) -> tuple[Decision, ...]:
        """See `ports.vouchers.Vouchers`."""

        def work(conn: sqlite3.Connection) -> tuple[Decision, ...]:
            _pool(conn, pool)
            query = "SELECT body FROM voucher_decision WHERE pool = ? ORDER BY number"
            return tuple(_DECISION.decode(body) for (body,) in conn.execute(query, (pool,)))

        return await self._store.read(work)


def _pools(conn: sqlite3.Connection) -> tuple[Pool, ...]:
    names = conn.execute("SELECT name FROM voucher_pool ORDER BY name").fetchall()
    return tuple(_pool(conn, name) for (name,) in names)


def _pool(conn: sqlite3.Connection, name: str) -> Pool:
    """Return a pool as its events have made it."""
    row = conn.execute("SELECT scheme FROM voucher_pool WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise NotFoundError(f"there is no voucher pool {name!r}")
    fresh = open_pool(name, complete(_SCHEME.decode(row[0])))
    query = "SELECT body FROM voucher_event WHERE pool = ? ORDER BY number"
    return fold(fresh, (_EVENT.decode(body) for (body,) in conn.execute(query, (name,))))


def _enter(
    conn: sqlite3.Connection, at: Pool, events: Iterable[Event], who: str, now_ms: int
) -> None:
    """Keep events and their ledger entries."""
    drafts = []
    for event in events:
        at = fold(at, [event])
        number = conn.execute(
            "INSERT INTO voucher_event (pool, body, entered_by) VALUES (?, ?, ?)",
            (at.name, _ENCODE(event), who),
        ).lastrowid
        drafts.append(entry_of(at, event, number or 0))
    if drafts:
        books.append(conn, drafts, now_ms)


def _lapse(conn: sqlite3.Connection, now_ms: int) -> int:
    """Free what has expired in all pools; return how many vouchers."""
    count = 0
    for at in _pools(conn):
        gone = lapses(at, now_ms)
        _enter(conn, at, gone, THE_HUB, now_ms)
        count += len(gone)
    return count


def _soonest(
    pools: Sequence[Pool], account: str, bill: str, now_ms: int
) -> list[tuple[Pool, Event]]:
    """Return what each voucher of an account could pay, over all pools, soonest to expire first."""
    could = [
        (at, event)
        for at in pools
        for event in cover(at, account, at.reserved_micro, now_ms, bill)[0]
    ]
    return sorted(
        could,
        key=lambda one: (one[0].voucher(one[1].voucher).valid_to_ms, one[0].name, one[1].voucher),
    )


def _check_new(conn: sqlite3.Connection, pool: str, round_: Sequence[Application]) -> None:
    """Refuse what was decided on already, refusals too: they are filed anew under a new id."""
    query = "SELECT 1 FROM voucher_decision WHERE pool = ? AND application = ?"
    for asked in round_:
        if conn.execute(query, (pool, asked.id)).fetchone():
            raise ConflictError("it was decided on already", where=f"application {asked.id}")


def _check_unpaid(conn: sqlite3.Connection, bill: str) -> None:
    query = (
        "SELECT 1 FROM voucher_event WHERE json_extract(CAST(body AS TEXT), '$.act') = ?"
        " AND json_extract(CAST(body AS TEXT), '$.why') = ? LIMIT 1"
    )
    if conn.execute(query, (Act.USE.value, bill)).fetchone():
        raise ConflictError("vouchers have paid it already", where=f"bill {bill}")
