"""The port of accounts over the embedded store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.errors import ConflictError
from fenglin.ledger.accounts import available
from fenglin.ledger.entry import Kind
from fenglin.ledger.moves import PERIOD, close
from fenglin.ledger.posting import CURRENCY, take_back
from fenglin.ledger.statement import Funds
from fenglin.model.hours import is_hours, of_purse
from fenglin.quantities.money import format_money
from fenglin.quantities.period import period_of
from fenglin.storage import books, ledger
from fenglin.storage import budgets as rooms

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from fenglin.ledger.budgets import Budget, BudgetUse
    from fenglin.ledger.entry import Draft, Entry
    from fenglin.ports.accounts import HoursBack
    from fenglin.quantities.period import Period
    from fenglin.storage.store import SqlStore

_OPEN_HOLDS = """\
SELECT COUNT(*) FROM ledger_entry AS hold WHERE kind = 'hold' AND time_ms >= ? AND time_ms < ?
AND NOT EXISTS (SELECT 1 FROM ledger_entry AS done
    WHERE done.attempt = hold.attempt AND done.kind IN ('post', 'void'))"""


class SqliteAccounts:
    """Implements `ports.accounts.Accounts`."""

    def __init__(self, store: SqlStore) -> None:
        """Take the store."""
        self._store = store

    async def funds(self) -> dict[str, Funds]:
        """See `ports.accounts.Accounts`."""
        return await self._store.read(_funds)

    async def hours(self) -> dict[str, dict[str, Funds]]:
        """See `ports.accounts.Accounts`."""
        return await self._store.read(_hours)

    async def set_limits(self, epoch: int, credits_micro: Mapping[str, int]) -> None:
        """See `ports.accounts.Accounts`."""

        def work(conn: sqlite3.Connection) -> None:
            rows = [(*of_purse(name), micro) for name, micro in credits_micro.items()]
            conn.execute("DELETE FROM account_limit")
            conn.executemany(
                "INSERT INTO account_limit VALUES (?, ?, ?)",
                [(account, commodity or CURRENCY, micro) for account, commodity, micro in rows],
            )

        await self._store.write(epoch, work)

    async def set_budgets(
        self, epoch: int, budgets: Mapping[str, Sequence[Budget]], offset_min: int, now_ms: int
    ) -> None:
        """See `ports.accounts.Accounts`."""
        await self._store.write(
            epoch, lambda conn: rooms.set_budgets(conn, budgets, offset_min, now_ms)
        )

    async def budgets(self, now_ms: int) -> dict[str, list[BudgetUse]]:
        """See `ports.accounts.Accounts`."""
        return await self._store.read(lambda conn: rooms.uses(conn, now_ms))

    async def enter(self, epoch: int, draft: Draft, now_ms: int, *, least_micro: int) -> Entry:
        """See `ports.accounts.Accounts`."""

        def work(conn: sqlite3.Connection) -> Entry:
            if least_micro and ledger.find(conn, draft.key) is None:
                _check_there(conn, (draft.legs[0].account, CURRENCY), least_micro)
            return books.append(conn, [draft], now_ms)[0]

        return await self._store.write(epoch, work)

    async def take_back(self, epoch: int, account: str, hours: HoursBack, now_ms: int) -> Entry:
        """See `ports.accounts.Accounts`."""

        def work(conn: sqlite3.Connection) -> Entry:
            place = (available(account), hours.commodity)
            known = ledger.find(conn, f"{Kind.ADJUST}:grant:{hours.key}")
            if known is None:
                _check_there(conn, place, hours.amount_micro)
                seq = _last_grant(conn, place)
            else:
                seq = int(known.detail("corrects_seq"))
            draft = take_back(
                next(ledger.entries(conn, after_seq=seq - 1, limit=1)),
                account,
                hours.amount_micro,
                hours.key,
                commodity=hours.commodity,
                memo=hours.memo,
            )
            return books.append(conn, [draft], now_ms)[0]

        return await self._store.write(epoch, work)

    async def close(self, epoch: int, period: Period, now_ms: int) -> tuple[Entry, int]:
        """See `ports.accounts.Accounts`."""

        def work(conn: sqlite3.Connection) -> tuple[Entry, int]:
            known = ledger.find(conn, f"{Kind.CLOSE}:{period}")
            if known is not None:
                return known, int(known.detail("open_holds") or 0)
            _check_order(conn, period)
            (held,) = conn.execute(_OPEN_HOLDS, (period.from_ms, period.to_ms)).fetchone()
            details = (("to_ms", str(period.to_ms)), ("open_holds", str(held)))
            return books.append(conn, [close(str(period), details)], now_ms)[0], held

        return await self._store.write(epoch, work)


def _funds(conn: sqlite3.Connection) -> dict[str, Funds]:
    """Return what each tenant's account has in money."""
    return {account: found[CURRENCY] for account, found in _all(conn).items() if CURRENCY in found}


