"""Rows of vouchers: what stands, what is entered, and what vouchers pay of fresh postings.

All functions run inside a transaction of the caller.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from fenglin.errors import ConflictError, NotFoundError
from fenglin.ledger.accounts import voucher_budget
from fenglin.ledger.entry import Kind
from fenglin.ledger.posting import charges_of
from fenglin.ledger.vouchers.claim import Application, Decision
from fenglin.ledger.vouchers.cover import Paid, Source, cover, in_order
from fenglin.ledger.vouchers.entries import Origin, entry_of
from fenglin.ledger.vouchers.pool import (
    Act,
    Event,
    Pool,
    Voucher,
    approve,
    freed,
    lapses,
    step,
)
from fenglin.ledger.vouchers.scheme import ANY_ITEM, Rules, Scheme, complete
from fenglin.ports.vouchers import UsedPart, VoucherRecord
from fenglin.storage import books, ledger

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from fenglin.ledger.entry import Draft, Entry
    from fenglin.ledger.posting import Charge
    from fenglin.storage.metered_rooms import Rooms

THE_HUB = "hub"
# No pool has this name; it stands for what was given back of a charge.
_NO_POOL = ""
# Of the events of a bill: what vouchers paid of it, less what returned to them.
_PAID = "SUM(CASE act WHEN 'use' THEN amount_micro ELSE -amount_micro END)"
ENCODE = msgspec.json.Encoder().encode
_DECISION = msgspec.json.Decoder(Decision)
_APPLICATION = msgspec.json.Decoder(Application)
SCHEME = msgspec.json.Decoder(Scheme)
_SELECT = """\
SELECT voucher, account, firm, seller, contract, granted_micro, valid_to_ms, left_micro,
    used_micro, clawed_micro, revoked_micro, approved, pool FROM voucher"""
_PUT = """\
INSERT INTO voucher (pool, commodity, voucher, account, firm, seller, contract, granted_micro,
    valid_to_ms, left_micro, used_micro, clawed_micro, revoked_micro, approved)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (pool, voucher) DO UPDATE SET valid_to_ms = excluded.valid_to_ms,
    left_micro = excluded.left_micro, used_micro = excluded.used_micro,
    clawed_micro = excluded.clawed_micro, revoked_micro = excluded.revoked_micro,
    approved = excluded.approved"""
_RECORDS = """\
SELECT a.number, a.pool, a.application, a.body, a.filed_by, a.time_ms, d.body
FROM voucher_application AS a LEFT JOIN voucher_decision AS d USING (pool, application)"""


class Named(msgspec.Struct, frozen=True):
    """A pool's name and rules."""

    name: str
    rules: Rules


def digest(body: bytes) -> str:
    """Return what a ledger entry says of a stored body."""
    return hashlib.sha256(body).hexdigest()


