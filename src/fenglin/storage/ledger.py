"""The ledger in SQLite: plain functions over a connection whose transaction the caller owns.

None of them begins or commits. Writers are called inside `BEGIN IMMEDIATE`; readers that must
see one state (`verify_stored`, `statement`, an export) inside a read transaction.
"""

from __future__ import annotations

import sqlite3
from functools import lru_cache
from typing import TYPE_CHECKING

from fenglin.errors import ConflictError, DamageError
from fenglin.ledger.accounts import available, held
from fenglin.ledger.entry import (
    Draft,
    Entry,
    Head,
    Kind,
    Leg,
    check_draft,
    genesis,
    seal_behind,
)
from fenglin.ledger.moves import move_fault
from fenglin.ledger.posting import CURRENCY, Hold, hold_fault, hold_of
from fenglin.ledger.statement import Funds, Statement
from fenglin.ledger.statement import statement as make_statement
from fenglin.ledger.verify import Unreadable
from fenglin.storage.ledger_rows import (
    COLUMNS,
    ENCODER,
    LEG_COLUMNS,
    MOST_SEQ,
    NO_DETAILS,
    OF_TENANT,
    PARAMETERS,
    items,
    where_in,
)
from fenglin.storage.ledger_schema import LEDGER_DDL
from fenglin.storage.ledger_verify import verify_stored
from fenglin.storage.portions import portions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence, Sized


__all__ = [
    "LEDGER_DDL",
    "append",
    "balance",
    "entries",
    "entries_of",
    "find",
    "found",
    "funds_before",
    "head",
    "open_hold",
    "postings",
    "statement",
    "verify_stored",
]

# By two queries: asked for both at once, PostgreSQL may read all legs to find those of a few.
_SEQS_OF = "SELECT seq, key FROM ledger_entry WHERE key IN"
_LEGS_OF = "SELECT seq, account, commodity, amount_micro FROM ledger_leg WHERE seq IN"
Value = int | str | bytes
_ENDS = (Kind.POST, Kind.VOID)
_KIND_TEXT = {kind: kind.value for kind in Kind}
_HOLD, _POST, _VOID = (f"{kind}:" for kind in (Kind.HOLD, Kind.POST, Kind.VOID))
_ADD_BALANCE = """\
INSERT INTO ledger_balance (account, commodity, amount_micro) VALUES (?, ?, ?)
ON CONFLICT (account, commodity)
DO UPDATE SET amount_micro = ledger_balance.amount_micro + excluded.amount_micro"""


def found(conn: sqlite3.Connection, ledger_id: str, time_ms: int) -> Entry:
    """Write the genesis of a new ledger, or return that of the ledger which is there.

    Raises:
        ConflictError: the database holds another ledger.
    """
    first = next(entries(conn, limit=1), None)
    if first is None:
        first = genesis(ledger_id, time_ms)
        _insert(conn, [first])
    elif first.ledger_id != ledger_id:
        raise ConflictError(f"this database holds ledger {first.ledger_id!r}, not {ledger_id!r}")
    return first


def append(
    conn: sqlite3.Connection, ledger_id: str, time_ms: int, drafts: Sequence[Draft]
) -> list[Entry]:
    """Enter drafts in their order; each is answered by its entry.

    A draft whose key is there with the same body, earlier or in this batch, is answered by
    that entry and enters nothing. After any error the caller rolls back.

    Args:
        conn: Inside `BEGIN IMMEDIATE`.
        ledger_id: Whose ledger the caller means to write.
        time_ms: Unix time of entry.
        drafts: Any number.

    Raises:
        InputError: a draft is malformed or out of balance.
        ConflictError: a key is there with another body; a hold is missing, already resolved,
            or not resolved exactly; the database holds another ledger.
        DamageError: there is no genesis, or the database refused an entry.
    """
    for draft in drafts:
        check_draft(draft)
    last = head(conn)
    if last is None:
        raise DamageError("the ledger has no genesis", hint="found it before entering anything")
    if last.ledger_id != ledger_id:
        raise ConflictError(f"this database holds ledger {last.ledger_id!r}, not {ledger_id!r}")
    known = _known(conn, drafts)
    holds = _holds(conn, drafts)
    answers: list[Entry] = []
    fresh: list[Entry] = []
    seq, own = last.seq, last.hash
    for draft in drafts:
        entry = known.get(draft.key)
        if entry is None:
            _check_hold(draft, known, holds)
            entry = known[draft.key] = seal_behind(ledger_id, seq, own, draft, time_ms)
            seq, own = entry.seq, entry.hash
            fresh.append(entry)
            if draft.kind is Kind.HOLD:
                holds[draft.attempt] = draft.legs
        elif entry.draft != draft:
            raise ConflictError(
                f"the key is entry {entry.seq}, with another body",
                where=draft.key,
                hint="correct an entry by an adjustment; use a new key for a new posting",
            )
        answers.append(entry)
    _insert(conn, fresh)
    return answers


