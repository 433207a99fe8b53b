"""Budgets in the embedded store: what was charged per month, and what is left.

All of it is asked and changed within the caller's transaction, so that starts at once see each
other's holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.ledger.accounts import GRANTS, held
from fenglin.ledger.budgets import Budget, BudgetUse, Span, span_bounds
from fenglin.ledger.entry import Kind
from fenglin.quantities.money import format_money
from fenglin.quantities.period import period_of
from fenglin.storage import ledger

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from fenglin.ledger.entry import Draft, Entry

Place = tuple[str, str]
"""An account, and a commodity."""

_CHARGING = (Kind.POST, Kind.ADJUST)
_ZONE = "charge_offset_min"
_ADD = """\
INSERT INTO account_charge (account, commodity, month_ms, charged_micro) VALUES (?, ?, ?, ?)
ON CONFLICT (account, commodity, month_ms)
DO UPDATE SET charged_micro = account_charge.charged_micro + excluded.charged_micro"""
_BUDGETS = "SELECT account, commodity, span, from_ms, hard_micro, soft_micro FROM account_budget"
_ALL = """\
SELECT leg.account, leg.commodity, entry.time_ms, -leg.amount_micro
FROM ledger_leg AS leg CROSS JOIN ledger_entry AS entry
WHERE entry.seq = leg.seq AND entry.kind IN (?, ?)
AND +leg.account >= 'tenant:' AND +leg.account < 'tenant;'
AND (entry.kind = ? OR NOT EXISTS (SELECT 1 FROM ledger_leg AS other
    WHERE other.seq = leg.seq AND +other.account = ?))"""


def may_charge(drafts: Sequence[Draft]) -> bool:
    """Return whether any of them changes what an account was charged."""
    return any(draft.kind in _CHARGING for draft in drafts)


def charge(conn: sqlite3.Connection, entries: Iterable[Entry]) -> None:
    """Bring along what accounts were charged, by entries that are new."""
    offset_min = _offset_min(conn)
    if offset_min is None:
        # The first `set_budgets` counts them.
        return
    _add(
        conn,
        offset_min,
        (
            (leg.account, leg.commodity, entry.time_ms, -leg.amount_micro)
            for entry in entries
            if entry.kind in _CHARGING and not _takes_back(entry)
            for leg in entry.legs
            if leg.account.startswith("tenant:")
        ),
    )


def set_budgets(
    conn: sqlite3.Connection,
    budgets: Mapping[str, Sequence[Budget]],
    offset_min: int,
    now_ms: int,
) -> None:
    """Say what accounts may use, and in which zone; see `ports.accounts.Accounts`."""
    conn.execute("DELETE FROM account_budget")
    conn.executemany(
        "INSERT INTO account_budget VALUES (?, ?, ?, ?, ?, ?)",
        [
            (
                account,
                one.commodity,
                one.span.value,
                span_bounds(one.span, now_ms, offset_min)[0],
                one.hard_micro,
                one.soft_micro,
            )
            for account, ones in budgets.items()
            for one in ones
        ],
    )
    if _offset_min(conn) == offset_min:
        return
    conn.execute("DELETE FROM account_charge")
    post, adjust = (kind.value for kind in _CHARGING)
    _add(conn, offset_min, conn.execute(_ALL, (post, adjust, post, GRANTS)))
    conn.execute(
        "INSERT INTO meta (name, value) VALUES (?, ?)"
        " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (_ZONE, str(offset_min)),
    )


def uses(
    conn: sqlite3.Connection, now_ms: int | None = None, account: str = ""
) -> dict[str, list[BudgetUse]]:
    """Return the budgets of all accounts, or of one, with what has been used of them.

    Args:
        conn: Inside a transaction.
        now_ms: Unix time; without it, the spans are those in which budgets were last set.
        account: Whose; of all when empty.
    """
    where = " WHERE account = ?" if account else ""
    rows = conn.execute(
        f"{_BUDGETS}{where} ORDER BY account, commodity, span",
        (account,) if account else (),
    ).fetchall()
    found: dict[str, list[BudgetUse]] = {}
    offset_min = (_offset_min(conn) or 0) if rows else 0
    for name, commodity, span, begun_ms, hard_micro, soft_micro in rows:
        budget = Budget(Span(span), hard_micro, soft_micro, commodity)
        at_ms = begun_ms if now_ms is None else now_ms
        from_ms, to_ms = span_bounds(budget.span, at_ms, offset_min)
        (charged_micro,) = conn.execute(
            "SELECT COALESCE(SUM(charged_micro), 0) FROM account_charge"
            " WHERE account = ? AND commodity = ? AND month_ms >= ?",
            (name, commodity, from_ms),
        ).fetchone()
        held_micro = ledger.balance(conn, held(name), commodity)
        found.setdefault(name, []).append(
            BudgetUse(budget, from_ms, to_ms, int(charged_micro), held_micro)
        )
    return found


def left_micro(
    conn: sqlite3.Connection, now_ms: int | None = None, account: str = ""
) -> dict[Place, int]:
    """Return what new holds may come to by the hard limits, where there are any.

    Arguments as for `uses`.
    """
    found: dict[Place, int] = {}
    for name, ones in uses(conn, now_ms, account).items():
        for one in ones:
            if one.left_micro is not None:
                place = (name, one.budget.commodity)
                found[place] = min(one.left_micro, found.get(place, one.left_micro))
    return found


def warnings(stood: Iterable[BudgetUse], account: str, hold_micro: int) -> Iterator[str]:
    """Yield what people must be told of a hold.

    Args:
        stood: The account's budgets of its commodity just after it was entered.
        account: Whose they are.
        hold_micro: What was held.
    """
    for one in stood:
        if one.passes_soft(hold_micro):
            kind = one.budget.commodity
            yield (
                f"account {account} has used {format_money(one.used_micro, kind)} of this"
                f" {one.budget.span}, holds included, and passed its soft limit of"
                f" {format_money(one.budget.soft_micro or 0, kind)}"
            )


def _takes_back(entry: Entry) -> bool:
    """Return whether an entry corrects a grant: nothing was used, so nothing is charged."""
    return entry.kind == Kind.ADJUST and any(leg.account == GRANTS for leg in entry.legs)


def _add(
    conn: sqlite3.Connection, offset_min: int, legs: Iterable[tuple[str, str, int, int]]
) -> None:
    """Add legs' amounts to the months of their accounts."""
    sums: dict[tuple[str, str, int], int] = {}
    months: dict[int, int] = {}
    for name, commodity, time_ms, charged_micro in legs:
        month_ms = months.get(time_ms)
        if month_ms is None:
            month_ms = months[time_ms] = period_of(time_ms, offset_min).from_ms
            if len(months) > 10_000:
                months.clear()
        place = (name.split(":")[1], commodity, month_ms)
        sums[place] = sums.get(place, 0) + charged_micro
    conn.executemany(_ADD, ((*place, charged) for place, charged in sums.items() if charged))


def _offset_min(conn: sqlite3.Connection) -> int | None:
    row = conn.execute("SELECT value FROM meta WHERE name = ?", (_ZONE,)).fetchone()
    return int(row[0]) if row else None
