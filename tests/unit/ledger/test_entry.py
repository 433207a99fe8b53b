from __future__ import annotations

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fenglin.errors import InputError
from fenglin.ledger.accounts import available, check_account, check_commodity
from fenglin.ledger.entry import (
    Draft,
    Head,
    Kind,
    Leg,
    canonical_bytes,
    check_balanced,
    check_draft,
    entry_hash,
    genesis,
    seal,
)
from fenglin.ledger.posting import grant, hold


def pack(value) -> bytes:
    """MessagePack by its specification, written apart from the library that we use."""
    if isinstance(value, str):
        raw = value.encode()
        size = len(raw)
        if size < 32:
            return bytes([0xA0 | size]) + raw
        if size < 2**8:
            return b"\xd9" + size.to_bytes(1, "big") + raw
        return b"\xda" + size.to_bytes(2, "big") + raw
    if isinstance(value, bytes):
        return b"\xc4" + len(value).to_bytes(1, "big") + value
    if isinstance(value, int):
        if -32 <= value < 128:
            return value.to_bytes(1, "big", signed=value < 0)
        sign = value < 0
        for mark, size in zip(
            (0xD0, 0xD1, 0xD2, 0xD3) if sign else (0xCC, 0xCD, 0xCE, 0xCF),
            (1, 2, 4, 8),
            strict=True,
        ):
            if (-(1 << 8 * size - 1) <= value) if sign else value < 1 << 8 * size:
                return bytes([mark]) + value.to_bytes(size, "big", signed=sign)
    size = len(value)
    start = bytes([0x90 | size]) if size < 16 else b"\xdc" + size.to_bytes(2, "big")
    return start + b"".join(pack(part) for part in value)


def fields(entry) -> list:
    legs = [[leg.account, leg.commodity, leg.amount_micro] for leg in entry.legs]
    details = [list(pair) for pair in entry.details]
    return [
        "fenglin.ledger",
        entry.version,
        entry.ledger_id,
        entry.seq,
        entry.time_ms,
        str(entry.kind),
        entry.key,
        entry.job,
        entry.attempt,
        entry.memo,
        legs,
        details,
        entry.prev_hash,
    ]


GENESIS_HASH = "3ff797640ffb2d53097510bd411f4a3557734d1e404549edbb6f66ec229cf56a"
GRANT_HASH = "69965f27396b18488192ec2f2dbbc8402e6dfb108d93fe6e8b0c53c894b802eb"


def test_the_hash_of_a_known_entry_never_changes():
    first = genesis("hub-1", 1_700_000_000_000)
    assert first.hash.hex() == GENESIS_HASH
    second = seal(first.head, grant("lab", 10_000_000, "first", memo="开户"), 1_700_000_000_001)
    assert second.hash.hex() == GRANT_HASH


def test_the_encoding_is_the_one_that_is_documented(story):
    for entry in story:
        assert canonical_bytes(entry) == pack(fields(entry))
        assert entry.hash == hashlib.sha256(pack(fields(entry))).digest() == entry_hash(entry)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


drafts = st.builds(
    Draft,
    kind=st.sampled_from(Kind),
    key=texts,
    legs=st.lists(st.builds(Leg, texts, texts, st.integers(-(2**63), 2**63 - 1)), max_size=20).map(
        tuple
    ),
    job=st.integers(0, 2**62),
    attempt=texts,
    memo=texts,
    details=st.lists(st.tuples(texts, texts), max_size=20).map(tuple),
)


@given(draft=drafts, ledger_id=texts, seq=st.integers(0, 2**62), time_ms=st.integers(0, 2**62))
def test_the_encoding_of_any_entry_is_the_one_that_is_documented(draft, ledger_id, seq, time_ms):
    entry = seal(Head(ledger_id, seq, bytes(32)), draft, time_ms)
    assert entry.hash == hashlib.sha256(pack(fields(entry))).digest()


