"""Entries: immutable, balanced, chained by a hash over all their fields.

Canonical encoding, version 1: the MessagePack array

    ["fenglin.ledger", version, ledger_id, seq, time_ms, kind, key, job, attempt, memo,
     [[account, commodity, amount_micro], …], [[name, value], …], prev_hash]

with every integer, string, array and binary in its shortest MessagePack form. Each value is
preceded by its type and length and the order is fixed, so no two entries share an encoding.
`hash` is SHA-256 of it; the first entry's `prev_hash` is 32 zero bytes.
"""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from fenglin.errors import InputError
from fenglin.ledger.accounts import check_account, check_commodity
from fenglin.quantities.money import MAX_MICRO

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMAT = "fenglin.ledger"
VERSION = 1
ZERO_HASH = bytes(32)
GENESIS_KEY = "genesis"
# 64 legs of at most MAX_MICRO sum to less than 2**63, so that no database sum overflows.
MAX_LEGS = 64
MAX_DETAILS = 32
MAX_TEXT_CHARS = 512
_DETAIL_NAME = re.compile(r"[a-z][a-z0-9_-]{0,47}", re.ASCII)
_ENCODER = msgspec.msgpack.Encoder()


class Kind(StrEnum):
    """What an entry does.

    GENESIS founds the ledger and moves nothing. GRANT gives a tenant credit. HOLD sets money
    aside for one attempt; exactly one POST (used) or VOID (released) resolves it. ADJUST
    corrects an earlier entry, which itself never changes. DEPOSIT is a tenant's money that came
    in, PAY money that went out to a provider or back to a tenant. SETTLE takes the hub's fee and
    taxes from what a provider has earned. VOUCHER moves a voucher pool's money. CLOSE says that a
    period is closed and moves nothing. AUDIT says what the audit trail was, and moves nothing.
    """

    GENESIS = "genesis"
    GRANT = "grant"
    HOLD = "hold"
    POST = "post"
    VOID = "void"
    ADJUST = "adjust"
    DEPOSIT = "deposit"
    PAY = "pay"
    SETTLE = "settle"
    VOUCHER = "voucher"
    CLOSE = "close"
    AUDIT = "audit"


class Leg(Struct, frozen=True, array_like=True, gc=False):
    """One movement of an entry: a positive amount raises the account's balance.

    Attributes:
        account: Ledger account, see `accounts`.
        commodity: Such as `CNY`; amounts of unlike commodities are never added.
        amount_micro: Millionths of the commodity.
    """

    account: str
    commodity: str
    amount_micro: int


class Head(Struct, frozen=True, gc=False):
    """The end of a chain: all that is needed to append, or to pin the chain from outside."""

    ledger_id: str
    seq: int
    hash: bytes


class Draft(Struct, frozen=True, gc=False):
    """What is to be entered, before it has a place in the chain. Fields as in `Entry`."""

    kind: Kind
    key: str
    legs: tuple[Leg, ...]
    job: int = 0
    attempt: str = ""
    memo: str = ""
    details: tuple[tuple[str, str], ...] = ()


class Entry(Struct, frozen=True, gc=False):
    """One line of the ledger. The order of the fields is the order of the encoding.

    Attributes:
        version: Version of the canonical encoding.
        ledger_id: Whose ledger this is.
        seq: 1, 2, 3 … without a gap.
        time_ms: Unix time of entry. A hub's clock may step back, so order is by `seq`.
        kind: What it does.
        key: Unique for ever, `<kind>:<rest>`; a key entered twice is one entry.
        job: The job's number, 0 for none.
        attempt: Attempt key, empty for none.
        memo: For people.
        legs: Sum to zero per commodity.
        details: (name, value) pairs such as price version, site and charges.
        prev_hash: `hash` of the entry before.
        hash: SHA-256 of the canonical encoding of all the fields above.
    """

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
    prev_hash: bytes
    hash: bytes

    @property
    def head(self) -> Head:
        """Return the chain's end if this entry is the last."""
        return Head(self.ledger_id, self.seq, self.hash)

    @property
    def draft(self) -> Draft:
        """Return what was entered, without place, time and hash."""
        return Draft(
            self.kind, self.key, self.legs, self.job, self.attempt, self.memo, self.details
        )

    def detail(self, name: str) -> str:
        """Return the value of a detail, empty when there is none of that name."""
        return next((value for key, value in self.details if key == name), "")


def canonical_bytes(entry: Entry) -> bytes:
    """Return the encoding that the hash covers: every field but the hash itself."""
    return _ENCODER.encode(
        (
            FORMAT,
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
            entry.prev_hash,
        )
    )


def entry_hash(entry: Entry) -> bytes:
    """Return the hash that the entry's fields ask for, whatever `entry.hash` says."""
    return hashlib.sha256(canonical_bytes(entry)).digest()


def seal(prev: Head, draft: Draft, time_ms: int) -> Entry:
    """Give a checked draft the place after `prev` and its hash."""
    return seal_behind(prev.ledger_id, prev.seq, prev.hash, draft, time_ms)


def seal_behind(ledger_id: str, seq: int, prev_hash: bytes, draft: Draft, time_ms: int) -> Entry:
    """Do as `seal`, given the three fields of the head."""
    kind, key, legs, job = draft.kind, draft.key, draft.legs, draft.job
    attempt, memo, details = draft.attempt, draft.memo, draft.details
    seq += 1
    body = _ENCODER.encode(
        (
            FORMAT, VERSION, ledger_id, seq, time_ms, kind, key, job, attempt, memo, legs,
            details, prev_hash,
        )
    )  # fmt: skip
    own = hashlib.sha256(body).digest()
    return Entry(
        VERSION, ledger_id, seq, time_ms, kind, key, job, attempt, memo, legs, details,
        prev_hash, own,
    )  # fmt: skip


