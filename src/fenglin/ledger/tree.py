"""A Merkle tree over the ledger's entries, by RFC 6962, section 2.1.

Leaf i (from 0) is the hash of entry i + 1, so a root over n leaves seals the first n entries.
Whoever has a root and a short proof knows, without the ledger, that an entry lies in it
(inclusion), or that a longer ledger goes on from it and changed nothing (consistency).

Hashes are 32 bytes. `Subtrees` hands in the hashes of complete subtrees, wherever they are kept;
a proof asks for at most a few times log2(n) of them.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol

from fenglin.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

EMPTY_ROOT = hashlib.sha256(b"").digest()
HASH_BYTES = 32
# Trees of more leaves than any ledger will have, yet a proof stays short.
MAX_SIZE = 1 << 62


class Subtrees(Protocol):
    """Hashes of complete subtrees."""

    def __call__(self, level: int, index: int) -> bytes:
        """Return the hash over the leaves from `index << level`, 2 to the `level` of them."""
        ...


def leaf_hash(entry_hash: bytes) -> bytes:
    """Return the hash of a leaf."""
    return hashlib.sha256(b"\0" + entry_hash).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return hashlib.sha256(b"\1" + left + right).digest()


def fold(leaves: Sequence[bytes]) -> bytes:
    """Return the hash of a complete subtree over leaf hashes; their number is a power of two."""
    sha256 = hashlib.sha256
    row = leaves
    while len(row) > 1:
        pairs = zip(row[::2], row[1::2], strict=True)
        row = [sha256(b"\1" + left + right).digest() for left, right in pairs]
    return row[0]


class Growth:
    """A tree that only grows: the hashes of its largest complete subtrees, and no more."""

    def __init__(self, seen: Callable[[int, int, bytes], None] | None = None) -> None:
        """Start empty.

        Args:
            seen: Called with (level, index, hash) of each subtree that is added or completed.
        """
        self.size = 0
        self._seen = seen
        self._stack: list[tuple[int, bytes]] = []

    @property
    def peaks(self) -> tuple[tuple[int, bytes], ...]:
        """Return (level, hash) of the largest complete subtrees, from left to right."""
        return tuple(self._stack)

    def add(self, entry_hash: bytes) -> None:
        """Add the next entry."""
        self.add_subtree(0, leaf_hash(entry_hash))

    def add_subtree(self, level: int, digest: bytes) -> None:
        """Add 2 to the `level` leaves at once; the size must be a multiple of as many."""
        while True:
            if self._seen is not None:
                self._seen(level, self.size >> level, digest)
            if not self._stack or self._stack[-1][0] != level:
                break
            # The left half starts where it started, so the index is that of the pair.
            self.size -= 1 << level
            digest = node_hash(self._stack.pop()[1], digest)
            level += 1
        self._stack.append((level, digest))
        self.size += 1 << level

    def root(self) -> bytes:
        """Return the root over all leaves so far."""
        if not self._stack:
            return EMPTY_ROOT
        digest = self._stack[-1][1]
        for _, left in reversed(self._stack[:-1]):
            digest = node_hash(left, digest)
        return digest


def root(size: int, subtrees: Subtrees) -> bytes:
    """Return the root over the first `size` leaves."""
    return _range(0, size, subtrees) if size else EMPTY_ROOT


def inclusion(indices: Sequence[int], size: int, subtrees: Subtrees) -> tuple[bytes, ...]:
    """Return what proves that leaves lie in the tree of the first `size` leaves.

    For one leaf these are the hashes of RFC 6962's audit path, from left to right; several
    leaves share what they have in common, so the proof is shorter than theirs together.

    Args:
        indices: Of the leaves, rising, each below `size`.
        size: Leaves of the tree.
        subtrees: Where hashes come from.

    Raises:
        InputError: an index is not in the tree, or they do not rise.
    """
    _check_indices(indices, size)
    return tuple(_outside(indices, 0, len(indices), 0, size, subtrees))


def included_root(leaves: Mapping[int, bytes], size: int, proof: Sequence[bytes]) -> bytes:
    """Return the root that leaves and their proof lead to.

    Args:
        leaves: Index → hash of the entry (not of the leaf).
        size: Leaves of the tree.
        proof: What `inclusion` returned for exactly these indices.

    Raises:
        InputError: the proof is not of the right length for these leaves.
    """
    indices = sorted(leaves)
    _check_indices(indices, size)
    given = iter(proof)
    digest = _rebuild(leaves, (indices, 0, len(indices)), 0, size, given)
    if next(given, None) is not None:
        raise _misfit()
    return digest


def consistency(old: int, new: int, subtrees: Subtrees) -> tuple[bytes, ...]:
    """Return what proves that a tree of `new` leaves goes on from its first `old` ones.

    RFC 6962, section 2.1.2. Empty when `old` is 0 or equals `new`.

    Raises:
        InputError: `old` is larger than `new`.
    """
    if not 0 <= old <= new:
        raise InputError(f"a tree of {new} leaves does not go on from one of {old}")
    if old in {0, new}:
        return ()
    return tuple(_subproof(old, 0, new, subtrees, whole=True))


def consistent(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> str:
    """Return why the proof does not show that a tree goes on from an earlier one; empty if it does.

    RFC 9162, section 2.1.4.2.
    """
    if not 0 <= old <= new:
        return f"a tree of {new} entries cannot go on from one of {old}: it has shrunk"
    if old in {0, new}:
        if proof:
            return "the proof is longer than it must be"
        if old and old_root != new_root:
            return f"two trees of {old} entries have different roots: the ledger has forked"
        return "" if old or old_root == EMPTY_ROOT else "no tree of no entries has that root"
    return _retrace(old, old_root, new, new_root, proof)


def _retrace(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> str:
    """Rebuild both roots from the proof, from the older tree's edge upwards."""
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        return "the proof is empty"
    edge, last = old - 1, new - 1
    while edge & 1:
        edge, last = edge >> 1, last >> 1
    older = newer = path[0]
    for digest in path[1:]:
        if last == 0:
            return "the proof is longer than it must be"
        if edge & 1 or edge == last:
            older, newer = node_hash(digest, older), node_hash(digest, newer)
            while edge and not edge & 1:
                edge, last = edge >> 1, last >> 1
        else:
            newer = node_hash(newer, digest)
        edge, last = edge >> 1, last >> 1
    if last:
        return "the proof is shorter than it must be"
    if older != old_root:
        return f"the proof does not lead to the root over the first {old} entries"
    return "" if newer == new_root else f"the proof does not lead to the root over {new} entries"


