"""A snapshot as bytes and back, the same bytes for the same snapshot: for replay and goldens.

Layout: magic, 8-byte little-endian length of the head, head (msgpack: every field that is no
array, and the extents of the arrays), then the arrays' raw little-endian bytes in field order.
"""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fenglin.errors import DamageError
from fenglin.model.site import Queue, Site
from fenglin.snapshot.snapshot import Shape, Snapshot

_MAGIC = b"FLSNAP2\n"
_DTYPES: dict[object, np.dtype[Any]] = {
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "Bool": np.dtype("?"),
}
# The contract declares each column's kind as its annotation; a column added there is carried.
_COLUMNS = tuple((f.name, _DTYPES[f.type]) for f in fields(Snapshot) if f.type in _DTYPES)


class _Head(Struct, frozen=True):
    """Everything of a snapshot that is not a column."""

    index: int
    now_ms: int
    sites: tuple[Site, ...]
    node_names: tuple[str, ...]
    licence_names: tuple[tuple[int, str], ...]
    shapes: tuple[Shape, ...]
    queues: tuple[Queue, ...]
    accounts: tuple[str, ...]
    extents: tuple[tuple[int, ...], ...]


def to_bytes(snapshot: Snapshot) -> bytes:
    """Return the snapshot's one and only byte form."""
    arrays: list[NDArray[Any]] = [
        np.ascontiguousarray(getattr(snapshot, name), dtype=dtype) for name, dtype in _COLUMNS
    ]
    head = msgspec.msgpack.encode(
        _Head(
            index=snapshot.index,
            now_ms=snapshot.now_ms,
            sites=snapshot.sites,
            node_names=snapshot.node_names,
            licence_names=snapshot.licence_names,
            shapes=snapshot.shapes,
            queues=snapshot.queues,
            accounts=snapshot.accounts,
            extents=tuple(array.shape for array in arrays),
        )
    )
    parts = [_MAGIC, len(head).to_bytes(8, "little"), head]
    parts.extend(array.tobytes() for array in arrays)
    return b"".join(parts)


def from_bytes(data: bytes) -> Snapshot:
    """Return the snapshot that `to_bytes` wrote.

    Raises:
        DamageError: the bytes are not a snapshot, are of another version, or are cut short.
    """
    start = len(_MAGIC) + 8
    if data[: len(_MAGIC)] != _MAGIC or len(data) < start:
        raise DamageError("not a snapshot of this version", hint="was it written by to_bytes?")
    end = start + int.from_bytes(data[len(_MAGIC) : start], "little")
    try:
        head = msgspec.msgpack.decode(data[start:end], type=_Head)
        columns = _columns(data, end, head.extents)
    except (msgspec.DecodeError, ValueError) as error:
        raise DamageError(f"the snapshot is damaged: {error}") from error
    values: dict[str, Any] = {
        name: getattr(head, name) for name in _Head.__struct_fields__ if name != "extents"
    }
    return Snapshot(**(values | columns))


def _columns(data: bytes, at: int, extents: tuple[tuple[int, ...], ...]) -> dict[str, NDArray[Any]]:
    """Cut the arrays out of the bytes; they come back read-only, as views."""
    columns: dict[str, NDArray[Any]] = {}
    for (name, dtype), extent in zip(_COLUMNS, extents, strict=True):
        count = math.prod(extent)
        if count < 0:
            raise ValueError(f"extent {extent} of {name}")
        columns[name] = np.frombuffer(data, dtype, count, at).reshape(extent)
        at += count * dtype.itemsize
    if at != len(data):
        raise ValueError(f"{len(data) - at} bytes left over")
    return columns
