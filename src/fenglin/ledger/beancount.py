"""Export to beancount text, so that a bookkeeping program we did not write checks the sums.

Ledger accounts become `Assets:Tenant:…`, `Assets:Provider:…`, `Assets:Voucher:…`,
`Liabilities:Tax:…` and `Equity:Hub:…`: a balance is what its owner may claim, with the ledger's
own sign. The text ends with one balance assertion
per account, which `bean-check` must find true to the micro-unit.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from fenglin.errors import InputError
from fenglin.ledger.export import decimal_amount, utc_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fenglin.ledger.entry import Entry

_TYPES = {
    "tenant": "Assets",
    "provider": "Assets",
    "hub": "Equity",
    "tax": "Liabilities",
    "voucher": "Assets",
}
_OPENED = "1970-01-01"
_CAPITAL = "X-0-"
_ESCAPE = re.compile(r"-(-|[0-9a-f]+-)", re.ASCII)


def account_name(account: str) -> str:
    """Return the beancount name of a ledger account; `ledger_account` is its inverse.

    Beancount wants each part to start with a capital or digit and to hold ASCII letters,
    digits and hyphens. A first small letter is capitalised; a part that starts otherwise is
    marked by `X-0-`; a hyphen is doubled; any other character becomes `-<hex>-`.
    """
    parts = account.split(":")
    return ":".join((_TYPES[parts[0]], *(_encode_part(part) for part in parts)))


def ledger_account(name: str) -> str:
    """Return the ledger account of a name that `account_name` made.

    Raises:
        InputError: it is not such a name.
    """
    try:
        account = ":".join(_decode_part(part) for part in name.split(":")[1:])
        if account_name(account) == name:
            return account
    except (KeyError, ValueError, OverflowError):
        pass
    raise InputError(f"{name[:200]!r} is not the beancount name of a ledger account")


def beancount(entries: Iterable[Entry]) -> Iterator[str]:
    """Yield the lines of a beancount file of these entries, from the genesis on.

    Memory grows with the number of accounts, not of entries. Dates are UTC.
    """
    yield 'option "title" "Fenglin ledger"\n'
    yield "; A balance is what the account's owner may claim: positive for tenants and providers.\n"
    balances: dict[tuple[str, str], int] = {}
    opened: dict[str, str] = {}
    latest_ms = 0
    for entry in entries:
        latest_ms = max(latest_ms, entry.time_ms)
        for leg in entry.legs:
            if leg.account not in opened:
                opened[leg.account] = account_name(leg.account)
                yield f"{_OPENED} open {opened[leg.account]}\n"
                yield f"  ledger-account: {_string(leg.account)}\n"
            place = (leg.account, leg.commodity)
            balances[place] = balances.get(place, 0) + leg.amount_micro
        if entry.legs:
            yield from _transaction(entry, opened)
        else:
            yield f"\n; entry {entry.seq}: {entry.kind} of ledger {_string(entry.ledger_id)}"
            yield f", hash {entry.hash.hex()}\n"
    # Beancount checks a balance at the start of a day.
    day = (utc_time(latest_ms) + timedelta(days=1)).date().isoformat()
    yield "\n"
    for (account, commodity), amount_micro in sorted(balances.items()):
        amount = decimal_amount(amount_micro)
        yield f"{day} balance {opened[account]}  {amount} ~ 0 {commodity}\n"


def _transaction(entry: Entry, names: dict[str, str]) -> Iterator[str]:
    """Yield one entry with what identifies it as metadata."""
    date = utc_time(entry.time_ms).date().isoformat()
    yield f"\n{date} * {_string(entry.kind)} {_string(entry.memo)}\n"
    yield f"  seq: {entry.seq}\n"
    yield f"  time-ms: {entry.time_ms}\n"
    yield f"  key: {_string(entry.key)}\n"
    if entry.job:
        yield f"  job: {entry.job}\n"
    if entry.attempt:
        yield f"  attempt: {_string(entry.attempt)}\n"
    for name, value in entry.details:
        yield f"  d-{name}: {_string(value)}\n"
    yield f"  hash: {_string(entry.hash.hex())}\n"
    for leg in entry.legs:
        yield f"  {names[leg.account]}  {decimal_amount(leg.amount_micro)} {leg.commodity}\n"


def _string(text: str) -> str:
    """Return a beancount string; control characters, which it cannot carry, become spaces."""
    safe = text
    if not text.isprintable():
        safe = "".join(char if char.isprintable() else " " for char in text)
    return '"' + safe.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _encode_part(part: str) -> str:
    """Return one part of an account as beancount allows it."""
    text = "".join(_encode_char(char) for char in part)
    first = text[0]
    if first.islower():
        return first.upper() + text[1:]
    return text if first.isdecimal() else _CAPITAL + text


def _encode_char(char: str) -> str:
    """Return an ASCII letter or digit as it is, a hyphen doubled, all else as its code."""
    if char == "-":
        return "--"
    return char if char.isascii() and char.isalnum() else f"-{ord(char):x}-"


def _decode_part(part: str) -> str:
    """Undo `_encode_part`."""
    marked = part.startswith(_CAPITAL)
    text = part.removeprefix(_CAPITAL) if marked else part[:1].lower() + part[1:]
    return _ESCAPE.sub(lambda found: _decode_escape(found[1]), text)


def _decode_escape(code: str) -> str:
    """Return the character behind a hyphen."""
    return "-" if code == "-" else chr(int(code[:-1], 16))
