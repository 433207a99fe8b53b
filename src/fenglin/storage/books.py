"""The ledger as the store offers it: appends, balances, verification, statements."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fenglin.ledger.accounts import available
from fenglin.ledger.posting import CURRENCY, charges_of
from fenglin.ledger.seals import Seals
from fenglin.model.hours import is_hours, purse
from fenglin.storage import audit_seals, budgets, ledger, ledger_tree
from fenglin.storage.ledger_parts import cores_here
from fenglin.storage.ledger_rows import OF_TENANT
from fenglin.wire.views import HoursStatement, LedgerCheck, Statement, StatementLine

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from fenglin.ledger.entry import Draft, Entry

_PREFIX = "tenant:"
_SUFFIX = ":available"
_DETAILS = msgspec.json.Decoder(list[tuple[str, str]])


def ledger_id(conn: sqlite3.Connection) -> str:
    """Return the id of this hub's ledger."""
    return str(conn.execute("SELECT value FROM meta WHERE name = 'ledger'").fetchone()[0])


def found(conn: sqlite3.Connection, now_ms: int) -> None:
    """Found the ledger if it is not there."""
    ledger.found(conn, ledger_id(conn), now_ms)


def append(conn: sqlite3.Connection, drafts: Sequence[Draft], now_ms: int) -> list[Entry]:
    """Enter drafts; see `storage.ledger.append`. What accounts were charged is brought along."""
    at_ms = max(now_ms, closed_until_ms(conn))
    if not budgets.may_charge(drafts):
        return ledger.append(conn, ledger_id(conn), at_ms, drafts)
    last = ledger.head(conn)
    entered = ledger.append(conn, ledger_id(conn), at_ms, drafts)
    budgets.charge(conn, {one.seq: one for one in entered if last and one.seq > last.seq}.values())
    return entered


def closed_until_ms(conn: sqlite3.Connection) -> int:
    """Return the first millisecond that no closed month holds; 0 when none is closed.

    No entry is made before it, whatever a clock says: the statement of a closed month is final.
    """
    row = conn.execute(
        "SELECT details FROM ledger_entry WHERE kind = 'close' ORDER BY seq DESC LIMIT 1"
    ).fetchone()
    return int(dict(_DETAILS.decode(row[0]))["to_ms"]) if row else 0


def spendable(
    conn: sqlite3.Connection, account: str, now_ms: int, commodity: str = CURRENCY
) -> int:
    """Return what new holds of an account may come to in a commodity.

    That is what is available and its credit in it, or what its budgets leave, if that is less.
    """
    row = conn.execute(
        "SELECT credit_micro FROM account_limit WHERE account = ? AND commodity = ?",
        (account, commodity),
    )
    credit_micro = row.fetchone() or (0,)
    whole_micro = ledger.balance(conn, available(account), commodity) + int(credit_micro[0])
    left = budgets.left_micro(conn, now_ms, account)
    return min(whole_micro, left.get((account, commodity), whole_micro))


def available_balances(conn: sqlite3.Connection) -> dict[str, int]:
    """Return what each tenant's account may still spend, by short name; see `spendable`.

    Its hours stand beside, each kind by its `purse`.
    """
    rows = conn.execute(
        "SELECT account, commodity, amount_micro FROM ledger_balance"
        " WHERE account LIKE 'tenant:%:available'"
    )
    whole: dict[tuple[str, str], int] = {}
    for account, commodity, amount in rows:
        name = account.removeprefix(_PREFIX).removesuffix(_SUFFIX)
        if commodity == CURRENCY or is_hours(commodity):
            whole[name, commodity] = amount
    limits = conn.execute("SELECT account, commodity, credit_micro FROM account_limit")
    for account, commodity, credit_micro in limits:
        place = (account, commodity)
        # An account without money is not known yet; hours may be lent that were never granted.
        if place in whole or is_hours(commodity):
            whole[place] = whole.get(place, 0) + credit_micro
    left = budgets.left_micro(conn)
    return {
        purse(name, kind) if is_hours(kind) else name: min(amount, left.get((name, kind), amount))
        for (name, kind), amount in whole.items()
    }


def verify(conn: sqlite3.Connection) -> LedgerCheck:
    """Check everything against everything, in constant memory."""
    conn.execute("BEGIN")
    try:
        report = ledger.verify_stored(
            conn, seals=Seals(ledger_tree.checkpoints(conn)), cores=cores_here()
        )
        head = ledger.head(conn)
        # An entry that cannot be read is told of by the report.
        trail = audit_seals.problem(conn) if report.ok else ""
    finally:
        conn.execute("ROLLBACK")
    return LedgerCheck(
        ok=report.ok and not trail,
        entries=report.entries,
        first_bad_seq=report.bad_seq or 0,
        problem="; ".join(filter(None, (report.why, *report.problems, trail))),
        head_hash=head.hash.hex() if head else "",
        ledger_id=head.ledger_id if head else "",
        sealed=report.sealed,
    )


