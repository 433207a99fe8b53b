"""What providers are owed, and what was paid to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fenglin.errors import ConflictError
from fenglin.ledger.settlement import Settlement
from fenglin.ports.settling import Due
from fenglin.quantities.money import format_money
from fenglin.storage import books, ledger

if TYPE_CHECKING:
    import sqlite3

    from fenglin.ledger.entry import Draft, Entry

_SETTLEMENT = msgspec.json.Decoder(Settlement)
# By the index on keys.
_PAYS = """\
SELECT leg.account, leg.commodity, -leg.amount_micro
FROM ledger_entry AS entry JOIN ledger_leg AS leg ON leg.seq = entry.seq
WHERE entry.key >= 'pay:' AND entry.key < 'pay;' AND leg.account LIKE 'provider:%:due'"""


def dues(conn: sqlite3.Connection) -> tuple[Due, ...]:
    """Return what providers are owed, by name and commodity."""
    found: dict[tuple[str, str], list[int]] = {}
    balances = conn.execute(
        "SELECT account, commodity, amount_micro FROM ledger_balance"
        " WHERE account LIKE 'provider:%:due'"
    )
    for account, commodity, amount_micro in balances:
        found.setdefault((_provider(account), commodity), [0, 0, 0])[0] = amount_micro
    for provider, commodity, body in conn.execute(
        "SELECT provider, commodity, body FROM settlement"
    ):
        payable_micro = _SETTLEMENT.decode(body).payable_micro
        found.setdefault((provider, commodity), [0, 0, 0])[1] += payable_micro
    for account, commodity, paid_micro in conn.execute(_PAYS):
        found.setdefault((_provider(account), commodity), [0, 0, 0])[2] += paid_micro
    return tuple(Due(*place, *found[place]) for place in sorted(found))


def pay(conn: sqlite3.Connection, draft: Draft, now_ms: int) -> Entry:
    """Enter money that went out to a provider; see `ports.settling.Settlings`."""
    if ledger.find(conn, draft.key) is None:
        owed = draft.legs[0]
        place = (_provider(owed.account), owed.commodity)
        mine = [one for one in dues(conn) if (one.provider, one.commodity) == place]
        left_micro = sum(one.payable_micro for one in mine)
        if -owed.amount_micro > left_micro:
            raise ConflictError(
                f"{format_money(max(0, left_micro), owed.commodity)} is payable, not"
                f" {format_money(-owed.amount_micro, owed.commodity)}",
                where="amount",
                hint="payable is what posted settlements say: see `fenglin settle --post`",
            )
    return books.append(conn, [draft], now_ms)[0]


def _provider(account: str) -> str:
    """Return whose account it is."""
    return account.split(":")[1]