@pytest.mark.parametrize(
    "name",
    [
        "version",
        "ledger_id",
        "seq",
        "time_ms",
        "kind",
        "key",
        "job",
        "attempt",
        "memo",
        "legs",
        "details",
        "prev_hash",
    ],
)
def test_the_hash_covers_every_field(story, name):
    other = {
        "version": 2,
        "ledger_id": "hub-2",
        "seq": 99,
        "time_ms": 5,
        "kind": Kind.VOID,
        "key": "void:x",
        "job": 9,
        "attempt": "x",
        "memo": "x",
        "legs": (),
        "details": (("a", "b"),),
        "prev_hash": bytes(31) + b"\1",
    }
    changed = msgspec.structs.replace(story[5], **{name: other[name]})
    assert entry_hash(changed) != story[5].hash


def test_every_field_but_the_hash_is_in_the_encoding(story):
    assert len(fields(story[1])) - 1 == len(story[1].__struct_fields__) - 1


def test_text_moved_between_neighbouring_fields_is_another_entry():
    one = Draft(Kind.GRANT, "grant:a", (), 0, "bc", "d")
    two = Draft(Kind.GRANT, "grant:a", (), 0, "b", "cd")
    at = Head("hub-1", 1, bytes(32))
    assert seal(at, one, 0).hash != seal(at, two, 0).hash


def test_commodities_are_balanced_apart():
    legs = [Leg("hub:grants", "CNY", -5), Leg("tenant:lab:available", "USD", 5)]
    with pytest.raises(InputError, match="-5 micro-CNY"):
        check_balanced(legs)
    check_balanced([*legs, Leg("hub:grants", "USD", -5), Leg("tenant:lab:available", "CNY", 5)])


GOOD = hold("lab", 5, "hub-1-a1-1", job=3, memo="m", details=[("site", "a")])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"kind": Kind.GENESIS}, "genesis"),
        ({"key": "hold:other"}, "its key is not hold:hub-1-a1-1"),
        ({"kind": Kind.GRANT}, "does not start with grant:"),
        ({"key": "hold:", "attempt": ""}, "names no attempt"),
        ({"key": ""}, "key"),
        ({"memo": "a\x1b[31mb"}, "memo"),
        ({"memo": "x" * 513}, "memo"),
        ({"memo": "\ud800"}, "memo"),
        ({"job": -1}, "job number"),
        ({"job": 2**63}, "job number"),
        ({"legs": GOOD.legs[:1]}, "1 legs"),
        ({"legs": GOOD.legs * 40}, "80 legs"),
        ({"legs": (GOOD.legs[0], Leg("tenant:lab:held", "CNY", 4))}, "sum to -1"),
        ({"legs": (Leg("bank:x", "CNY", -5), GOOD.legs[1])}, "not a ledger account"),
        ({"legs": (Leg("hub", "CNY", -5), GOOD.legs[1])}, "not a ledger account"),
        ({"legs": (Leg("hub:x", "yuan", -5), GOOD.legs[1])}, "not a commodity"),
        (
            {"legs": (Leg("hub:x", "CNY", 10**17 + 1), Leg("hub:y", "CNY", -(10**17) - 1))},
            "too large",
        ),
        ({"details": (("site", "a"), ("site", "b"))}, "repeat a name"),
        ({"details": tuple((f"n{i}", "") for i in range(33))}, "too many"),
        ({"details": (("Site", "a"),)}, "cannot name a detail"),
        ({"details": (("site", "a\nb"),)}, "detail site"),
    ],
)
def test_a_malformed_draft_is_refused_and_says_why(change, says):
    check_draft(GOOD)
    with pytest.raises(InputError, match=says):
        check_draft(msgspec.structs.replace(GOOD, **change))


@pytest.mark.parametrize("name", ["", "a:b", " a", "a\n", "e\u0301", "x" * 129, "\u202eb"])
def test_names_that_could_be_read_in_two_ways_are_no_accounts(name):
    with pytest.raises(InputError, match="cannot be part"):
        available(name)


def test_names_in_any_script_are_accounts():
    check_account("tenant:贵安 超算:available")
    check_commodity("CARD-HOUR.A100")


def test_a_ledger_needs_an_id():
    with pytest.raises(InputError, match="ledger id"):
        genesis("", 0)
