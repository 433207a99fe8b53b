"""The ledger's Merkle tree in the database: a few inner nodes kept, the rest worked out.

Of every 256 entries one hash is kept, of every 256 of those another: a row per 255 entries. Any
complete subtree is then at most 255 hashes away, so a proof over a million entries takes
milliseconds. What is kept is only ever made from the entries, and whoever verifies the ledger
makes the tree anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.errors import ConflictError, DamageError, NotFoundError
from fenglin.ledger import tree
from fenglin.ledger.note import Checkpoint, PrivateKey, read_checkpoint, read_note, sign

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

# Levels between two that are kept.
STRIDE = 8
_WIDE = 1 << STRIDE
_READ_ENTRIES = 256 * _WIDE


class StoredTree:
    """The tree of the first `size` entries, as one transaction sees them; for `tree.Subtrees`."""

    def __init__(self, conn: sqlite3.Connection, size: int) -> None:
        """Take a connection inside a transaction.

        Raises:
            NotFoundError: the ledger has fewer entries.
        """
        last = _size(conn)
        if not 0 <= size <= last:
            raise NotFoundError(f"the ledger has {last} entries, not {size}", where="ledger")
        self.size = size
        self._conn = conn
        self._known: dict[tuple[int, int], bytes] = {}

    def __call__(self, level: int, index: int) -> bytes:
        """Return the hash of a complete subtree.

        Raises:
            DamageError: entries are missing.
        """
        place = (level, index)
        digest = self._known.get(place)
        if digest is None:
            digest = self._known[place] = self._make(level, index)
        return digest

    def root(self) -> bytes:
        """Return the root over all entries."""
        return tree.root(self.size, self)

    def _make(self, level: int, index: int) -> bytes:
        """Fold what is kept next below, or the two halves where that is not yet kept."""
        base = level // STRIDE * STRIDE
        count = 1 << (level - base)
        row = _row(self._conn, base, index * count, count)
        if len(row) == count:
            return tree.fold(row)
        if not base:
            raise _gap(index * count, count)
        return tree.node_hash(self(level - 1, 2 * index), self(level - 1, 2 * index + 1))


def extend(conn: sqlite3.Connection) -> int:
    """Keep the nodes of what was entered since; return the number of entries.

    Args:
        conn: Inside a writing transaction.
    """
    last = _size(conn)
    # The rest, fewer than 256 rows, is worked out at each level when it is asked for.
    level, row = STRIDE, _fresh_leaves(conn, last)
    place = _kept(conn, STRIDE)
    for leaves in row:
        conn.execute(_KEEP, (level, place, tree.fold(leaves)))
        place += 1
    while place >= _WIDE:
        whole = place // _WIDE
        done = _kept(conn, level + STRIDE)
        for index in range(done, whole):
            hashes = _row(conn, level, index * _WIDE, _WIDE)
            conn.execute(_KEEP, (level + STRIDE, index, tree.fold(hashes)))
        level, place = level + STRIDE, whole
    return last


def check_point(
    conn: sqlite3.Connection, origin: str, key: PrivateKey, time_ms: int
) -> tuple[str, bool]:
    """Return a signed checkpoint of all entries, and whether it is new.

    With no entry since the last one, that is returned again: the hub signs a size once.

    Args:
        conn: Inside a writing transaction.
        origin: Of the log; constant.
        key: The hub's.
        time_ms: Unix time, noted beside it.

    Raises:
        ConflictError: the ledger is not what an earlier checkpoint says; nothing is signed.
    """
    size = extend(conn)
    stored = StoredTree(conn, size)
    last = latest(conn)
    if last is not None:
        before = read_checkpoint(read_note(last.encode()).text)
        if before.size > size:
            raise ConflictError(
                f"the ledger has {size} entries, a checkpoint was signed for {before.size}",
                where="ledger",
                hint="was an old backup restored? run `fenglin ledger verify`",
            )
        if StoredTree(conn, before.size).root() != before.root:
            raise ConflictError(
                f"the first {before.size} entries are not those that a checkpoint was signed for",
                where="ledger",
                hint="run `fenglin ledger verify`; nothing is signed until that is clear",
            )
        if before.size == size:
            return last, False
    note = str(sign(Checkpoint(origin, size, stored.root()).text(), key))
    conn.execute(
        "INSERT INTO ledger_checkpoint (size, root, note, time_ms) VALUES (?, ?, ?, ?)",
        (size, stored.root(), note, time_ms),
    )
    return note, True


def latest(conn: sqlite3.Connection) -> str | None:
    """Return the last signed checkpoint, None before the first."""
    row = conn.execute("SELECT note FROM ledger_checkpoint ORDER BY size DESC LIMIT 1").fetchone()
    return row[0] if row else None


def with_cosignatures(conn: sqlite3.Connection, note: str) -> str:
    """Return a checkpoint with what witnesses have said of it since."""
    size = read_checkpoint(read_note(note.encode()).text).size
    query = "SELECT line FROM ledger_cosignature WHERE size = ? ORDER BY witness"
    return note + "".join(line for (line,) in conn.execute(query, (size,)))


def add_cosignature(conn: sqlite3.Connection, size: int, witness: str, line: str) -> None:
    """Keep what a witness said of a checkpoint; the first word of each counts."""
    conn.execute(
        "INSERT OR IGNORE INTO ledger_cosignature (size, witness, line) VALUES (?, ?, ?)",
        (size, witness, line),
    )


def checkpoints(conn: sqlite3.Connection) -> Iterator[Checkpoint]:
    """Yield every signed checkpoint, oldest first."""
    for (note,) in conn.execute("SELECT note FROM ledger_checkpoint ORDER BY size"):
        yield read_checkpoint(read_note(note.encode()).text)


_KEEP = "INSERT INTO ledger_node (level, place, hash) VALUES (?, ?, ?)"


def _size(conn: sqlite3.Connection) -> int:
    return int(conn.execute("SELECT coalesce(max(seq), 0) FROM ledger_entry").fetchone()[0])


def _kept(conn: sqlite3.Connection, level: int) -> int:
    """Return how many nodes of a level are kept."""
    query = "SELECT coalesce(max(place) + 1, 0) FROM ledger_node WHERE level = ?"
    return int(conn.execute(query, (level,)).fetchone()[0])


def _row(conn: sqlite3.Connection, level: int, first: int, count: int) -> list[bytes]:
    """Return the kept hashes of a level from `first` on; of leaves, from the entries."""
    if level:
        query = "SELECT hash FROM ledger_node WHERE level = ? AND place >= ? AND place < ?"
        rows = conn.execute(f"{query} ORDER BY place", (level, first, first + count))
        return [digest for (digest,) in rows]
    query = "SELECT hash FROM ledger_entry WHERE seq > ? AND seq <= ? ORDER BY seq"
    return [tree.leaf_hash(own) for (own,) in conn.execute(query, (first, first + count))]


def _gap(first: int, count: int) -> DamageError:
    return DamageError(
        f"entries {first + 1} to {first + count} are not all there",
        where="ledger",
        hint="run `fenglin ledger verify`",
    )


def _fresh_leaves(conn: sqlite3.Connection, last: int) -> Iterator[list[bytes]]:
    """Yield leaf hashes, 256 at a time, behind what is kept."""
    first = _kept(conn, STRIDE) * _WIDE
    stop = last // _WIDE * _WIDE
    while first < stop:
        wanted = min(_READ_ENTRIES, stop - first)
        part = _row(conn, 0, first, wanted)
        if len(part) != wanted:
            raise _gap(first, wanted)
        for start in range(0, len(part), _WIDE):
            yield part[start : start + _WIDE]
        first += len(part)