def head(conn: sqlite3.Connection) -> Head | None:
    """Return the last entry's place and hash; None for a database without a ledger."""
    row = conn.execute(
        "SELECT ledger_id, seq, hash FROM ledger_entry ORDER BY seq DESC LIMIT 1"
    ).fetchone()
    return None if row is None else Head(*row)


def balance(conn: sqlite3.Connection, account: str, commodity: str = CURRENCY) -> int:
    """Return a ledger account's balance in micro-units, zero if it was never used. O(1).

    Args:
        conn: Any connection to the ledger.
        account: Full name, such as `accounts.available("lab")`.
        commodity: Of the balance.
    """
    row = conn.execute(
        "SELECT amount_micro FROM ledger_balance WHERE account = ? AND commodity = ?",
        (account, commodity),
    ).fetchone()
    return 0 if row is None else int(row[0])


def open_hold(conn: sqlite3.Connection, attempt: str) -> Hold | None:
    """Return the attempt's hold, None when it has none or it is posted or voided."""
    kept = _with_keys(conn, [f"{kind}:{attempt}" for kind in (Kind.HOLD, Kind.POST, Kind.VOID)])
    opened = kept.get(f"{Kind.HOLD}:{attempt}")
    return hold_of(opened) if opened is not None and len(kept) == 1 else None


def find(conn: sqlite3.Connection, key: str) -> Entry | None:
    """Return the entry with this key."""
    return _with_keys(conn, [key]).get(key)


def entries(
    conn: sqlite3.Connection, after_seq: int = 0, limit: int | None = None, chunk: int = 1000
) -> Iterator[Entry]:
    """Yield entries by seq, in memory that does not grow with their number.

    Args:
        conn: Inside one read transaction if the whole must be one state.
        after_seq: Start behind this entry.
        limit: At most so many; all when None.
        chunk: Rows read at a time.

    Raises:
        DamageError: a row cannot be read as an entry.
    """
    for item in items(conn, after_seq, limit, chunk):
        if isinstance(item, Unreadable):
            raise DamageError(item.why, where="ledger", hint="run `fenglin ledger verify`")
        yield item


def postings(
    conn: sqlite3.Connection, account: str, from_ms: int, to_ms: int, chunk: int = 500
) -> Iterator[Entry]:
    """Yield the postings that charged a tenant's account in `from_ms <= time < to_ms`, by seq.

    Args:
        conn: Inside one read transaction.
        account: The tenant's account, without `tenant:`.
        from_ms: First millisecond of the period.
        to_ms: First millisecond after it.
        chunk: Entries read at a time.

    Raises:
        DamageError: a row cannot be read as an entry.
    """
    found = conn.execute(
        f"SELECT seq FROM ledger_entry WHERE {OF_TENANT}"  # noqa: S608
        " AND kind = ? AND time_ms >= ? AND time_ms < ? ORDER BY seq",
        (available(account), Kind.POST.value, from_ms, to_ms),
    )
    while seqs := [seq for (seq,) in found.fetchmany(chunk)]:
        yield from where_in(conn, "seq", seqs)


