"""A witness signs what goes on from what it saw, and nothing else."""

import hashlib

import pytest

from fenglin.errors import ConflictError, DamageError, InputError
from fenglin.ledger import note, tree
from fenglin.witness.memory import Memory
from fenglin.witness.rules import Witness, read_request, write_request

HUB = note.new_key("hub.test", bytes(range(32)))
STRANGER = note.new_key("hub.test", bytes(32))
OWN = note.new_key("witness.test", bytes(range(1, 33)), note.COSIGNATURE)
NOW_S = 1_700_000_000


def leaves(tag, count):
    return [tree.leaf_hash(hashlib.sha256(f"{tag}{n}".encode()).digest()) for n in range(count)]


HONEST = leaves("a", 20)
FORKED = [*HONEST[:4], *leaves("b", 16)]


def subtrees(hashes):
    return lambda level, index: tree.fold(hashes[index << level : (index + 1) << level])


def checkpoint(size, hashes=HONEST, key=HUB, origin="hub.test"):
    root = tree.root(size, subtrees(hashes))
    return str(note.sign(note.Checkpoint(origin, size, root).text(), key))


def request(old, size, hashes=HONEST, **signed):
    proof = tree.consistency(old, size, subtrees(hashes)) if old <= size else ()
    return write_request(old, proof, checkpoint(size, hashes, **signed))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "memory"


@pytest.fixture
def witness(folder):
    with Memory(folder) as memory:
        yield Witness(OWN, [HUB.public], memory, lambda: NOW_S)


def ask(witness, body):
    answer = witness.add_checkpoint(body)
    return answer.status, answer.text


def test_it_signs_what_grows(witness):
    for old, size in ((0, 3), (3, 3), (3, 8), (8, 19)):
        status, line = ask(witness, request(old, size))
        assert status == 200
        signed = note.read_note((checkpoint(size) + line).encode())
        seen = note.verify_note(signed, [HUB.public, OWN.public])
        assert seen == {"hub.test": 0, "witness.test": NOW_S}


def test_it_refuses_a_fork(witness):
    assert ask(witness, request(0, 6))[0] == 200
    assert ask(witness, request(6, 6, FORKED)) == (409, "another root over 6 entries: a fork\n")
    status, text = ask(witness, request(6, 9, FORKED))
    assert status == 422
    assert "does not lead to the root" in text


def test_it_refuses_to_go_back_and_tells_where_it_is(witness):
    assert ask(witness, request(0, 6))[0] == 200
    assert ask(witness, request(3, 5)) == (409, "6\n")
    assert ask(witness, request(0, 20)) == (409, "6\n")
    assert ask(witness, write_request(6, (), checkpoint(5)))[0] == 400
    assert ask(witness, request(6, 7))[0] == 200


def test_strangers(witness):
    assert ask(witness, request(0, 3, key=STRANGER))[0] == 403
    assert ask(witness, request(0, 3, origin="elsewhere"))[0] == 404
    bent = request(0, 3).replace(b"hub.test\n3\n", b"hub.test\n4\n")
    assert ask(witness, bent)[0] == 403


def test_it_remembers_across_a_restart(folder):
    with Memory(folder) as memory:
        assert ask(Witness(OWN, [HUB.public], memory, lambda: 1), request(0, 6))[0] == 200
    with Memory(folder) as memory:
        again = Witness(OWN, [HUB.public], memory, lambda: 2)
        assert ask(again, request(6, 9, FORKED))[0] == 422
        assert ask(again, request(0, 9)) == (409, "6\n")


def test_it_signs_only_what_it_has_kept(folder, monkeypatch):
    with Memory(folder) as memory:
        witness = Witness(OWN, [HUB.public], memory, lambda: NOW_S)
        kept = []
        monkeypatch.setattr(Memory, "keep", lambda *words: kept.append(words[1:]) or broken())
        with pytest.raises(DamageError, match="disk"):
            witness.add_checkpoint(request(0, 6))
        assert kept
        monkeypatch.undo()
        assert memory.last(HUB.public) is None


def broken():
    raise DamageError("disk")


def test_a_spoilt_memory_stops_it(folder):
    with Memory(folder) as memory:
        witness = Witness(OWN, [HUB.public], memory, lambda: NOW_S)
        witness.add_checkpoint(request(0, 6))
        (file,) = folder.glob("*.checkpoint")
        file.write_text(checkpoint(3, FORKED, STRANGER))
        with pytest.raises(DamageError, match="restore it"):
            witness.add_checkpoint(request(6, 8))


def test_two_witnesses_do_not_share_a_memory(folder):
    with Memory(folder), pytest.raises(ConflictError, match="another witness"):
        Memory(folder)
    with Memory(folder):
        pass


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 0",
        b"old 0\n\n",
        b"old x\n\n" + checkpoint(3).encode(),
        b"old 00\n\n" + checkpoint(3).encode(),
        b"old -1\n\n" + checkpoint(3).encode(),
        b"old 99999999999999999999\n\n" + checkpoint(3).encode(),
        b"new 0\n\n" + checkpoint(3).encode(),
        b"old 0\n!!\n\n" + checkpoint(3).encode(),
        b"old 0\nAAAA\n\n" + checkpoint(3).encode(),
        b"old 4\n\n" + checkpoint(3).encode(),
        b"old 0\n" + b"A" * 44 * 64 + b"\n\n" + checkpoint(3).encode(),
        b"old 0\n" + (b"A" * 43 + b"=\n") * 64 + b"\n" + checkpoint(3).encode(),
        b"\xff 0\n\n" + checkpoint(3).encode(),
        b"old 0\n\nno note",
        b"x" * 200_000,
    ],
)
def test_what_is_no_request(witness, body):
    with pytest.raises(InputError):
        read_request(body)
    assert ask(witness, body)[0] == 400
