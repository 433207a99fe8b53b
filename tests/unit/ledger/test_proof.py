"""Proof files: what they show without a hub, and every way in which they can lie."""

import msgspec
import pytest

from fenglin.errors import InputError
from fenglin.ledger import note, tree
from fenglin.ledger.proof import ProofFile, check_proof, make_proof, read_proof

HUB = note.new_key("hub.test", bytes(range(32)))
OTHER = note.new_key("hub.test", bytes(32))
WITNESS = note.new_key("witness.test", bytes(range(1, 33)), note.COSIGNATURE)
PERIOD = (0, 10**13)


def subtrees_of(entries):
    def subtree(level, index):
        first = index << level
        part = entries[first : first + (1 << level)]
        return tree.fold([tree.leaf_hash(entry.hash) for entry in part])

    return subtree


def checkpoint(entries, key=HUB, origin="hub.test"):
    root = tree.root(len(entries), subtrees_of(entries))
    return note.sign(note.Checkpoint(origin, len(entries), root).text(), key)


@pytest.fixture
def mine(story):
    return [e for e in story if any(leg.account.startswith("tenant:lab") for leg in e.legs)]


def proof(story, mine, latest=None, earlier=""):
    latest = latest or checkpoint(story)
    notes = (str(latest), str(earlier))
    return make_proof("lab", PERIOD, HUB.public, notes, mine, subtrees_of(story))


def changed(file: ProofFile, **fields) -> ProofFile:
    return read_proof(msgspec.json.encode(msgspec.structs.replace(file, **fields)))


def test_a_tenant_verifies_with_one_file(story, mine):
    file = read_proof(msgspec.json.encode(proof(story, mine, earlier=checkpoint(story[:3]))))
    report = check_proof(file, HUB.public, held_before=str(checkpoint(story[:3])))
    assert report.entries == tuple(mine)
    assert report.checkpoint.size == len(story)
    assert report.grew_from == 3


def test_a_witness_is_asked_for(story, mine):
    seen = note.cosign(checkpoint(story), WITNESS, 1_700_000_000)
    report = check_proof(proof(story, mine, seen), HUB.public, [WITNESS.public])
    assert report.witnesses == (("witness.test", 1_700_000_000),)
    with pytest.raises(InputError, match="has not cosigned"):
        check_proof(proof(story, mine), HUB.public, [WITNESS.public])
    with pytest.raises(InputError, match="not a witness's"):
        check_proof(proof(story, mine), HUB.public, [HUB.public])


@pytest.mark.parametrize("place", range(3))
def test_a_changed_entry_is_found(story, mine, place):
    file = proof(story, mine)
    lines = list(file.entries)
    lines[place] = lines[place].replace('"job":7', '"job":8').replace("deposit", "present")
    if lines[place] == file.entries[place]:
        lines[place] = lines[place].replace('"lab', '"lob', 1)
    with pytest.raises(InputError):
        check_proof(changed(file, entries=tuple(lines)), HUB.public)


def test_a_resealed_entry_is_found(story, mine, sealed):
    drafts = [entry.draft for entry in story[1:]]
    drafts[0] = msgspec.structs.replace(drafts[0], memo="other words")
    forged = sealed(drafts, story[0])
    theirs = [forged[entry.seq - 1] for entry in mine]
    real = proof(story, mine)
    lie = make_proof(
        "lab", PERIOD, HUB.public, (str(checkpoint(forged)), ""), theirs, subtrees_of(forged)
    )
    check_proof(lie, HUB.public)
    with pytest.raises(InputError, match="do not lead to the checkpoint's root"):
        check_proof(changed(lie, checkpoint=real.checkpoint), HUB.public)
    with pytest.raises(InputError, match="changed behind your checkpoint"):
        check_proof(
            make_proof(
                "lab",
                PERIOD,
                HUB.public,
                (str(checkpoint(forged)), str(checkpoint(story[:4]))),
                theirs,
                subtrees_of(forged),
            ),
            HUB.public,
        )


def test_a_checkpoint_of_another_key(story, mine):
    file = changed(proof(story, mine), checkpoint=str(checkpoint(story, OTHER)))
    with pytest.raises(InputError, match="not signed by"):
        check_proof(file, HUB.public)


def test_the_checkpoint_that_the_tenant_kept(story, mine):
    kept = str(checkpoint(story[:3]))
    with pytest.raises(InputError, match="does not go on from the checkpoint that you kept"):
        check_proof(proof(story, mine), HUB.public, held_before=kept)
    another = proof(story, mine, earlier=checkpoint(story[:4]))
    with pytest.raises(InputError, match="another checkpoint than the one"):
        check_proof(another, HUB.public, held_before=kept)


def test_checkpoints_of_two_logs(story, mine):
    file = proof(story, mine, earlier=checkpoint(story[:3], origin="elsewhere"))
    with pytest.raises(InputError, match="checkpoints are of"):
        check_proof(file, HUB.public)


def test_entries_of_others_or_of_another_time(story, mine):
    with pytest.raises(InputError, match="not of account 'bob'"):
        check_proof(changed(proof(story, mine), account="bob"), HUB.public)
    with pytest.raises(InputError, match="not of the period"):
        check_proof(changed(proof(story, mine), to_ms=mine[1].time_ms), HUB.public)


def test_entries_out_of_order(story, mine):
    file = proof(story, mine)
    with pytest.raises(InputError, match="comes behind"):
        check_proof(changed(file, entries=file.entries[::-1]), HUB.public)


@pytest.mark.parametrize("hashes", [("!",), ("AAAA",)])
def test_hashes_that_are_none(story, mine, hashes):
    with pytest.raises(InputError, match="hash of the proof"):
        check_proof(changed(proof(story, mine), inclusion=hashes), HUB.public)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"format": 1}'])
def test_what_is_no_proof_file(raw):
    with pytest.raises(InputError, match="no proof file"):
        read_proof(raw)


def test_another_format(story, mine):
    file = msgspec.structs.replace(proof(story, mine), format="other/1")
    with pytest.raises(InputError, match="other/1"):
        read_proof(msgspec.json.encode(file))


def test_nothing_to_prove(story):
    with pytest.raises(InputError, match="nothing to prove"):
        proof(story, [])