def _hours(conn: sqlite3.Connection) -> dict[str, dict[str, Funds]]:
    """Return what tenants' accounts have in each kind of hours."""
    return {
        account: hours
        for account, found in _all(conn).items()
        if (hours := {kind: funds for kind, funds in found.items() if is_hours(kind)})
    }


def _all(conn: sqlite3.Connection) -> dict[str, dict[str, Funds]]:
    """Return what each tenant's account has, by commodity."""
    parts: dict[tuple[str, str], dict[str, int]] = {}
    rows = conn.execute(
        "SELECT account, commodity, amount_micro FROM ledger_balance WHERE account LIKE 'tenant:%'"
    )
    for name, commodity, amount_micro in rows:
        _, account, part = name.split(":")
        parts.setdefault((account, commodity), {})[part] = amount_micro
    found: dict[str, dict[str, Funds]] = {}
    for (account, commodity), each in sorted(parts.items()):
        funds = Funds(each.get("available", 0), each.get("held", 0))
        found.setdefault(account, {})[commodity] = funds
    return found


def _check_there(conn: sqlite3.Connection, place: tuple[str, str], least_micro: int) -> None:
    """Refuse to give back what is not there: (ledger account, commodity)."""
    account, commodity = place
    there = ledger.balance(conn, account, commodity)
    if there < least_micro:
        found, wanted = (format_money(one, commodity) for one in (there, least_micro))
        raise ConflictError(
            f"only {found} is available, not {wanted}",
            where=account.split(":")[1],
            hint="what is held or lent cannot be paid back",
        )


def _last_grant(conn: sqlite3.Connection, place: tuple[str, str]) -> int:
    """Return the number of the last grant to (ledger account, commodity).

    What is available of hours was granted, so there is one.
    """
    (seq,) = conn.execute(
        "SELECT MAX(leg.seq) FROM ledger_leg AS leg JOIN ledger_entry AS entry"
        " ON entry.seq = leg.seq WHERE leg.account = ? AND leg.commodity = ? AND kind = ?",
        (*place, Kind.GRANT.value),
    ).fetchone()
    return int(seq)


def _check_order(conn: sqlite3.Connection, period: Period) -> None:
    """Refuse a month that would leave an open one behind, or that lies before a closed one."""
    row = conn.execute(
        "SELECT seq FROM ledger_entry WHERE kind = 'close' ORDER BY seq DESC LIMIT 1"
    ).fetchone()
    if row is None:
        founded_ms = conn.execute("SELECT time_ms FROM ledger_entry WHERE seq = 1").fetchone()[0]
        first = period_of(founded_ms, period.offset_min)
        if str(period) < str(first):
            raise ConflictError(
                f"the ledger was founded in {first}", where=str(period), hint="close that first"
            )
        return
    last = next(ledger.entries(conn, after_seq=row[0] - 1, limit=1)).detail(PERIOD)
    if str(period.previous()) != last:
        raise ConflictError(
            f"the last closed month is {last}",
            where=str(period),
            hint="months are closed one after another",
        )
