"""A cycle as bytes: what was planned from, how, and what came out; to be planned again later.

Layout: magic, three 8-byte little-endian lengths, then policy and plan as MessagePack and the
snapshot in its own form. Planning is pure, so that the same snapshot and policy give the same
plan, byte for byte, on any machine and at any time.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from fenglin.errors import DamageError
from fenglin.model.plan import Plan
from fenglin.planner.policy import Policy, data_of
from fenglin.snapshot.codec import from_bytes, to_bytes
from fenglin.snapshot.snapshot import Snapshot

MAGIC = b"FLCYCLE1\n"
_LENGTH_BYTES = 8
_ENCODER = msgspec.msgpack.Encoder()
_POLICY = msgspec.msgpack.Decoder(Policy)
_PLAN = msgspec.msgpack.Decoder(Plan)


class CycleRecord(NamedTuple):
    """A cycle read back.

    Attributes:
        snapshot: What was planned from.
        policy: How, as data: terms of third parties must be found again by name.
        plan: What came out.
    """

    snapshot: Snapshot
    policy: Policy
    plan: Plan


def plan_bytes(plan: Plan) -> bytes:
    """Return the plan's one and only byte form."""
    return _ENCODER.encode(plan)


def record_bytes(snapshot: Snapshot, policy: Policy, plan: Plan) -> bytes:
    """Return the cycle as bytes."""
    parts = [_ENCODER.encode(data_of(policy)), plan_bytes(plan), to_bytes(snapshot)]
    lengths = [len(part).to_bytes(_LENGTH_BYTES, "little") for part in parts]
    return b"".join([MAGIC, *lengths, *parts])


def read_record(data: bytes) -> CycleRecord:
    """Return the cycle that `record_bytes` wrote.

    Raises:
        DamageError: the bytes are no such record, are of another version, or are cut short.
    """
    at = len(MAGIC)
    if data[:at] != MAGIC:
        raise DamageError("not the record of a cycle, or of another version", where="record")
    lengths: list[int] = []
    for _ in range(3):
        lengths.append(int.from_bytes(data[at : at + _LENGTH_BYTES], "little"))
        at += _LENGTH_BYTES
    if len(data) != at + sum(lengths):
        raise DamageError("the record of a cycle is cut short", where="record")
    parts: list[bytes] = []
    for length in lengths:
        parts.append(data[at : at + length])
        at += length
    try:
        policy, plan = _POLICY.decode(parts[0]), _PLAN.decode(parts[1])
    except msgspec.MsgspecError as error:
        raise DamageError(f"the record of a cycle is damaged: {error}", where="record") from error
    return CycleRecord(from_bytes(parts[2]), policy, plan)