def entries(conn: sqlite3.Connection) -> Iterator[Entry]:
    """Yield all entries as one state of the ledger."""
    conn.execute("BEGIN")
    try:
        yield from ledger.entries(conn)
    finally:
        conn.execute("ROLLBACK")


def statement(conn: sqlite3.Connection, account: str, from_ms: int, to_ms: int) -> Statement:
    """Return the account's statement, its charges summed per job, place and item."""
    conn.execute("BEGIN")
    try:
        period = ledger.statement(conn, account, from_ms, to_ms)
        lines = _lines(conn, account, (from_ms, to_ms))
        hours = [
            _hours(conn, account, (from_ms, to_ms), kind)
            for kind in kinds_of_hours(conn, account, to_ms)
        ]
        head = ledger.head(conn)
    finally:
        conn.execute("ROLLBACK")
    return Statement(
        account=account,
        currency=period.commodity,
        from_ms=from_ms,
        to_ms=to_ms,
        opening_micro=period.opening.total_micro,
        granted_micro=period.granted_micro,
        charged_micro=period.charged_micro,
        held_micro=period.closing.held_micro,
        closing_micro=period.closing.total_micro,
        lines=lines,
        ledger_id=head.ledger_id if head else "",
        ledger_seq=head.seq if head else 0,
        ledger_hash=head.hash.hex() if head else "",
        deposited_micro=period.deposited_micro,
        refunded_micro=period.refunded_micro,
        vouchers_micro=period.vouchers_micro,
        adjusted_micro=period.adjusted_micro,
        hours=hours,
    )


def kinds_of_hours(conn: sqlite3.Connection, account: str, before_ms: int) -> list[str]:
    """Return the kinds of hours that an account had before a moment, sorted."""
    place = available(account)
    rows = conn.execute(
        "SELECT commodity FROM ledger_balance WHERE account = ? ORDER BY commodity", (place,)
    ).fetchall()
    # What came later must not change the bill of a month that is over.
    return [
        kind
        for (kind,) in rows
        if is_hours(kind)
        and conn.execute(
            f"SELECT EXISTS (SELECT 1 FROM ledger_entry WHERE {OF_TENANT} AND time_ms < ?"  # noqa: S608
            " AND EXISTS (SELECT 1 FROM ledger_leg AS leg WHERE leg.seq = ledger_entry.seq"
            " AND +leg.account = ? AND leg.commodity = ?))",
            (place, before_ms, place, kind),
        ).fetchone()[0]
    ]


def _hours(
    conn: sqlite3.Connection, account: str, span_ms: tuple[int, int], kind: str
) -> HoursStatement:
    """Return what an account used of one kind of hours."""
    period = ledger.statement(conn, account, *span_ms, kind)
    return HoursStatement(
        kind=kind,
        opening_micro=period.opening.total_micro,
        granted_micro=period.granted_micro,
        charged_micro=period.charged_micro,
        adjusted_micro=period.adjusted_micro,
        held_micro=period.closing.held_micro,
        closing_micro=period.closing.total_micro,
        lines=_lines(conn, account, span_ms, kind),
    )


def _lines(
    conn: sqlite3.Connection, account: str, span_ms: tuple[int, int], commodity: str = CURRENCY
) -> list[StatementLine]:
    """Sum the charges of postings per (job, site, flavor, item, price), in one pass."""
    sums: dict[tuple[int, str, str, str, int, int], list[int]] = {}
    for entry in ledger.postings(conn, account, *span_ms):
        if all(leg.commodity != commodity for leg in entry.legs):
            continue
        details = dict(entry.details)
        for charge in charges_of(entry):
            place = (
                entry.job,
                details.get("site", ""),
                details.get("flavor", ""),
                charge.item,
                charge.per,
                charge.price_micro,
            )
            total = sums.setdefault(place, [0, 0])
            total[0] += charge.quantity
            total[1] += charge.amount_micro
    names: dict[int, str] = {0: ""}
    for job in {place[0] for place in sums} - {0}:
        row = conn.execute("SELECT name FROM job WHERE number = ?", (job,)).fetchone()
        names[job] = row[0] if row else ""
    return [
        StatementLine(
            job=f"j{job}" if job else "",
            job_name=names[job],
            site=site,
            flavor=flavor,
            item=item,
            quantity=f"{quantity / per:.6f}",
            unit=item,
            price_micro=price_micro,
            amount_micro=amount,
        )
        for (job, site, flavor, item, per, price_micro), (quantity, amount) in sorted(sums.items())
    ]