def entries_of(
    conn: sqlite3.Connection, account: str, from_ms: int, to_ms: int, last_seq: int
) -> list[Entry]:
    """Return a tenant's entries of `from_ms <= time < to_ms` up to a number, in order.

    Raises:
        DamageError: a row cannot be read as an entry.
    """
    rows = conn.execute(
        f"SELECT seq FROM ledger_entry WHERE {OF_TENANT}"  # noqa: S608
        " AND time_ms >= ? AND time_ms < ? AND seq <= ? ORDER BY seq",
        (available(account), from_ms, to_ms, last_seq),
    )
    return list(where_in(conn, "seq", [seq for (seq,) in rows]))


def statement(
    conn: sqlite3.Connection, account: str, from_ms: int, to_ms: int, commodity: str = CURRENCY
) -> Statement:
    """Return the statement of a tenant's account for `from_ms <= time < to_ms`.

    Args:
        conn: Inside one read transaction.
        account: The tenant's account, without `tenant:`.
        from_ms: First millisecond of the period.
        to_ms: First millisecond after it.
        commodity: Of all amounts.

    Raises:
        DamageError: a row cannot be read as an entry.
    """
    opening = funds_before(conn, account, from_ms, commodity)
    of_period = entries_of(conn, account, from_ms, to_ms, MOST_SEQ)
    return make_statement(of_period, account, from_ms, to_ms, opening, commodity)


def funds_before(
    conn: sqlite3.Connection, account: str, before_ms: int, commodity: str = CURRENCY
) -> Funds:
    """Return what a tenant's account had before a moment, in one commodity."""
    places = (available(account), held(account))
    sums_of = dict(
        conn.execute(
            "SELECT leg.account, SUM(leg.amount_micro)"  # noqa: S608
            " FROM ledger_entry AS entry JOIN ledger_leg AS leg ON leg.seq = entry.seq"
            f" WHERE entry.{OF_TENANT} AND entry.time_ms < ?"
            " AND +leg.account IN (?, ?) AND leg.commodity = ? GROUP BY leg.account",
            (places[0], before_ms, *places, commodity),
        )
    )
    return Funds(*(sums_of.get(place, 0) for place in places))


def _check_hold(draft: Draft, known: dict[str, Entry], holds: dict[str, tuple[Leg, ...]]) -> None:
    """Refuse a draft that does not fit the hold of its attempt."""
    kind, attempt, legs = draft.kind, draft.attempt, draft.legs
    if kind is Kind.POST or kind is Kind.VOID:
        done = known.get(_POST + attempt) or known.get(_VOID + attempt)
        if done is not None:
            raise ConflictError(
                f"the hold was resolved by entry {done.seq} ({done.key})", where=draft.key
            )
    fault = hold_fault(kind, legs, holds.get(attempt)) or move_fault(kind, legs)
    if fault:
        raise ConflictError(fault, where=draft.key)


def _known(conn: sqlite3.Connection, drafts: Sequence[Draft]) -> dict[str, Entry]:
    """Return the stored entries that drafts repeat, or that resolved their holds, by key."""
    ends = [draft.attempt for draft in drafts if draft.kind in _ENDS]
    known = _with_keys(conn, [draft.key for draft in drafts if draft.kind not in _ENDS])
    for start in range(0, len(ends), PARAMETERS):
        part = ends[start : start + PARAMETERS]
        found = conn.execute(
            f"SELECT seq FROM ledger_entry WHERE attempt IN ({', '.join('?' * len(part))})"  # noqa: S608
            " AND kind IN ('post', 'void') ORDER BY seq",
            part,
        ).fetchall()
        known.update((one.key, one) for one in where_in(conn, "seq", [seq for (seq,) in found]))
    return known


def _holds(conn: sqlite3.Connection, drafts: Sequence[Draft]) -> dict[str, tuple[Leg, ...]]:
    """Return the legs of the stored holds that drafts resolve, by attempt."""
    wanted = [
        draft.attempt for draft in drafts if draft.kind is Kind.POST or draft.kind is Kind.VOID
    ]
    found: dict[str, tuple[Leg, ...]] = {}
    for start in range(0, len(wanted), PARAMETERS):
        part = [_HOLD + attempt for attempt in wanted[start : start + PARAMETERS]]
        keys = dict(conn.execute(f"{_SEQS_OF} ({_each(part)})", part).fetchall())
        legs: dict[int, list[Leg]] = {seq: [] for seq in keys}
        rows = conn.execute(f"{_LEGS_OF} ({_each(keys)}) ORDER BY seq, n", list(keys))
        for seq, account, commodity, amount_micro in rows.fetchall():
            legs[seq].append(Leg(account, commodity, amount_micro))
        found |= {key[len(_HOLD) :]: tuple(legs[seq]) for seq, key in keys.items()}
    return found


