"""The port of vouchers over the embedded store.

What a pool may still promise is read inside the transaction that promises it: two writers cannot
give the same money away, and a rule that an event breaks rolls everything back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fenglin.errors import ConflictError, NotFoundError
from fenglin.ledger.accounts import voucher_reserved
from fenglin.ledger.vouchers.entries import Origin, opening, refusal
from fenglin.ledger.vouchers.pool import claw_back, grants, revoke
from fenglin.ledger.vouchers.rounds import decide
from fenglin.ledger.vouchers.scheme import Reservation, complete
from fenglin.ports.vouchers import PoolRecord, UsedPart
from fenglin.quantities.money import format_money
from fenglin.storage import books, ledger, voucher_audit
from fenglin.storage import voucher_rows as rows
from fenglin.storage.metered_rooms import Rooms

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from fenglin.ledger.entry import Draft
    from fenglin.ledger.vouchers.claim import Application
    from fenglin.ledger.vouchers.scheme import Scheme
    from fenglin.ports.vouchers import Audit, TakeBack, Use, VoucherRecord
    from fenglin.storage.store import SqlStore

_PARTS = msgspec.json.Decoder(list[UsedPart])
_FIELDS = {"pool": "a.pool", "account": "a.account", "voucher": "a.application"}


class SqliteVouchers:
    """Implements `ports.vouchers.Vouchers`."""

    def __init__(self, store: SqlStore) -> None:
        """Take the store."""
        self._store = store

    async def open(
        self, epoch: int, name: str, scheme: Scheme, who: str, now_ms: int
    ) -> PoolRecord:
        """See `ports.vouchers.Vouchers`."""
        rules, body = complete(scheme), rows.ENCODE(scheme)

        def work(conn: sqlite3.Connection) -> PoolRecord:
            query = "SELECT scheme FROM voucher_pool WHERE name = ?"
            row = conn.execute(query, (name,)).fetchone()
            if row is None:
                books.append(conn, [opening(name, rules, rows.digest(body))], now_ms)
                conn.execute(
                    "INSERT INTO voucher_pool VALUES (?, ?, ?, ?)", (name, body, who, now_ms)
                )
            elif row[0] != body:
                raise ConflictError(
                    "the pool is open, with other rules",
                    where=f"pool {name}",
                    hint="the rules of a year do not change; open the next year's pool",
                )
            return _pool(conn, name)

        return await self._store.write(epoch, work)

    async def pools(self, name: str = "") -> tuple[PoolRecord, ...]:
        """See `ports.vouchers.Vouchers`."""

        def work(conn: sqlite3.Connection) -> tuple[PoolRecord, ...]:
            query = "SELECT name FROM voucher_pool ORDER BY name"
            names = [name] if name else [row[0] for row in conn.execute(query).fetchall()]
            return tuple(_pool(conn, one) for one in names)

        return await self._store.read(work)

    async def file(
        self, epoch: int, pool: str, asked: Sequence[Application], who: str, now_ms: int
    ) -> tuple[VoucherRecord, ...]:
        """See `ports.vouchers.Vouchers`."""

        def work(conn: sqlite3.Connection) -> tuple[VoucherRecord, ...]:
            at = rows.named(conn, pool)
            new = [one for one in asked if _file(conn, pool, one, who, now_ms)]
            if new and at.rules.reservation is not Reservation.PRO_RATA:
                _decide(conn, at, new, rows.THE_HUB, now_ms)
            return tuple(rows.record(conn, pool, one.id) for one in asked)

        return await self._store.write(epoch, work)

    async def round(
        self, epoch: int, pool: str, who: str, now_ms: int
    ) -> tuple[VoucherRecord, ...]:
        """See `ports.vouchers.Vouchers`."""

        def work(conn: sqlite3.Connection) -> tuple[VoucherRecord, ...]:
            at = rows.named(conn, pool)
            waiting = rows.records(
                conn, "WHERE a.pool = ? AND d.number IS NULL ORDER BY a.number", (pool,)
            )
            if waiting:
                _decide(conn, at, [one.application for one in waiting], who, now_ms)
            return tuple(rows.record(conn, pool, one.application.id) for one in waiting)

        return await self._store.write(epoch, work)

    async def approve(
        self, epoch: int, voucher: tuple[str, str], who: str, now_ms: int
    ) -> VoucherRecord:
        """See `ports.vouchers.Vouchers`."""

        def work(conn: sqlite3.Connection) -> VoucherRecord:
            rows.release(conn, *voucher, who, now_ms)
            return rows.record(conn, *voucher)

        return await self._store.write(epoch, work)

    async def take_back(
        self, epoch: int, voucher: tuple[str, str], ask: TakeBack, who: str, now_ms: int
    ) -> VoucherRecord:
        """See `ports.vouchers.Vouchers`."""

        def take(conn: sqlite3.Connection) -> bytes:
            at = rows.named(conn, voucher[0])
            one = rows.voucher(conn, *voucher)
            if ask.used:
                events = claw_back(one, now_ms, ask.why, ask.amount_micro or None)
            else:
                events = revoke(one, now_ms, ask.why)
            rows.enter(conn, at, rows.plain(events), who, now_ms)
            return b""

        def work(conn: sqlite3.Connection) -> VoucherRecord:
            _once(conn, ask.key, rows.ENCODE((voucher, ask)), (who, now_ms), take)
            return rows.record(conn, *voucher)

        return await self._store.write(epoch, work)

    async def use(self, epoch: int, ask: Use, who: str, now_ms: int) -> tuple[UsedPart, ...]:
        """See `ports.vouchers.Vouchers`."""

        def pay(conn: sqlite3.Connection) -> bytes:
            _check_usable(conn, ask, now_ms)
            could = rows.sources(conn, (ask.account, ask.commodity), now_ms, ask.voucher)
            postings = (
                one
                for one in ledger.postings(conn, ask.account, ask.from_ms, ask.to_ms)
                if one.legs[0].commodity == ask.commodity
            )
            most_micro, rooms = ask.amount_micro or None, Rooms(conn)
            parts = rows.pay(conn, postings, could, (who, now_ms), most_micro, rooms)
            paid_micro = sum(one.amount_micro for one in parts)
            if paid_micro < ask.amount_micro:
                wanted, there = (
                    format_money(amount, ask.commodity) for amount in (ask.amount_micro, paid_micro)
                )
                raise ConflictError(
                    f"vouchers can pay {there} of what is charged, not {wanted}",
                    where=f"account {ask.account}",
                    hint="nothing was used; `fenglin voucher list` shows what is left",
                )
            return rows.ENCODE(parts)

        def work(conn: sqlite3.Connection) -> tuple[UsedPart, ...]:
            answer = _once(conn, ask.key, rows.ENCODE(ask), (who, now_ms), pay)
            return tuple(_PARTS.decode(answer))

        return await self._store.write(epoch, work)

    async def lapse(self, epoch: int, now_ms: int) -> int:
        """See `ports.vouchers.Vouchers`."""
        return await self._store.write(epoch, lambda conn: rows.lapse(conn, now_ms))

    async def records(
        self, wanted: Sequence[tuple[str, str]], account: str, after: int, limit: int
    ) -> list[VoucherRecord]:
        """See `ports.vouchers.Vouchers`."""
        any_of: dict[str, list[str]] = {}
        for name, value in (*wanted, *((("account", account),) if account else ())):
            any_of.setdefault(_FIELDS[name], []).append(value)
        if account:  # a tenant that asks for others sees its own among them, or nothing
            asked = [value for name, value in wanted if name == "account"]
            any_of["a.account"] = [account] if not asked or account in asked else []
        tests = ["a.number > ?"]
        values: list[str | int] = [after]
        for column, texts in any_of.items():
            tests.append(f"{column} IN ({', '.join('?' * len(texts))})")
            values += texts
        where = f"WHERE {' AND '.join(tests)} ORDER BY a.number LIMIT ?"
        return await self._store.read(lambda conn: rows.records(conn, where, [*values, limit]))

    async def audit(self, pool: str, voucher: str, account: str) -> Audit:
        """See `ports.vouchers.Vouchers`."""

        def work(conn: sqlite3.Connection) -> Audit:
            conn.execute("BEGIN")  # all that is compared is of one moment
            try:
                return voucher_audit.audit(conn, _pool(conn, pool), voucher, account)
            finally:
                conn.execute("ROLLBACK")

        return await self._store.read(work)


def _pool(conn: sqlite3.Connection, name: str) -> PoolRecord:
    """Return a pool as it is now."""
    at = rows.named(conn, name)
    query = "SELECT scheme, opened_by, time_ms FROM voucher_pool WHERE name = ?"
    scheme, opened_by, time_ms = conn.execute(query, (name,)).fetchone()
    (waiting,) = conn.execute(
        "SELECT COUNT(*) FROM voucher_application AS a LEFT JOIN voucher_decision AS d"
        " USING (pool, application) WHERE pool = ? AND d.number IS NULL",
        (name,),
    ).fetchone()
    free = rows.free_micro(conn, at)
    reserved = ledger.balance(conn, voucher_reserved(name), at.rules.commodity)
    return PoolRecord(
        name=name,
        scheme=rows.SCHEME.decode(scheme),
        opened_by=opened_by,
        time_ms=time_ms,
        free_micro=free,
        reserved_micro=reserved,
        paid_micro=at.rules.budget_micro - free - reserved,
        waiting=waiting,
    )


def _file(conn: sqlite3.Connection, pool: str, one: Application, who: str, now_ms: int) -> bool:
    """Keep an application; return False for one that was filed before."""
    body = rows.ENCODE(one)
    row = conn.execute(
        "SELECT body FROM voucher_application WHERE pool = ? AND application = ?", (pool, one.id)
    ).fetchone()
    if row is not None:
        if row[0] != body:
            raise ConflictError(
                "it was filed with another content",
                where=f"application {one.id}",
                hint="file it anew under a new id",
            )
        return False
    conn.execute(
        "INSERT INTO voucher_application (pool, application, account, body, filed_by, time_ms)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (pool, one.id, one.account, body, who, now_ms),
    )
    return True


def _decide(
    conn: sqlite3.Connection, at: rows.Named, asked: Sequence[Application], who: str, now_ms: int
) -> None:
    """Decide on a round, promise what is granted, and seal every decision in the ledger."""
    rows.lapse(conn, now_ms)
    elsewhere = conn.execute(
        "SELECT seller, contract FROM voucher WHERE pool <> ?"
        " AND left_micro + used_micro - clawed_micro > 0",
        (at.name,),
    ).fetchall()
    decisions = decide(rows.standing(conn, at), asked, elsewhere)
    bodies = {one.application.id: rows.ENCODE(one) for one in decisions}
    conn.executemany(
        "INSERT INTO voucher_decision (pool, application, body, decided_by, time_ms)"
        " VALUES (?, ?, ?, ?, ?)",
        [(at.name, name, body, who, now_ms) for name, body in bodies.items()],
    )
    refused: list[Draft] = [
        refusal(at.name, at.rules, one.application.id, rows.digest(bodies[one.application.id]))
        for one in decisions
        if not one.granted_micro
    ]
    if refused:
        books.append(conn, refused, now_ms)
    events = [
        (event, Origin(0, decision=rows.digest(bodies[event.voucher])))
        for event in grants(decisions, now_ms)
    ]
    rows.enter(conn, at, events, who, now_ms)


def _check_usable(conn: sqlite3.Connection, ask: Use, now_ms: int) -> None:
    """Refuse a voucher that was named and cannot be used; a foreign one is a missing one."""
    if ask.voucher is None:
        return
    one = rows.voucher(conn, *ask.voucher)
    where = f"voucher {one.id}"
    if one.account != ask.account:
        raise NotFoundError(f"pool {ask.voucher[0]} has no voucher {one.id!r}", where="voucher")
    if not one.approved:
        raise ConflictError("it is not approved yet", where=where)
    if now_ms >= one.valid_to_ms:
        raise ConflictError("it has expired", where=where)
    if not one.left_micro:
        raise ConflictError("nothing of it is left", where=where)


def _once(
    conn: sqlite3.Connection,
    key: str,
    body: bytes,
    asked: tuple[str, int],
    work: Callable[[sqlite3.Connection], bytes],
) -> bytes:
    """Do what was asked for under a key, or return what it came to before."""
    row = conn.execute("SELECT body, answer FROM voucher_request WHERE key = ?", (key,)).fetchone()
    if row is None:
        answer = work(conn)
        conn.execute(
            "INSERT INTO voucher_request VALUES (?, ?, ?, ?, ?)", (key, body, answer, *asked)
        )
        return answer
    if row[0] != body:
        raise ConflictError("the key stands for something else", where=f"key {key}")
    found: bytes = row[1]
    return found
