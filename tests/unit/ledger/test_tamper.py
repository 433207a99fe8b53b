"""Nine ways to cheat with a ledger, a hundred times each.

Each is found, with the first wrong entry named, or it lies behind the last checkpoint that was
kept outside, and the report says that nothing there is sealed. A ledger made anew from an entry
on has right hashes; then the checkpoints say between which two sizes the first wrong entry lies.
"""

import random

import msgspec
import pytest

from fenglin.ledger import note, tree
from fenglin.ledger.entry import Head, Kind, genesis, seal
from fenglin.ledger.export import jsonl, verify_jsonl
from fenglin.ledger.moves import deposit
from fenglin.ledger.posting import Hold, Terms, charge, grant, hold, post, void
from fenglin.ledger.seals import Seals

CASES = range(100)
ENTRIES = 48


def story(rng, ledger_id="hub-1", start_ms=1_000):
    """Return a ledger of grants, deposits, holds and what became of them."""
    entries = [genesis(ledger_id, start_ms)]
    open_holds = []

    def enter(draft):
        entries.append(seal(entries[-1].head, draft, entries[-1].time_ms + rng.randrange(50)))

    while len(entries) < ENTRIES:
        n = len(entries)
        act = rng.randrange(5)
        if act == 0:
            enter(grant("lab", rng.randrange(1, 10**9), f"g{n}", memo="credit"))
        elif act == 1:
            enter(deposit(rng.choice(["lab", "ann"]), rng.randrange(1, 10**9), f"d{n}"))
        elif act in {2, 3} or not open_holds:
            of = Hold(f"hub-1-a{n}-1", rng.choice(["lab", "ann"]), "CNY", rng.randrange(10**6), n)
            enter(hold(of.account, of.amount_micro, of.attempt, job=n))
            open_holds.append(of)
        else:
            of = open_holds.pop(rng.randrange(len(open_holds)))
            used = [charge("core-hour", rng.randrange(10**8), 3_600_000, 80_000)]
            enter(
                post(of, "gz", used, Terms("east", "cpu", "1")) if rng.random() < 0.7 else void(of)
            )
    return entries


def checkpoint(entries, size):
    growth = tree.Growth()
    for entry in entries[:size]:
        growth.add(entry.hash)
    return note.Checkpoint(f"log/{entries[0].ledger_id}", size, growth.root())


def judge(entries, kept):
    lines = [line.encode() for line in jsonl(entries)]
    return verify_jsonl(lambda: iter(lines), seals=Seals(kept))


def resealed(entries, start):
    """Give the entries from a place on new hashes, as somebody with the code would."""
    done = list(entries[:start])
    for entry in entries[start:]:
        head = done[-1].head if done else Head(entry.ledger_id, 0, bytes(32))
        done.append(seal(head, entry.draft, entry.time_ms))
    return done


def bent(rng, entry):
    """Return the entry with one field changed and everything else as it was."""
    choice = rng.randrange(6)
    replace = msgspec.structs.replace
    if choice == 0:
        return replace(entry, time_ms=entry.time_ms + rng.choice([-1, 1]))
    if choice == 1:
        return replace(entry, memo=entry.memo + "!")
    if choice == 2:
        return replace(entry, job=entry.job + 1)
    if choice == 3:
        return replace(entry, key=entry.key + "0")
    if choice == 4:
        flipped = bytes([entry.hash[0] ^ 1]) + entry.hash[1:]
        return replace(entry, hash=flipped)
    legs = list(entry.legs)
    at = rng.randrange(len(legs))
    legs[at] = replace(legs[at], amount_micro=legs[at].amount_micro + 1)
    return replace(entry, legs=tuple(legs))


# Each returns the entries that are shown and the first wrong number.
def change(rng, entries):
    at = rng.randrange(1, len(entries))
    return [*entries[:at], bent(rng, entries[at]), *entries[at + 1 :]], at + 1


def delete(rng, entries):
    at = rng.randrange(len(entries) - 1)
    return [*entries[:at], *entries[at + 1 :]], at + 1


def reorder(rng, entries):
    low, high = sorted(rng.sample(range(len(entries)), 2))
    shown = list(entries)
    shown[low], shown[high] = shown[high], shown[low]
    return shown, low + 1


