"""Verification of a large ledger by several processes, a part of it each.

Entries are never changed, so a part that another connection reads is the part that the caller's
transaction sees. A process of its own needs no more than the path of the file: it is started as
`python -m fenglin.storage.ledger_parts`, is handed a `Task` and answers with a `Part`.
"""

from __future__ import annotations

import gc
import itertools
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from fenglin.ledger.entry import ZERO_HASH, Head
from fenglin.ledger.parts import BLOCK, Part, PartVerifier, Start, join
from fenglin.storage.ledger_rows import behind, rows_between

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fenglin.ledger.seals import Seals
    from fenglin.ledger.verify import VerifyReport

# Below this a process takes longer to start than it saves.
LEAST_ENTRIES = 100_000
MOST_PARTS = 8
MOST_PART_S = 3_600
# Pages are looked at in place: a tenth of the work would be copying each of them once.
MAPPED_BYTES = 17_179_869_184
# So many keys of entries all over the ledger show where to divide the keys of all.
_SAMPLES = 256
_DECODE = msgspec.msgpack.Decoder(Part).decode


class Task(Struct, frozen=True):
    """What one process verifies.

    Attributes:
        path: Of the database.
        after: Sequence number of the entry before the first.
        last: Sequence number of the last.
        anchor: A head noted outside earlier.
        sizes: Of checkpoints noted outside earlier.
        keys: Among which keys of all entries it looks for repeated ones: from the first on, up
            to but not with the second; empty where there is no such end.
    """

    path: str
    after: int
    last: int
    anchor: Head | None
    sizes: tuple[int, ...]
    keys: tuple[str, str]


def verify_in_parts(
    conn: sqlite3.Connection, anchor: Head | None, seals: Seals | None, cores: int
) -> VerifyReport | None:
    """Return the report of a ledger whose entries are all right; None where that is not shown.

    Args:
        conn: Inside one read transaction.
        anchor: A head noted outside earlier.
        seals: Checkpoints noted outside earlier, none of them compared yet.
        cores: How many processes may work, this one included.
    """
    path = _path(conn)
    if not path or not sys.executable:
        return None
    (last,) = conn.execute("SELECT coalesce(max(seq), 0) FROM ledger_entry").fetchone()
    checkpoints = seals.left if seals is not None else ()
    sizes = tuple(one.size for one in checkpoints)
    places = spans(last, cores)
    own, *others = (
        Task(path, after, until, anchor, sizes, keys)
        for (after, until), keys in zip(places, key_ranges(conn, last, len(places)), strict=True)
    )
    started = [_start(task) for task in others]
    try:
        parts = []
        for part in _found(conn, own, started):
            if part is None:
                return None
            parts.append(part)
    finally:
        for one in started:
            one.kill()
            one.communicate()
    return join(parts, last, checkpoints, anchor)


def _found(
    conn: sqlite3.Connection, own: Task, started: Sequence[subprocess.Popen[bytes]]
) -> Iterator[Part | None]:
    """Yield what was found in each part, the own one first."""
    (before,) = conn.execute("PRAGMA mmap_size").fetchone() or (0,)
    conn.execute(f"PRAGMA mmap_size = {MAPPED_BYTES}")
    try:
        yield _verify(conn, own)
    finally:
        conn.execute(f"PRAGMA mmap_size = {before}")
    for one in started:
        yield _answer(one)