def genesis(ledger_id: str, time_ms: int) -> Entry:
    """Return the first entry of a new ledger.

    Raises:
        InputError: the id is empty, too long or not printable.
    """
    _check_text("ledger id", ledger_id, required=True)
    return seal(Head(ledger_id, 0, ZERO_HASH), Draft(Kind.GENESIS, GENESIS_KEY, ()), time_ms)


def imbalance(legs: Iterable[Leg]) -> tuple[str, int] | None:
    """Return the first commodity that does not sum to zero, with its sum; None if all do."""
    sums: dict[str, int] = {}
    for leg in legs:
        sums[leg.commodity] = sums.get(leg.commodity, 0) + leg.amount_micro
    for commodity, total in sums.items():
        if total:
            return commodity, total
    return None


def check_balanced(legs: Iterable[Leg]) -> None:
    """Refuse legs that create or destroy money.

    Raises:
        InputError: a commodity does not sum to zero.
    """
    off = imbalance(legs)
    if off is not None:
        raise InputError(
            f"the legs sum to {off[1]} micro-{off[0]}",
            hint="what leaves one account must arrive in others",
        )


def key_fault(kind: Kind, key: str, attempt: str) -> str:
    """Return why this key cannot belong to such an entry; empty when it can.

    The key of a hold, post or void is its kind and attempt, so that the uniqueness of keys
    makes each of them happen once per attempt.
    """
    if kind is Kind.GENESIS:
        return "" if key == GENESIS_KEY else f"the key of a genesis is {GENESIS_KEY!r}"
    if kind is Kind.HOLD or kind is Kind.POST or kind is Kind.VOID:
        if not attempt:
            return f"a {kind} names no attempt"
        return "" if key == kind + ":" + attempt else f"its key is not {kind}:{attempt}"
    return "" if key.startswith(kind + ":") else f"its key does not start with {kind}:"


def check_draft(draft: Draft) -> None:
    """Refuse a draft that must never enter a ledger.

    Raises:
        InputError: says which field is wrong; a genesis is made by `genesis` alone.
    """
    if draft.kind is Kind.GENESIS:
        raise InputError("a genesis is not entered twice", hint="found a new ledger instead")
    key, attempt, legs = draft.key, draft.attempt, draft.legs
    _check_text("key", key, required=True)
    if attempt:
        _check_text("attempt key", attempt)
    _check_text("memo", draft.memo)
    fault = key_fault(draft.kind, key, attempt)
    if fault:
        raise InputError(fault, where=key)
    if not 0 <= draft.job < 2**63:
        raise InputError(f"{draft.job} is not a job number", where=key)
    if not 2 <= len(legs) <= MAX_LEGS:
        raise InputError(f"{len(legs)} legs", where=key, hint="2 to 64 are allowed")
    total_micro = 0
    several = False
    first = legs[0].commodity
    for leg in legs:
        amount_micro, commodity = leg.amount_micro, leg.commodity
        _check_place(leg.account, commodity)
        if not -MAX_MICRO <= amount_micro <= MAX_MICRO:
            raise InputError(f"{amount_micro} is too large", where=key)
        total_micro += amount_micro
        several = several or commodity != first
    if several or total_micro:
        check_balanced(legs)
    if draft.details:
        _check_details(draft)


@lru_cache(maxsize=16_384)
def _check_place(account: str, commodity: str) -> None:
    """Refuse a leg's account or commodity."""
    check_account(account)
    check_commodity(commodity)


def _check_details(draft: Draft) -> None:
    """Refuse details whose names repeat or that an export could not carry."""
    details = draft.details
    if len(details) > MAX_DETAILS or not _are_detail_names(tuple([name for name, _ in details])):
        _refuse_names(draft)
    for name, value in details:
        if len(value) > MAX_TEXT_CHARS or not value.isprintable():
            _check_text(f"detail {name}", value)


# The few names in use come again and again in the same order, as do tenants' accounts.
@lru_cache(maxsize=256)
def _are_detail_names(names: tuple[str, ...]) -> bool:
    """Return whether an export could carry these names, and none of them repeats."""
    return len(set(names)) == len(names) and all(map(_DETAIL_NAME.fullmatch, names))


def _refuse_names(draft: Draft) -> None:
    """Say what is wrong with the names of details."""
    if len(draft.details) > MAX_DETAILS or len(dict(draft.details)) != len(draft.details):
        raise InputError(
            "details repeat a name or are too many", where=draft.key, hint="at most 32"
        )
    wrong = next(name for name, _ in draft.details if _DETAIL_NAME.fullmatch(name) is None)
    raise InputError(f"{wrong[:80]!r} cannot name a detail", where=draft.key)


def _check_text(what: str, text: str, *, required: bool = False) -> None:
    """Refuse text that is too long or holds control characters or lone surrogates."""
    if (required and not text) or len(text) > MAX_TEXT_CHARS or not text.isprintable():
        raise InputError(
            f"{what} {text[:80]!r} is empty, too long or not printable",
            hint=f"at most {MAX_TEXT_CHARS} printable characters",
        )
