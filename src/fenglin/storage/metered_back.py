"""Metered use that was charged and not used is given back: as if its line had said less.

What is given back of a line is the difference that it made: what its account's month costs with
it, less what the month costs without it. So with tiers, too, the sum of a month is that of the use
which is left, in whatever order lines came and were given back. What vouchers paid beyond that
returns to them in the same transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.catalog.pricebook.items import Unit
from fenglin.catalog.pricebook.rating import rate
from fenglin.errors import ConflictError, InputError, NotFoundError
from fenglin.ledger.metering.metered import UNIT, back_draft, back_key
from fenglin.ledger.posting import charge, charges_of
from fenglin.ports.metering import ChargedLine, GivenBack
from fenglin.quantities.shown import shown
from fenglin.storage import books, ledger, metered_rooms, voucher_returns
from fenglin.storage.ledger_rows import where_in
from fenglin.storage.metered_rows import USE_FIELDS, given_micro, metered_use, terms_of
from fenglin.storage.tiers import put_used, used_before

if TYPE_CHECKING:
    import sqlite3

    from fenglin.ledger.entry import Entry
    from fenglin.ledger.metering.metered import MeteredUse
    from fenglin.ports.metering import BackAsk

# Of the lines of one job, in an answer.
MOST_LINES = 1_000
_LINE = (
    f"SELECT {USE_FIELDS}, entry, counter, span FROM metered_use"  # noqa: S608
    " WHERE site = ? AND source = ? AND line = ?"
)
_OF_JOB = (
    f"SELECT {USE_FIELDS}, site, source, entry FROM metered_use WHERE job = ? AND job > 0"  # noqa: S608
    " ORDER BY started_ms, site, source, line LIMIT ?"
)
_BACK = "SELECT quantity, entry FROM metered_back WHERE site = ? AND source = ? AND line = ?"


def give_back(conn: sqlite3.Connection, ask: BackAsk, who: str, now_ms: int) -> GivenBack:
    """Give back some of a charged line; see `ports.metering.Metering`."""
    row = conn.execute(_LINE, ask.place).fetchone()
    if row is None:
        raise NotFoundError(
            f"no line {shown(ask.line)} of series {shown(ask.place[1])} was charged at site"
            f" {ask.place[0]}",
            where="line",
            hint="its name is in the file that was imported; what was only compared costs nothing",
        )
    *fields, seq, counter, span = row
    use = metered_use(fields)
    charged = next(ledger.entries(conn, after_seq=seq - 1, limit=1))
    left = use.quantity - _given(conn, ask.place)
    known = _known(conn, ask, use)
    if known is not None:
        return _told(conn, known[0], use, known[1], left)
    quantity = _wanted(ask, use, left)
    if counter:
        amount_micro = _uncount(conn, use, quantity, (use.account, counter, span))
    else:
        (one,) = charges_of(charged)
        whole, less = (
            charge(use.unit, n, one.per, one.price_micro).amount_micro
            for n in (left, left - quantity)
        )
        amount_micro = whole - less
    draft = back_draft(charged, use, quantity, amount_micro, key=ask.key, why=ask.why)
    (entry,) = books.append(conn, [draft], now_ms)
    conn.execute(
        "INSERT INTO metered_back (key, site, source, line, entry, quantity, who, why)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (ask.key, *ask.place, entry.seq, str(quantity), who, ask.why),
    )
    place = (use.account, counter, span) if counter else None
    _return(conn, charged, place, voucher_returns.Cause(entry.key, ask.why, who, now_ms))
    return _told(conn, entry, use, quantity, left - quantity)


def lines_of(conn: sqlite3.Connection, job: int) -> list[ChargedLine]:
    """Return what was charged for a job line by line, and given back of it."""
    found = []
    for *fields, site, source, seq in conn.execute(_OF_JOB, (job, MOST_LINES)).fetchall():
        use = metered_use(fields)
        back = conn.execute(_BACK, (site, source, use.line)).fetchall()
        costs = {
            entry.seq: _due_micro(entry)
            for entry in where_in(conn, "seq", [seq, *(other for _, other in back)])
        }
        cost_micro = costs.pop(seq)
        found.append(
            ChargedLine(
                site=site,
                source=source,
                use=use,
                entry=seq,
                cost_micro=cost_micro,
                back=sum(int(quantity) for quantity, _ in back),
                back_micro=-sum(costs.values()),
            )
        )
    return found


def _given(conn: sqlite3.Connection, place: tuple[str, str, str]) -> int:
    """Return how much of a line was given back."""
    return sum(int(quantity) for quantity, _ in conn.execute(_BACK, place))


def _known(conn: sqlite3.Connection, ask: BackAsk, use: MeteredUse) -> tuple[Entry, int] | None:
    """Return what the same key gave back before, with its quantity; None for a new key.

    Raises:
        ConflictError: it came with something else.
    """
    entry = ledger.find(conn, back_key(ask.key))
    if entry is None:
        return None
    *before, quantity = conn.execute(
        "SELECT site, source, line, why, quantity FROM metered_back WHERE key = ?", (ask.key,)
    ).fetchone()
    wanted = ask.quantity_of(use)
    if tuple(before) != (*ask.place, ask.why) or wanted not in {None, int(quantity)}:
        raise ConflictError(
            f"the key gave back something else, {quantity} of line {shown(before[2])}",
            where="key",
            hint="use a new key for something new",
        )
    return entry, int(quantity)


def _wanted(ask: BackAsk, use: MeteredUse, left: int) -> int:
    """Return how much is to be given back: all that is left where it is not said.

    Raises:
        ConflictError: it is more than is left.
        InputError: it is nothing.
    """
    quantity = ask.quantity_of(use)
    if quantity is None:
        quantity = left
        if not left and use.quantity:
            raise ConflictError("all of the line was given back before", where="line")
    if quantity > left:
        raise ConflictError(
            f"{left} of the line is left, not {quantity}",
            where="quantity",
            hint=f"the line was charged with {use.quantity}; leave the quantity out to give back"
            " all that is left",
        )
    if not quantity:
        raise InputError("that is nothing", where="quantity")
    return quantity


def _uncount(
    conn: sqlite3.Connection, use: MeteredUse, quantity: int, place: tuple[str, str, str]
) -> int:
    """Count so much less towards tiers; return by how much that lowers what its month costs."""
    used = used_before(conn, place) - quantity
    put_used(conn, {place: used})
    lines = rate(Unit(use.unit), terms_of(place[1]), quantity, before=used)
    return sum(line.amount_micro for line in lines)


def _return(
    conn: sqlite3.Connection,
    charged: Entry,
    place: tuple[str, str, str] | None,
    cause: voucher_returns.Cause,
) -> None:
    """Return to vouchers what they paid of a line beyond what it costs now.

    Args:
        conn: Inside a transaction.
        charged: The entry that charges the line.
        place: (account, counter, period) whose tiers it counts towards; None for none.
        cause: Why.
    """
    costs_micro = _due_micro(charged) - given_micro(conn, charged.key)
    draws = voucher_returns.draws_of_bill(conn, charged.key)
    voucher_returns.return_over(conn, draws, costs_micro, cause)
    if place is not None:
        # With tiers a line may give back more than it was charged: others were charged for that.
        all_micro = metered_rooms.costs_micro(conn, place, charged.detail(UNIT))
        draws = voucher_returns.draws_of_counter(conn, place)
        voucher_returns.return_over(conn, draws, all_micro, cause)


def _told(
    conn: sqlite3.Connection, entry: Entry, use: MeteredUse, quantity: int, left: int
) -> GivenBack:
    return GivenBack(
        entry=entry,
        use=use,
        quantity=quantity,
        left=left,
        amount_micro=-_due_micro(entry),
        vouchers_micro=voucher_returns.returned_micro(conn, entry),
    )


def _due_micro(entry: Entry) -> int:
    """Return by how much an entry changes what a provider is owed."""
    return sum(leg.amount_micro for leg in entry.legs if leg.account.startswith("provider:"))
