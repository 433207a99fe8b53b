"""The ledger in SQLite: plain functions over a connection whose transaction the caller owns.

None of them begins or commits. Writers are called inside `BEGIN IMMEDIATE`; readers that must
see one state (`verify_stored`, `statement`, an export) inside a read transaction.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import msgspec

from fenglin.errors import ConflictError, DamageError
from fenglin.ledger.accounts import available, held
from fenglin.ledger.entry import Draft, Entry, Head, Kind, Leg, check_draft, genesis, seal
from fenglin.ledger.moves import move_fault
from fenglin.ledger.posting import CURRENCY, Hold, hold_fault, hold_of, sums
from fenglin.ledger.statement import Funds, Statement
from fenglin.ledger.statement import statement as make_statement
from fenglin.ledger.verify import Unreadable, Verifier, VerifyReport
from fenglin.storage.ledger_schema import LEDGER_DDL, LEDGER_GUARDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fenglin.ledger.seals import Seals

__all__ = [
    "LEDGER_DDL",
    "append",
    "balance",
    "entries",
    "entries_of",
    "find",
    "found",
    "head",
    "open_hold",
    "postings",
    "statement",
    "verify_stored",
]

# Column order of `Entry`, legs left out: they come from their own table.
_COLUMNS = (
    "version, ledger_id, seq, time_ms, kind, key, job, attempt, memo, details, prev_hash, hash"
)
_LEG_COLUMNS = "seq, n, account, commodity, amount_micro"
_INSERT_LEG = f"INSERT INTO ledger_leg ({_LEG_COLUMNS}) VALUES (?, ?, ?, ?, ?)"  # noqa: S608
_INSERT_ENTRY = f"INSERT INTO ledger_entry ({_COLUMNS}) VALUES ({', '.join('?' * 12)})"  # noqa: S608
_ADD_BALANCE = """\
INSERT INTO ledger_balance (account, commodity, amount_micro) VALUES (?, ?, ?)
ON CONFLICT (account, commodity)
DO UPDATE SET amount_micro = amount_micro + excluded.amount_micro"""
# Below the 999 parameters that the oldest SQLite builds allow.
_PARAMETERS = 900
_KINDS = {kind.value: kind for kind in Kind}
_DETAILS = msgspec.json.Decoder(tuple[tuple[str, str], ...])
_ENCODER = msgspec.json.Encoder()
_NO_DETAILS = "[]"

_Row = tuple[Any, ...]


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
    answers: list[Entry] = []
    fresh: list[Entry] = []
    for draft in drafts:
        entry = known.get(draft.key)
        if entry is None:
            _check_hold(draft, known)
            entry = known[draft.key] = seal(last, draft, time_ms)
            last = entry.head
            fresh.append(entry)
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
    for item in _items(conn, after_seq, limit, chunk):
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
        "SELECT DISTINCT seq FROM ledger_leg JOIN ledger_entry USING (seq) "
        "WHERE account = ? AND kind = ? AND time_ms >= ? AND time_ms < ? ORDER BY seq",
        (held(account), Kind.POST.value, from_ms, to_ms),
    )
    while seqs := [seq for (seq,) in found.fetchmany(chunk)]:
        yield from _where_in(conn, "seq", seqs)


def entries_of(
    conn: sqlite3.Connection, account: str, from_ms: int, to_ms: int, last_seq: int
) -> list[Entry]:
    """Return a tenant's entries of `from_ms <= time < to_ms` up to a number, in order.

    Raises:
        DamageError: a row cannot be read as an entry.
    """
    rows = conn.execute(
        "SELECT DISTINCT seq FROM ledger_leg JOIN ledger_entry USING (seq) "
        "WHERE account IN (?, ?) AND time_ms >= ? AND time_ms < ? AND seq <= ? ORDER BY seq",
        (available(account), held(account), from_ms, to_ms, last_seq),
    )
    return list(_where_in(conn, "seq", [seq for (seq,) in rows]))


def verify_stored(
    conn: sqlite3.Connection, anchor: Head | None = None, seals: Seals | None = None
) -> VerifyReport:
    """Verify chain, rules, uniqueness of keys, legs, balance cache, and the guards themselves.

    Args:
        conn: Inside one read transaction.
        anchor: A head noted outside earlier, see `fenglin.ledger.verify`.
        seals: Checkpoints, see there.
    """
    verifier = Verifier(anchor, seals)
    for item in _items(conn, 0, None, 1000):
        if not verifier.feed(item):
            break
    report = verifier.report()
    problems = [*_guard_problems(conn), *_row_problems(conn)]
    if report.bad_seq is None:
        problems += _cache_problems(conn, report.balances)
    return msgspec.structs.replace(report, problems=tuple(problems))


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
    places = (available(account), held(account))
    before = dict(
        conn.execute(
            "SELECT account, SUM(amount_micro) FROM ledger_leg JOIN ledger_entry USING (seq) "
            "WHERE account IN (?, ?) AND commodity = ? AND time_ms < ? GROUP BY account",
            (*places, commodity, from_ms),
        )
    )
    opening = Funds(*(before.get(place, 0) for place in places))
    seqs = [
        seq
        for (seq,) in conn.execute(
            "SELECT DISTINCT seq FROM ledger_leg JOIN ledger_entry USING (seq) "
            "WHERE account IN (?, ?) AND commodity = ? AND time_ms >= ? AND time_ms < ? "
            "ORDER BY seq",
            (*places, commodity, from_ms, to_ms),
        )
    ]
    of_period = _where_in(conn, "seq", seqs)
    return make_statement(of_period, account, from_ms, to_ms, opening, commodity)


def _check_hold(draft: Draft, known: dict[str, Entry]) -> None:
    """Refuse a draft that does not fit the hold of its attempt."""
    opened = known.get(f"{Kind.HOLD}:{draft.attempt}")
    if draft.kind is Kind.POST or draft.kind is Kind.VOID:
        for kind in (Kind.POST, Kind.VOID):
            done = known.get(f"{kind}:{draft.attempt}")
            if done is not None:
                raise ConflictError(
                    f"the hold was resolved by entry {done.seq} ({done.key})", where=draft.key
                )
    fault = hold_fault(draft.kind, draft.legs, opened.legs if opened else None) or move_fault(
        draft.kind, draft.legs
    )
    if fault:
        raise ConflictError(fault, where=draft.key)


def _known(conn: sqlite3.Connection, drafts: Sequence[Draft]) -> dict[str, Entry]:
    """Return the stored entries that decide what becomes of the drafts, by key."""
    keys = {draft.key: None for draft in drafts}
    for draft in drafts:
        if draft.kind is Kind.POST or draft.kind is Kind.VOID:
            keys |= {f"{kind}:{draft.attempt}": None for kind in (Kind.HOLD, Kind.POST, Kind.VOID)}
    return _with_keys(conn, list(keys))


def _with_keys(conn: sqlite3.Connection, keys: Sequence[str]) -> dict[str, Entry]:
    """Return the entries that have one of these keys."""
    return {entry.key: entry for entry in _where_in(conn, "key", keys)}


def _where_in(
    conn: sqlite3.Connection, column: str, values: Sequence[str] | Sequence[int]
) -> Iterator[Entry]:
    """Yield the entries whose column (a name of ours, never input) is one of the values."""
    for start in range(0, len(values), _PARAMETERS):
        part = values[start : start + _PARAMETERS]
        marks = ", ".join("?" * len(part))
        rows = conn.execute(
            f"SELECT {_COLUMNS} FROM ledger_entry WHERE {column} IN ({marks}) ORDER BY seq",  # noqa: S608
            part,
        ).fetchall()
        seqs = [row[2] for row in rows]
        legs = conn.execute(
            f"SELECT {_LEG_COLUMNS} FROM ledger_leg "  # noqa: S608
            f"WHERE seq IN ({', '.join('?' * len(seqs))}) ORDER BY seq, n",
            seqs,
        )
        for item in _assemble(rows, legs):
            if isinstance(item, Unreadable):
                raise DamageError(item.why, where="ledger", hint="run `fenglin ledger verify`")
            yield item


def _insert(conn: sqlite3.Connection, fresh: Sequence[Entry]) -> None:
    """Write sealed entries, their legs first, and bring the balance cache along."""
    legs = [
        (entry.seq, n, leg.account, leg.commodity, leg.amount_micro)
        for entry in fresh
        for n, leg in enumerate(entry.legs)
    ]
    rows = [
        (
            entry.version,
            entry.ledger_id,
            entry.seq,
            entry.time_ms,
            entry.kind.value,
            entry.key,
            entry.job,
            entry.attempt,
            entry.memo,
            _ENCODER.encode(entry.details).decode() if entry.details else _NO_DETAILS,
            entry.prev_hash,
            entry.hash,
        )
        for entry in fresh
    ]
    changes = sums(leg for entry in fresh for leg in entry.legs)
    try:
        conn.executemany(_INSERT_LEG, legs)
        conn.executemany(_INSERT_ENTRY, rows)
        conn.executemany(_ADD_BALANCE, ((*place, amount) for place, amount in changes.items()))
    except sqlite3.IntegrityError as error:
        raise DamageError(
            f"the database refused a ledger entry: {error}",
            where="ledger",
            hint="nothing was entered; run `fenglin ledger verify`",
        ) from error


def _items(
    conn: sqlite3.Connection, after_seq: int, limit: int | None, chunk: int
) -> Iterator[Entry | Unreadable]:
    """Yield entries by seq, and what could not be read as such."""
    left = limit
    while left is None or left > 0:
        size = chunk if left is None else min(chunk, left)
        try:
            rows = conn.execute(
                f"SELECT {_COLUMNS} FROM ledger_entry WHERE seq > ? ORDER BY seq LIMIT ?",  # noqa: S608
                (after_seq, size),
            ).fetchall()
            legs = conn.execute(
                f"SELECT {_LEG_COLUMNS} FROM ledger_leg "  # noqa: S608
                "WHERE seq > ? AND seq <= ? ORDER BY seq, n",
                (after_seq, rows[-1][2] if rows else after_seq),
            ).fetchall()
        except sqlite3.OperationalError as error:
            # Text that is no UTF-8 spoils the whole read: go row by row up to the bad one.
            if size == 1:
                yield Unreadable(f"the row behind entry {after_seq} cannot be read: {error}")
                return
            chunk = 1
            continue
        if not rows:
            return
        yield from _assemble(rows, legs)
        after_seq = rows[-1][2]
        left = None if left is None else left - len(rows)


def _assemble(rows: Iterable[_Row], legs: Iterable[_Row]) -> Iterator[Entry | Unreadable]:
    """Join rows of entries and legs, both in order of seq."""
    by_seq: dict[int, list[Leg]] = {}
    misnumbered: set[int] = set()
    for seq, n, account, commodity, amount_micro in legs:
        of_entry = by_seq.setdefault(seq, [])
        if n != len(of_entry):
            misnumbered.add(seq)
        of_entry.append(Leg(account, commodity, amount_micro))
    for row in rows:
        seq = row[2]
        if seq in misnumbered:
            yield Unreadable(f"the legs of entry {seq} are not numbered 0, 1, 2 …")
        else:
            yield _read(row, tuple(by_seq.get(seq, ())))


def _read(row: _Row, legs: tuple[Leg, ...]) -> Entry | Unreadable:
    """Return the entry of a row in the order of `_COLUMNS`, or why it is none."""
    version, ledger_id, seq, time_ms, kind, key, job, attempt, memo, text, prev_hash, own = row
    details: tuple[tuple[str, str], ...] = ()
    if text != _NO_DETAILS:
        try:
            details = _DETAILS.decode(text)
        except msgspec.DecodeError as error:
            return Unreadable(f"the details of entry {seq} are unreadable: {error}")
        if _ENCODER.encode(details).decode() != text:
            return Unreadable(f"the details of entry {seq} are not in their one form")
    if kind not in _KINDS:
        return Unreadable(f"entry {seq} is of the unknown kind {kind!r}")
    return Entry(
        version,
        ledger_id,
        seq,
        time_ms,
        _KINDS[kind],
        key,
        job,
        attempt,
        memo,
        legs,
        details,
        prev_hash,
        own,
    )


def _guard_problems(conn: sqlite3.Connection) -> Iterator[str]:
    """Yield the triggers and indexes that are gone or are not ours."""
    there = {sql for (sql,) in conn.execute("SELECT sql FROM sqlite_master")}
    for guard in LEDGER_GUARDS:
        if guard not in there:
            yield f"the database's guard is gone or altered: {guard.splitlines()[0]}"


def _row_problems(conn: sqlite3.Connection) -> Iterator[str]:
    """Yield what the chain cannot show: repeated keys and legs that belong to no entry."""
    repeat = conn.execute(
        "SELECT key, MAX(seq) FROM ledger_entry GROUP BY key HAVING COUNT(*) > 1 LIMIT 1"
    ).fetchone()
    if repeat is not None:
        yield f"entry {repeat[1]} repeats the key {repeat[0]!r}"
    orphan = conn.execute(
        "SELECT MIN(seq) FROM ledger_leg WHERE seq NOT IN (SELECT seq FROM ledger_entry)"
    ).fetchone()[0]
    if orphan is not None:
        yield f"there are legs of an entry {orphan} that does not exist"


def _cache_problems(conn: sqlite3.Connection, folded: dict[tuple[str, str], int]) -> Iterator[str]:
    """Yield the balances whose cache differs from the fold of the entries."""
    kept = {
        (account, commodity): amount
        for account, commodity, amount in conn.execute("SELECT * FROM ledger_balance")
    }
    for place in sorted(kept.keys() | folded.keys()):
        if kept.get(place, 0) != folded.get(place, 0):
            account, commodity = place
            yield (
                f"the balance cache of {account} says {kept.get(place, 0)} micro-{commodity}, "
                f"the entries {folded.get(place, 0)}"
            )
