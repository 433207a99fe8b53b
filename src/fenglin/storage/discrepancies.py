"""Discrepancies in the database: opened once, and taken from step to step by people."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from fenglin.errors import InputError, NotFoundError
from fenglin.ledger.metering.items import Finding, State, check_move
from fenglin.model.ids import parse_attempt_key
from fenglin.ports.metering import Item, ItemFilter, Step

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

_COLUMNS = {"kind": "kind", "site": "site", "period": "period", "job": "job"}
_FINDINGS = msgspec.json.Decoder(Finding)
_STATE = "(SELECT state FROM metering_step WHERE item = number ORDER BY n DESC LIMIT 1)"
_SELECT = "SELECT number, body, account, job, period FROM metering_item"


def open_items(
    conn: sqlite3.Connection, findings: Sequence[Finding], period: str, who: str, now_ms: int
) -> list[int]:
    """Open what is not known yet; return the new numbers."""
    opened = []
    (number,) = conn.execute("SELECT COALESCE(MAX(number), 0) FROM metering_item").fetchone()
    for finding in findings:
        key = hashlib.blake2b(finding.key.encode(), digest_size=16).hexdigest()
        if conn.execute("SELECT 1 FROM metering_item WHERE key = ?", (key,)).fetchone():
            continue
        number += 1
        account, job = _owner(conn, finding.attempt)
        conn.execute(
            "INSERT INTO metering_item (number, key, kind, site, account, job, attempt, period,"
            " body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                number,
                key,
                finding.what.value,
                finding.site,
                account,
                job,
                finding.attempt,
                period,
                msgspec.json.encode(finding),
            ),
        )
        _add_step(conn, number, 0, Step(State.OPEN, who, "found", now_ms))
        opened.append(number)
    return opened


def items(conn: sqlite3.Connection, wanted: ItemFilter) -> list[Item]:
    """Return discrepancies by number."""
    any_of: dict[str, list[str | int]] = {}
    for name, value in wanted.fields:
        column = _STATE if name == "state" else _COLUMNS[name]
        any_of.setdefault(column, []).append(int(value) if name == "job" else value)
    tests = ["number > ?"]
    values: list[str | int] = [wanted.after]
    if wanted.account:
        tests.append("account = ?")
        values.append(wanted.account)
    for column, found in any_of.items():
        tests.append(f"{column} IN ({', '.join('?' * len(found))})")
        values += found
    rows = conn.execute(
        f"{_SELECT} WHERE {' AND '.join(tests)} ORDER BY number LIMIT ?", (*values, wanted.limit)
    ).fetchall()
    return [_item(conn, row) for row in rows]


def step(
    conn: sqlite3.Connection, number: int, then: State, why: str, who: str, now_ms: int
) -> Item:
    """Take a discrepancy a step on; see `ports.metering.Metering`."""
    item = _read(conn, number)
    check_move(item.steps[-1].state, then, why)
    _add_step(conn, number, len(item.steps), Step(then, who, why, now_ms))
    return _read(conn, number)


def _read(conn: sqlite3.Connection, number: int) -> Item:
    row = conn.execute(f"{_SELECT} WHERE number = ?", (number,)).fetchone()
    if row is None:
        raise NotFoundError(f"there is no discrepancy d{number}")
    return _item(conn, row)


def _item(conn: sqlite3.Connection, row: tuple[int, bytes, str, int, str]) -> Item:
    number, body, account, job, period = row
    steps = conn.execute(
        "SELECT state, who, why, time_ms FROM metering_step WHERE item = ? ORDER BY n", (number,)
    )
    return Item(
        number=number,
        finding=_FINDINGS.decode(body),
        account=account,
        job=job,
        period=period,
        steps=tuple(Step(State(one), *rest) for one, *rest in steps),
    )


def _add_step(conn: sqlite3.Connection, number: int, n: int, made: Step) -> None:
    conn.execute(
        "INSERT INTO metering_step (item, n, state, who, why, time_ms) VALUES (?, ?, ?, ?, ?, ?)",
        (number, n, made.state.value, made.who, made.why, made.time_ms),
    )


def _owner(conn: sqlite3.Connection, attempt: str) -> tuple[str, int]:
    """Return whose attempt it is: its account and its job's number."""
    if not attempt:
        return "", 0
    try:
        number = parse_attempt_key(attempt)[1]
    except InputError:
        return "", 0
    row = conn.execute(
        "SELECT account, job.number FROM allocation JOIN job ON job.number = allocation.job"
        " WHERE allocation.number = ?",
        (number,),
    ).fetchone()
    return (row[0], row[1]) if row else ("", 0)