def _each(values: Sized) -> str:
    return ", ".join("?" * len(values))


def _with_keys(conn: sqlite3.Connection, keys: Sequence[str]) -> dict[str, Entry]:
    """Return the entries that have one of these keys."""
    return {entry.key: entry for entry in where_in(conn, "key", keys)}


def _insert(conn: sqlite3.Connection, fresh: Sequence[Entry]) -> None:
    """Write sealed entries, their legs first, and bring the balance cache along.

    Args:
        conn: Inside a transaction.
        fresh: One behind the other, and entered at one time.
    """
    if not fresh:
        return
    legs: list[Value] = []
    rows: list[Value] = []
    changes: dict[tuple[str, str], int] = {}
    for entry in fresh:
        seq, details = entry.seq, entry.details
        for n, leg in enumerate(entry.legs):
            account, commodity, amount_micro = leg.account, leg.commodity, leg.amount_micro
            legs += (seq, n, account, commodity, amount_micro)
            place = (account, commodity)
            changes[place] = changes.get(place, 0) + amount_micro
        text = ENCODER.encode(details).decode() if details else NO_DETAILS
        rows += (
            seq, _KIND_TEXT[entry.kind], entry.key, entry.job, entry.attempt, entry.memo, text,
            entry.hash,
        )  # fmt: skip
    try:
        for start, count in portions(len(legs) // 5, _LEGS):
            conn.execute(_insert_legs(count), legs[start * 5 : (start + count) * 5])
        _insert_entries(conn, fresh[0], rows)
        conn.executemany(_ADD_BALANCE, ((*place, amount) for place, amount in changes.items()))
    except sqlite3.IntegrityError as error:
        raise DamageError(
            f"the database refused a ledger entry: {error}",
            where="ledger",
            hint="nothing was entered; run `fenglin ledger verify`",
        ) from error


def _insert_entries(conn: sqlite3.Connection, first: Entry, rows: Sequence[Value]) -> None:
    """Insert entries that follow each other, by eight values of their own each."""
    version, ledger_id, time_ms = first.version, first.ledger_id, first.time_ms
    before: Value = first.prev_hash
    for start, count in portions(len(rows) // 8, _ENTRIES):
        part = rows[start * 8 : (start + count) * 8]
        values = [version, ledger_id, time_ms, before, *part]
        conn.execute(_insert_rows(count), values)
        before = values[-1]


# As many rows by one statement as its parameters allow: a statement for each row costs a fifth
# more, because it opens its tables and triggers every time.
_LEGS = PARAMETERS // 5
_ENTRIES = (PARAMETERS - 4) // 8


@lru_cache(maxsize=16)
def _insert_legs(count: int) -> str:
    """Return the statement that inserts some legs."""
    rows = ", ".join(["(?, ?, ?, ?, ?)"] * count)
    return f"INSERT INTO ledger_leg ({LEG_COLUMNS}) VALUES {rows}"  # noqa: S608


@lru_cache(maxsize=16)
def _insert_rows(count: int) -> str:
    """Return the statement that inserts some entries.

    Version, ledger, time and the hash before the first come once. The hash before each other is
    the last value of the one before it.
    """
    rows = []
    for at in range(5, 5 + 8 * count, 8):
        seq, kind, key, job, attempt, memo, details, own = range(at, at + 8)
        rows.append(
            f"(?1, ?2, ?{seq}, ?3, ?{kind}, ?{key}, ?{job}, ?{attempt}, ?{memo}, ?{details},"
            f" ?{seq - 1}, ?{own})"
        )
    return f"INSERT INTO ledger_entry ({COLUMNS}) VALUES {', '.join(rows)}"  # noqa: S608