def named(conn: sqlite3.Connection, name: str) -> Named:
    """Return a pool's name and rules.

    Raises:
        NotFoundError: there is none of that name.
    """
    row = conn.execute("SELECT scheme FROM voucher_pool WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise NotFoundError(f"there is no voucher pool {name!r}", where="pool")
    return Named(name, _rules(row[0]))


@lru_cache(maxsize=64)
def _rules(scheme: bytes) -> Rules:
    """Return the rules of a stored scheme; the few in use come again and again."""
    return complete(SCHEME.decode(scheme))


def standing(conn: sqlite3.Connection, at: Named) -> Pool:
    """Return a pool with all its vouchers, in the order in which they were given."""
    rows = conn.execute(f"{_SELECT} WHERE pool = ? ORDER BY number", (at.name,))
    found = [_voucher(row) for row in rows]
    return Pool(at.name, at.rules, free_micro(conn, at), {one.id: one for one in found})


def free_micro(conn: sqlite3.Connection, at: Named) -> int:
    """Return what a pool may still promise, as the ledger says."""
    return ledger.balance(conn, voucher_budget(at.name), at.rules.commodity)


def voucher(conn: sqlite3.Connection, pool: str, name: str) -> Voucher:
    """Return a voucher.

    Raises:
        NotFoundError: the pool has none of that id.
    """
    found = _find(conn, pool, name)
    if found is None:
        raise NotFoundError(f"pool {pool} has no voucher {name!r}", where="voucher")
    return found


def _find(conn: sqlite3.Connection, pool: str, name: str) -> Voucher | None:
    row = conn.execute(f"{_SELECT} WHERE pool = ? AND voucher = ?", (pool, name)).fetchone()
    return None if row is None else _voucher(row)


def _voucher(row: tuple[object, ...]) -> Voucher:
    name, account, firm, seller, contract, *rest = row
    granted, valid_to, left, used, clawed, revoked, approved, _ = rest
    return msgspec.convert(
        {
            "id": name, "account": account, "firm": firm, "deal": (seller, contract),
            "granted_micro": granted, "valid_to_ms": valid_to, "left_micro": left,
            "used_micro": used, "clawed_micro": clawed, "revoked_micro": revoked,
            "approved": bool(approved),
        },
        Voucher,
    )  # fmt: skip


def _put(conn: sqlite3.Connection, at: Named, one: Voucher) -> None:
    conn.execute(
        _PUT,
        (
            at.name, at.rules.commodity, one.id, one.account, one.firm, *one.deal,
            one.granted_micro, one.valid_to_ms, one.left_micro, one.used_micro,
            one.clawed_micro, one.revoked_micro, int(one.approved),
        ),
    )  # fmt: skip


def enter(
    conn: sqlite3.Connection,
    at: Named,
    events: Iterable[tuple[Event, Origin]],
    who: str,
    now_ms: int,
) -> None:
    """Keep events, what they come to, and their ledger entries.

    The numbers of the origins are not used: an event gets its own here.

    Raises:
        ConflictError: an event promises, uses or takes back more than there is.
    """
    drafts = list(_drafts(conn, at, events, who))
    if drafts:
        books.append(conn, drafts, now_ms)


def _drafts(
    conn: sqlite3.Connection, at: Named, events: Iterable[tuple[Event, Origin]], who: str
) -> Iterator[Draft]:
    """Keep events and what they come to; yield their ledger entries."""
    left_micro = free_micro(conn, at)
    for event, origin in events:
        after = step(at.rules, _find(conn, at.name, event.voucher), event)
        left_micro += freed(event)
        if left_micro < 0:
            raise ConflictError(
                "the pool has less than that free", where=f"voucher {event.voucher}"
            )
        number = conn.execute(
            "INSERT INTO voucher_event (pool, voucher, act, amount_micro, bill, body, entered_by)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                at.name,
                event.voucher,
                event.act.value,
                event.amount_micro,
                event.why if event.act is Act.USE else event.pays,
                ENCODE(event),
                who,
            ),
        ).lastrowid
        _put(conn, at, after)
        whole = msgspec.structs.replace(origin, number=number or 0)
        yield entry_of(at.name, at.rules, after, event, whole)


def plain(events: Iterable[Event]) -> list[tuple[Event, Origin]]:
    """Return events whose entries name nothing but the voucher."""
    return [(event, Origin(0)) for event in events]


def lapse(conn: sqlite3.Connection, now_ms: int) -> int:
    """Free what has expired in all pools; return how many vouchers."""
    where = "WHERE left_micro > 0 AND valid_to_ms <= ? ORDER BY number"
    gone: dict[str, list[Voucher]] = {}
    for row in conn.execute(f"{_SELECT} {where}", (now_ms,)).fetchall():
        gone.setdefault(row[-1], []).append(_voucher(row))
    for pool, ones in gone.items():
        enter(conn, named(conn, pool), plain(lapses(ones, now_ms)), THE_HUB, now_ms)
    return sum(map(len, gone.values()))


def release(conn: sqlite3.Connection, pool: str, name: str, who: str, now_ms: int) -> None:
    """Let a voucher be used."""
    at = named(conn, pool)
    enter(conn, at, plain(approve(voucher(conn, pool, name), now_ms)), who, now_ms)


def pay_postings(conn: sqlite3.Connection, entries: Sequence[Entry], now_ms: int) -> None:
    """Pay what was just charged with the vouchers of the accounts, in the same transaction."""
    row = conn.execute("SELECT EXISTS (SELECT 1 FROM voucher WHERE left_micro > 0)").fetchone()
    if not row[0]:
        return
    by_payer: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        if entry.kind is Kind.POST:
            leg = entry.legs[0]
            by_payer.setdefault((leg.account.split(":")[1], leg.commodity), []).append(entry)
    for payer, postings in by_payer.items():
        pay(conn, postings, sources(conn, payer, now_ms), (THE_HUB, now_ms))


