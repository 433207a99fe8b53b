from __future__ import annotations

import msgspec
import pytest

from fenglin.ledger.entry import Draft, Head, Kind, Leg, entry_hash, genesis, seal
from fenglin.ledger.posting import Hold, Terms, charge, grant, hold, post, void
from fenglin.ledger.verify import balances, first_repeat, verify

replace = msgspec.structs.replace
OF = Hold("x", "lab", "CNY", 100, 1)


def resealed(entries):
    """What a forger makes who recomputes every hash."""
    chain = entries[:1]
    for entry in entries[1:]:
        chain.append(seal(chain[-1].head, entry.draft, entry.time_ms))
    return chain


def test_a_whole_ledger_is_proven(story):
    report = verify(story)
    assert report.ok
    assert report.entries == len(story)
    assert report.head == story[-1].head
    assert report.balances == balances(story)
    assert report.open_holds == 0
    assert verify(story[:5]).open_holds == 3


CHANGES = {
    "version": 2,
    "ledger_id": "hub-2",
    "seq": 77,
    "time_ms": 1,
    "kind": Kind.VOID,
    "key": "post:hub-1-a9-1",
    "job": 70,
    "attempt": "hub-1-a9-1",
    "memo": "x",
    "legs": (Leg("tenant:lab:available", "CNY", 0), Leg("provider:gz:due", "CNY", 0)),
    "details": (("site", "b"),),
    "prev_hash": bytes(32),
    "hash": bytes(32),
}


@pytest.mark.parametrize("at", [1, 5, 8])
@pytest.mark.parametrize("name", sorted(CHANGES))
def test_a_changed_field_is_named(story, name, at):
    story[at] = replace(story[at], **{name: CHANGES[name]})
    report = verify(story)
    assert (report.bad_seq, report.entries) == (at + 1, at)
    assert report.why


@pytest.mark.parametrize("at", range(8))
def test_a_removed_entry_is_named(story, at):
    del story[at]
    assert verify(story).bad_seq == at + 1


@pytest.mark.parametrize("at", range(8))
def test_two_swapped_entries_are_named(story, at):
    story[at], story[at + 1] = story[at + 1], story[at]
    assert verify(story).bad_seq == at + 1


@pytest.mark.parametrize("at", range(2, 9))
def test_a_copied_entry_is_named(story, at):
    story.insert(at, story[1])
    assert verify(story).bad_seq == at + 1


@pytest.mark.parametrize("at", range(1, 8))
def test_a_well_formed_entry_put_in_is_named_by_the_one_after(story, at):
    story[at] = seal(story[at - 1].head, grant("thief", 5, "mine"), 5)
    assert verify(story).bad_seq == at + 2


def test_a_tail_of_another_chain_is_named(story, sealed):
    other = sealed([entry.draft for entry in story[1:]], genesis("hub-1", 2_000))
    assert verify([*story[:4], *other[4:]]).bad_seq == 5


def test_another_ledgers_entries_are_named(story, sealed):
    other = sealed([entry.draft for entry in story[1:]], genesis("hub-2", 1_000))
    assert verify([*story[:4], *other[4:]]).bad_seq == 5
    assert verify(other, anchor=story[3].head).bad_seq == 1


def test_a_cut_tail_is_seen_only_with_an_anchor(story):
    assert verify(story[:6]).ok
    assert verify(story[:6], anchor=story[7].head).bad_seq == 7
    assert verify(story, anchor=story[7].head).ok


def test_a_recomputed_chain_is_seen_only_with_an_anchor(story):
    noted = story[-1].head
    story[1] = replace(story[1], memo="nothing to see here")
    forged = resealed(story)
    assert verify(forged).ok
    assert verify(forged, anchor=noted).bad_seq == noted.seq


def test_nothing_is_not_a_ledger():
    assert verify([]).bad_seq == 1


def test_a_clock_that_steps_back_is_counted_and_no_fault(story):
    late = seal(story[-1].head, grant("lab", 5, "late"), 0)
    report = verify([*story, late])
    assert report.ok
    assert report.steps_back == 1


@pytest.mark.parametrize(
    ("drafts", "bad", "says"),
    [
        ([hold("lab", 100, "x"), post(OF, "gz", [], Terms()), void(OF)], 4, "no open hold"),
        ([hold("lab", 100, "x"), void(OF), void(OF)], 4, "no open hold"),
        ([void(OF)], 2, "no open hold"),
        ([hold("lab", 100, "x"), hold("lab", 100, "x")], 3, "open hold already"),
        ([hold("lab", 99, "x"), void(OF)], 3, "its hold moved"),
        (
            [hold("lab", 101, "x"), post(OF, "gz", [charge("task", 5, 1, 1)], Terms())],
            3,
            "its hold",
        ),
        ([hold("other", 100, "x"), void(OF)], 3, "its hold moved"),
        ([grant("lab", 5, "k"), Draft(Kind.GENESIS, "genesis", ())], 3, "genesis"),
        ([Draft(Kind.GRANT, "grant:k", (Leg("hub:grants", "CNY", 0),))], 2, "two legs"),
        ([Draft(Kind.GRANT, "post:k", grant("lab", 5, "k").legs)], 2, "start with grant:"),
        ([Draft(Kind.GRANT, "grant:k", hold("lab", 5, "k").legs)], 2, "touches held"),
        ([Draft(Kind.HOLD, "hold:k", grant("lab", 5, "k").legs, attempt="k")], 2, "holds nothing"),
        (
            [
                Draft(
                    Kind.HOLD,
                    "hold:k",
                    (Leg("tenant:lab:held", "CNY", 5), Leg("hub:x", "CNY", -5)),
                    attempt="k",
                )
            ],
            2,
            "same account",
        ),
        (
            [Draft(Kind.GRANT, "grant:k", (Leg("hub:grants", "CNY", -5), Leg("hub:x", "CNY", 6)))],
            2,
            "out of balance by 1 micro-CNY",
        ),
    ],
)
def test_a_rule_broken_under_right_hashes_is_named(sealed, drafts, bad, says):
    report = verify(sealed(drafts))
    assert report.bad_seq == bad
    assert says in report.why


def test_a_missing_genesis_is_named():
    lone = seal(Head("hub-1", 0, bytes(32)), grant("lab", 5, "k"), 0)
    assert "genesis" in verify([lone]).why


def test_fields_that_cannot_be_encoded_are_named(story):
    for bad in ({"memo": "\ud800"}, {"job": 2**70}):
        assert verify([*story[:3], replace(story[3], **bad)]).bad_seq == 4
    assert entry_hash(story[3]) == story[3].hash


def test_the_first_repeated_key_is_found_exactly():
    keys = [f"grant:{i}" for i in range(500)]
    rows = list(enumerate(keys, start=1))
    assert first_repeat(lambda: rows) is None
    repeated = [*rows, (501, "grant:new"), (502, "grant:7"), (503, "grant:3")]
    assert first_repeat(lambda: repeated) == (502, "grant:7")


def test_keys_that_share_a_filter_bit_are_no_repeat(monkeypatch):
    monkeypatch.setattr("fenglin.ledger.verify._slot", lambda _: 5)
    rows = [(1, "grant:a"), (2, "grant:b"), (3, "grant:c")]
    assert first_repeat(lambda: rows) is None
    assert first_repeat(lambda: [*rows, (4, "grant:b")]) == (4, "grant:b")