def insert(rng, entries):
    """Put an entry in between that follows well; what came next does not follow it."""
    at = rng.randrange(1, len(entries))
    forged = seal(entries[at - 1].head, grant("ann", 1, f"forged{at}"), entries[at - 1].time_ms)
    return [*entries[:at], forged, *entries[at:]], at + 1


def splice(rng, entries):
    other = story(random.Random(rng.random()), rng.choice(["hub-1", "hub-2"]), 2_000)
    low = rng.randrange(1, len(entries) - 2)
    high = rng.randrange(low + 1, len(entries) - 1)
    return [*entries[:low], *other[low:high], *entries[high:]], low + 1


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("cheat", [change, delete, reorder, splice])
def test_the_chain_itself_names_the_entry(cheat, case):
    rng = random.Random(case)
    entries = story(rng)
    shown, bad = cheat(rng, entries)
    report = judge(shown, [])
    assert not report.ok
    assert report.bad_seq == bad
    assert report.entries == bad - 1


@pytest.mark.parametrize("case", CASES)
def test_an_inserted_entry(case):
    """Two entries claim a number: told at the second, by a checkpoint at the first or before."""
    rng = random.Random(case)
    entries = story(rng)
    shown, bad = insert(rng, entries)
    assert judge(shown, []).bad_seq == bad + 1
    sealed = judge(shown, [checkpoint(entries, bad - 1), checkpoint(entries, bad)])
    assert sealed.bad_seq == bad


@pytest.mark.parametrize("case", CASES)
def test_a_cut_end(case):
    rng = random.Random(case)
    entries = story(rng)
    kept = checkpoint(entries, rng.randrange(1, len(entries) + 1))
    left = rng.randrange(1, len(entries))
    report = judge(entries[:left], [kept])
    if left < kept.size:
        assert report.bad_seq == left + 1
        assert "missing" in report.why
    else:
        assert report.ok
        assert report.sealed == kept.size <= left


@pytest.mark.parametrize("case", CASES)
def test_a_ledger_made_anew_from_an_entry_on(case):
    rng = random.Random(case)
    entries = story(rng)
    sizes = sorted(rng.sample(range(1, len(entries) + 1), 4))
    grants = [n for n, entry in enumerate(entries) if entry.kind in {Kind.GRANT, Kind.DEPOSIT}]
    at = rng.choice(grants)
    legs = tuple(
        msgspec.structs.replace(leg, amount_micro=leg.amount_micro * 2) for leg in entries[at].legs
    )
    richer = msgspec.structs.replace(entries[at], legs=legs)
    shown = resealed([*entries[:at], richer, *entries[at + 1 :]], at)
    assert judge(shown, []).ok, "without checkpoints nobody could tell"

    report = judge(shown, [checkpoint(entries, size) for size in sizes])
    before = max((size for size in sizes if size <= at), default=0)
    if at < sizes[-1]:
        after = min(size for size in sizes if size > at)
        assert report.bad_seq == before + 1
        assert f"{after}" in report.why
    else:
        assert report.ok
    assert report.sealed == before


@pytest.mark.parametrize("case", CASES)
def test_another_ledger_in_its_place(case):
    rng = random.Random(case)
    entries = story(rng)
    other = story(random.Random(case + 1_000), rng.choice(["hub-1", "hub-2"]))
    kept = checkpoint(entries, rng.randrange(2, len(entries) + 1))
    report = judge(other, [kept])
    assert report.bad_seq == 1
    assert report.sealed == 0


@pytest.mark.parametrize("case", CASES)
def test_an_old_checkpoint_shown_again(case):
    """The hub goes back to an earlier state and shows the checkpoint that was true then."""
    rng = random.Random(case)
    entries = story(rng)
    old, new = sorted(rng.sample(range(1, len(entries) + 1), 2))
    replayed, kept = checkpoint(entries, old), checkpoint(entries, new)
    report = judge(entries[:old], [replayed, kept])
    assert report.bad_seq == old + 1
    assert report.sealed == old
    assert "shrunk" in tree.consistent(new, kept.root, old, replayed.root, ())