def sources(
    conn: sqlite3.Connection,
    payer: tuple[str, str],
    now_ms: int,
    only: tuple[str, str] | None = None,
) -> list[Source]:
    """Return the vouchers that may pay now for (account, commodity), in the order of use."""
    rows = conn.execute(
        "SELECT pool, voucher, valid_to_ms, left_micro FROM voucher WHERE account = ?"
        " AND commodity = ? AND left_micro > 0 AND approved = 1 AND valid_to_ms > ?",
        (*payer, now_ms),
    ).fetchall()
    rules = {pool: named(conn, pool).rules for pool in {row[0] for row in rows}}
    found = [
        Source(pool, name, rules[pool].items, valid_to_ms, left_micro)
        for pool, name, valid_to_ms, left_micro in rows
        if only is None or (pool, name) == only
    ]
    return in_order(found)


def pay(
    conn: sqlite3.Connection,
    postings: Iterable[Entry],
    could: Sequence[Source],
    by: tuple[str, int],
    most_micro: int | None = None,
    rooms: Rooms | None = None,
) -> list[UsedPart]:
    """Pay postings of one account with its vouchers.

    Args:
        conn: In a transaction.
        postings: What was charged.
        could: What may pay, in the order of use.
        by: Who uses them, and when: Unix time.
        most_micro: How much at most; None for no limit.
        rooms: Tells what was given back of the postings; None where they are new.

    Returns:
        What each voucher paid of each posting.
    """
    left = {(one.pool, one.voucher): one for one in could}
    parts: list[UsedPart] = []
    todo: dict[str, list[tuple[Event, Origin]]] = {}
    for posting in postings:
        if not left or most_micro == 0:
            break
        charges = charges_of(posting)
        paid = _paid(conn, posting.key)
        if rooms is not None:
            paid |= _gone(rooms, posting.key, charges, paid)
        for source, part_micro in cover(charges, list(left.values()), paid):
            part = part_micro if most_micro is None else min(part_micro, most_micro)
            if not part:
                break
            most_micro = None if most_micro is None else most_micro - part
            if rooms is not None:
                rooms.pay(posting.key, part)
            name = (source.pool, source.voucher)
            rest_micro = source.left_micro - part
            if rest_micro:
                left[name] = msgspec.structs.replace(source, left_micro=rest_micro)
            else:
                del left[name]
            event = Event(
                act=Act.USE,
                voucher=source.voucher,
                amount_micro=part,
                time_ms=by[1],
                why=posting.key,
            )
            todo.setdefault(source.pool, []).append((event, Origin(0, job=posting.job)))
            parts.append(UsedPart(*name, posting.key, part))
    for pool, events in todo.items():
        enter(conn, named(conn, pool), events, *by)
    return parts


def _paid(conn: sqlite3.Connection, key: str) -> dict[str, Paid]:
    """Return what each pool has paid of a posting."""
    rows = conn.execute(
        f"SELECT pool, {_PAID} FROM voucher_event"  # noqa: S608
        " WHERE bill = ? AND bill <> '' GROUP BY pool",
        (key,),
    ).fetchall()
    return {pool: Paid(named(conn, pool).rules.items, int(amount)) for pool, amount in rows}


def _gone(
    rooms: Rooms, key: str, charges: Sequence[Charge], paid: Mapping[str, Paid]
) -> dict[str, Paid]:
    """Return what of a posting nobody owes any more, as if somebody had paid it."""
    open_micro = sum(one.amount_micro for one in charges)
    open_micro -= sum(one.amount_micro for one in paid.values())
    gone_micro = rooms.gone_micro(key, open_micro)
    return {_NO_POOL: Paid((ANY_ITEM,), gone_micro)} if gone_micro > 0 else {}


def records(
    conn: sqlite3.Connection, where: str, values: Sequence[str | int]
) -> list[VoucherRecord]:
    """Return applications with what became of them."""
    return [
        VoucherRecord(
            number=number,
            pool=pool,
            application=_APPLICATION.decode(body),
            filed_by=filed_by,
            filed_ms=time_ms,
            decision=None if decision is None else _DECISION.decode(decision),
            voucher=_find(conn, pool, name),
        )
        for number, pool, name, body, filed_by, time_ms, decision in conn.execute(
            f"{_RECORDS} {where}", values
        ).fetchall()
    ]


def record(conn: sqlite3.Connection, pool: str, name: str) -> VoucherRecord:
    """Return one application.

    Raises:
        NotFoundError: there is none of that id in the pool.
    """
    found = records(conn, "WHERE a.pool = ? AND a.application = ?", (pool, name))
    if not found:
        raise NotFoundError(f"pool {pool} has no voucher {name!r}", where="voucher")
    return found[0]