def cores_here() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def spans(last: int, cores: int) -> list[tuple[int, int]]:
    """Return (after, last) of each part of the entries 1 to `last`."""
    count = min(cores, MOST_PARTS) if last >= LEAST_ENTRIES else 1
    cuts = [last * n // count // BLOCK * BLOCK for n in range(1, count)]
    return list(zip([0, *cuts], [*cuts, last], strict=True))


def key_ranges(conn: sqlite3.Connection, last: int, count: int) -> list[tuple[str, str]]:
    """Return ranges that hold about as many keys each, and together every key there may be."""
    if count == 1:
        return [("", "")]
    seqs = range(1, last + 1, last // _SAMPLES or 1)
    rows = conn.execute(
        "SELECT CAST(key AS BLOB) FROM ledger_entry"  # noqa: S608 - numbers of ours
        f" WHERE seq IN ({', '.join(map(str, seqs))}) AND key > ''"
    )
    # Any text divides them; these only do so evenly. The database, too, compares by bytes.
    found = sorted(key.decode(errors="replace") for (key,) in rows) or ["m"]
    cuts = [found[len(found) * n // count] for n in range(1, count)]
    return list(itertools.pairwise(["", *cuts, ""]))


def repeated_key(
    conn: sqlite3.Connection, keys: tuple[str, str] = ("", "")
) -> tuple[int, str] | None:
    """Return the first key of a range that stands in two entries, and the later one's number.

    Args:
        conn: Inside one read transaction.
        keys: As of `Task`.
    """
    lower, upper = keys
    where = " AND ".join(filter(None, ["key >= ?" * bool(lower), "key < ?" * bool(upper)]))
    row = conn.execute(
        f"SELECT MAX(seq), key FROM ledger_entry {'WHERE ' * bool(where)}{where}"  # noqa: S608
        " GROUP BY key HAVING COUNT(*) > 1 LIMIT 1",
        [key for key in keys if key],
    ).fetchone()
    return None if row is None else (row[0], row[1])


def _path(conn: sqlite3.Connection) -> str:
    """Return the file of a database; empty for one in memory, or of another make."""
    if hasattr(conn, "statements"):
        return ""
    return str(conn.execute("PRAGMA database_list").fetchone()[2])


def _start(task: Task) -> subprocess.Popen[bytes]:
    """Start a process on its part."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    if process.stdin is not None:
        process.stdin.write(msgspec.msgpack.encode(task))
        process.stdin.close()
        process.stdin = None
    return process


def _answer(process: subprocess.Popen[bytes]) -> Part | None:
    """Return what a process found; None where it found a fault, or failed."""
    try:
        told, _ = process.communicate(timeout=MOST_PART_S)
        return _DECODE(told) if process.returncode == 0 and told else None
    except (subprocess.TimeoutExpired, msgspec.MsgspecError):
        return None


def _verify(conn: sqlite3.Connection, task: Task) -> Part | None:
    """Verify one part, and that no key of its range stands in two entries."""
    start = Start("", 0, ZERO_HASH, 0)
    try:
        if task.after:
            before = conn.execute(
                "SELECT ledger_id, seq, hash, time_ms FROM ledger_entry WHERE seq = ?",
                (task.after,),
            ).fetchone()
            if before is None:
                return None
            start = Start(*before)
        verifier = PartVerifier(lambda after: behind(conn, after), start, task.anchor, task.sizes)
        if not verifier.feed_rows(rows_between(conn, task.after, task.last)):
            return None
        (legs,) = conn.execute(
            "SELECT COUNT(*) FROM ledger_leg WHERE seq > ? AND seq <= ?", (task.after, task.last)
        ).fetchone()
        if legs != verifier.legs or repeated_key(conn, task.keys) is not None:
            return None
    except (sqlite3.OperationalError, TypeError, AttributeError):
        # Text that is no UTF-8, or a value of another type than its column's.
        return None
    return verifier.part()


def main() -> None:
    """Verify the part that standard input names, and tell what was found."""
    gc.disable()
    task = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Task)
    conn = sqlite3.connect(f"{Path(task.path).as_uri()}?mode=ro", uri=True, timeout=10)
    # The file is read once from end to end, and its inner pages over and over.
    conn.execute(f"PRAGMA mmap_size = {MAPPED_BYTES}")
    conn.execute("PRAGMA cache_size = -65536")
    try:
        part = _verify(conn, task)
    finally:
        conn.close()
    if part is not None:
        sys.stdout.buffer.write(msgspec.msgpack.encode(part))


if __name__ == "__main__":
    main()