def _range(first: int, stop: int, subtrees: Subtrees) -> bytes:
    """Return the hash over leaves [first, stop), which the tree's shape makes a node."""
    count = stop - first
    level = count.bit_length() - 1
    if count == 1 << level:
        return subtrees(level, first >> level)
    middle = first + (1 << level)
    return node_hash(_range(first, middle, subtrees), _range(middle, stop, subtrees))


def _split(first: int, stop: int) -> int:
    """Return where RFC 6962 splits a range of two leaves or more."""
    return first + (1 << ((stop - first - 1).bit_length() - 1))


def _outside(
    indices: Sequence[int], low: int, high: int, first: int, stop: int, subtrees: Subtrees
) -> Iterator[bytes]:
    """Yield, from left to right, the hashes of the largest nodes without any of the leaves."""
    if low == high:
        yield _range(first, stop, subtrees)
        return
    if stop - first == 1:
        return
    middle = _split(first, stop)
    cut = low
    while cut < high and indices[cut] < middle:
        cut += 1
    yield from _outside(indices, low, cut, first, middle, subtrees)
    yield from _outside(indices, cut, high, middle, stop, subtrees)


def _rebuild(
    leaves: Mapping[int, bytes],
    part: tuple[Sequence[int], int, int],
    first: int,
    stop: int,
    given: Iterator[bytes],
) -> bytes:
    """Return the hash over [first, stop) from the leaves in it and the proof's hashes."""
    indices, low, high = part
    if low == high:
        digest = next(given, b"")
        if len(digest) != HASH_BYTES:
            raise _misfit()
        return digest
    if stop - first == 1:
        return leaf_hash(leaves[first])
    middle = _split(first, stop)
    cut = low
    while cut < high and indices[cut] < middle:
        cut += 1
    left = _rebuild(leaves, (indices, low, cut), first, middle, given)
    return node_hash(left, _rebuild(leaves, (indices, cut, high), middle, stop, given))


def _subproof(
    old: int, first: int, stop: int, subtrees: Subtrees, *, whole: bool
) -> Iterator[bytes]:
    """Yield SUBPROOF(old, D[first:stop], whole), where `old` counts from `first`."""
    if old == stop - first:
        if not whole:
            yield _range(first, stop, subtrees)
        return
    middle = _split(first, stop)
    if first + old <= middle:
        yield from _subproof(old, first, middle, subtrees, whole=whole)
        yield _range(middle, stop, subtrees)
    else:
        yield from _subproof(old - (middle - first), middle, stop, subtrees, whole=False)
        yield _range(first, middle, subtrees)


def _check_indices(indices: Iterable[int], size: int) -> None:
    """Refuse indices that do not rise within the tree."""
    before = -1
    for index in indices:
        if not before < index < size <= MAX_SIZE:
            raise InputError(f"entry {index + 1} is not one of the first {size}, or comes twice")
        before = index
    if before < 0:
        raise InputError("there is nothing to prove", hint="name at least one entry")


def _misfit() -> InputError:
    return InputError("the proof does not fit the entries that it is for")
