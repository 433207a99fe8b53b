"""Exports as text: JSON lines, which can be verified again, and CSV for spreadsheets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from fenglin.ledger.entry import Entry, Kind, Leg
from fenglin.ledger.verify import Unreadable, VerifyReport, first_repeat, verify
from fenglin.quantities.money import MICRO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fenglin.ledger.entry import Head
    from fenglin.ledger.seals import Seals

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Spreadsheets run a cell that starts with one of these; the wide forms count in CJK locales.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001
CSV_COLUMNS = (
    "seq",
    "leg",
    "time_utc",
    "time_ms",
    "kind",
    "key",
    "job",
    "attempt",
    "memo",
    "account",
    "commodity",
    "amount",
    "amount_micro",
    "details",
    "ledger_id",
    "version",
    "prev_hash",
    "hash",
)


class _Line(Struct, frozen=True, forbid_unknown_fields=True):
    """An entry as a JSON object: hashes as hex, the rest as it is."""

    version: int
    ledger_id: str
    seq: int
    time_ms: int
    kind: Kind
    key: str
    job: int
    attempt: str
    memo: str
    legs: tuple[Leg, ...]
    details: tuple[tuple[str, str], ...]
    prev_hash: str
    hash: str


_LINES = msgspec.json.Decoder(_Line)
_ENCODER = msgspec.json.Encoder()


def decimal_amount(amount_micro: int) -> str:
    """Return micro-units as a number with six decimals, such as `-0.000160`."""
    whole, rest = divmod(abs(amount_micro), MICRO)
    return f"{'-' if amount_micro < 0 else ''}{whole}.{rest:06d}"


def utc_time(time_ms: int) -> datetime:
    """Return a Unix time in milliseconds as a UTC time."""
    return _EPOCH + timedelta(milliseconds=time_ms)


def jsonl(entries: Iterable[Entry]) -> Iterator[str]:
    """Yield one JSON object per entry, with its line end. The form `read_jsonl` asks for."""
    for entry in entries:
        yield entry_json(entry) + "\n"


def entry_json(entry: Entry) -> str:
    """Return the one JSON text of an entry."""
    line = _Line(
        entry.version,
        entry.ledger_id,
        entry.seq,
        entry.time_ms,
        entry.kind,
        entry.key,
        entry.job,
        entry.attempt,
        entry.memo,
        entry.legs,
        entry.details,
        entry.prev_hash.hex(),
        entry.hash.hex(),
    )
    return _ENCODER.encode(line).decode()


def read_jsonl(lines: Iterable[bytes]) -> Iterator[Entry | Unreadable]:
    """Yield the entries of an export.

    A line that differs in any byte from what `jsonl` writes is `Unreadable`: a doubled JSON
    name or other disguise would let people and verifiers see different things.
    """
    for number, raw in enumerate(lines, start=1):
        text = raw.removesuffix(b"\n")
        try:
            line = _LINES.decode(text)
            entry = Entry(
                line.version,
                line.ledger_id,
                line.seq,
                line.time_ms,
                line.kind,
                line.key,
                line.job,
                line.attempt,
                line.memo,
                line.legs,
                line.details,
                bytes.fromhex(line.prev_hash),
                bytes.fromhex(line.hash),
            )
        except (msgspec.DecodeError, ValueError) as error:
            yield Unreadable(f"line {number} is not a ledger entry: {error}")
            continue
        if entry_json(entry).encode() != text:
            yield Unreadable(f"line {number} is not written as `ledger export` writes it")
            continue
        yield entry


def verify_jsonl(
    read: Callable[[], Iterable[bytes]], anchor: Head | None = None, seals: Seals | None = None
) -> VerifyReport:
    """Verify an exported ledger, the uniqueness of its keys included.

    Args:
        read: Starts a fresh pass over the export's lines; called up to three times.
        anchor: As for `verify`.
        seals: As for `verify`.
    """
    report = verify(read_jsonl(read()), anchor, seals)
    if report.bad_seq is not None:
        return report

    def keys() -> Iterator[tuple[int, str]]:
        for item in read_jsonl(read()):
            if isinstance(item, Entry):
                yield item.seq, item.key

    repeat = first_repeat(keys)
    if repeat is None:
        return report
    problem = f"entry {repeat[0]} repeats the key {repeat[1]!r}"
    return msgspec.structs.replace(report, problems=(problem,))


def csv(entries: Iterable[Entry]) -> Iterator[str]:
    """Yield RFC 4180 lines, one per leg, after a header; an entry without legs has one line.

    A text cell that a spreadsheet would run as a formula gets a leading apostrophe.
    """
    yield ",".join(CSV_COLUMNS) + "\r\n"
    for entry in entries:
        first = (
            text_cell(entry.kind),
            text_cell(entry.key),
            str(entry.job) if entry.job else "",
            text_cell(entry.attempt),
            text_cell(entry.memo),
        )
        last = (
            text_cell("; ".join(f"{name}={value}" for name, value in entry.details)),
            text_cell(entry.ledger_id),
            str(entry.version),
            entry.prev_hash.hex(),
            entry.hash.hex(),
        )
        time = utc_time(entry.time_ms).isoformat(timespec="milliseconds")
        for number, leg in enumerate(entry.legs) if entry.legs else ((0, None),):
            where = (str(entry.seq), str(number), time, str(entry.time_ms))
            moved = _leg_cells(leg) if leg else ("", "", "", "")
            yield ",".join((*where, *first, *moved, *last)) + "\r\n"


def _leg_cells(leg: Leg) -> tuple[str, str, str, str]:
    """Return account, commodity and the amount in both forms; amounts are numbers."""
    amount = decimal_amount(leg.amount_micro)
    return text_cell(leg.account), text_cell(leg.commodity), amount, str(leg.amount_micro)


def text_cell(text: str) -> str:
    """Return a text cell, defused and quoted where needed."""
    if text.startswith(_FORMULA_STARTS):
        text = "'" + text
    if any(char in text for char in '",\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text
