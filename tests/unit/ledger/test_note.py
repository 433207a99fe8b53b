"""Signed notes and checkpoints, beside a published one."""

import pytest

from fenglin.errors import InputError
from fenglin.ledger import note
from fenglin.ledger.tree import EMPTY_ROOT

# The example of the Go project's package `note`, whose format C2SP took over.
PUBLISHED_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PUBLISHED = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotp"
    "RZb6KE6RyyBwJnAM=\n"
)
KEY = note.new_key("hub.example/ledger", bytes(range(32)))
WITNESS = note.new_key("witness.example", bytes(range(1, 33)), note.COSIGNATURE)
CHECKPOINT = note.Checkpoint("hub.example/ledger", 7, EMPTY_ROOT)


def test_a_published_note():
    key = note.parse_public_key(PUBLISHED_KEY)
    assert str(key) == PUBLISHED_KEY
    read = note.read_note(PUBLISHED.encode())
    assert str(read) == PUBLISHED
    assert note.verify_note(read, [key]) == {"PeterNeumann": 0}
    with pytest.raises(InputError, match="PeterNeumann is wrong"):
        note.verify_note(note.read_note(PUBLISHED.replace("answer", "cause").encode()), [key])


def test_a_checkpoint_survives_the_way():
    signed = note.sign(CHECKPOINT.text(), KEY)
    raw = str(signed).encode()
    assert note.open_checkpoint(raw, KEY.public) == CHECKPOINT
    assert raw.decode().splitlines()[:2] == ["hub.example/ledger", "7"]


def test_a_checkpoint_of_another_key():
    stranger = note.new_key(KEY.name, bytes(32))
    raw = str(note.sign(CHECKPOINT.text(), stranger)).encode()
    with pytest.raises(InputError, match="not signed by"):
        note.open_checkpoint(raw, KEY.public)


def test_a_witness_tells_when_it_looked():
    signed = note.cosign(note.sign(CHECKPOINT.text(), KEY), WITNESS, 1_700_000_000)
    again = note.read_note(str(signed).encode())
    wanted = {KEY.name: 0, WITNESS.name: 1_700_000_000}
    assert note.verify_note(again, [KEY.public, WITNESS.public]) == wanted
    moved = signed.signatures[1][1]
    later = moved[:4] + (1_700_000_001).to_bytes(8, "big") + moved[12:]
    bent = note.Signed(signed.text, (signed.signatures[0], (WITNESS.name, later)))
    with pytest.raises(InputError, match=r"witness\.example is wrong"):
        note.verify_note(bent, [WITNESS.public])


def test_keys_survive_the_way_and_keep_their_secret():
    for key in (KEY, WITNESS):
        assert note.parse_private_key(key.secret_text()) == key
        assert note.parse_public_key(f"{key.public}\n") == key.public
        assert key.seed.hex() not in repr(key)
    with pytest.raises(InputError, match="pass on the public one"):
        note.parse_public_key(KEY.secret_text())
    with pytest.raises(InputError, match="no private key"):
        note.parse_private_key(str(KEY.public))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+12345678",
        "name+12345678+AAAA",
        "na me+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "Other+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+CRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ],
)
def test_what_is_no_key(text):
    with pytest.raises(InputError):
        note.parse_public_key(text)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"text\n",
        b"text\n\n",
        b"text\n\nno signature\n",
        "text\n\n— name\n".encode(),
        "text\n\n— name !!!!\n".encode(),
        "text\n\n— name AAAA\n".encode(),
        "text\n\n— name AAAAAAAA".encode(),
        "te\x1bxt\n\n— name AAAAAAAA\n".encode(),
        b"\xff\n\n" + "— name AAAAAAAA\n".encode(),
        b"x" * 70_000,
        ("text\n\n" + "— name AAAAAAAA\n" * 65).encode(),
    ],
)
def test_what_is_no_note(raw):
    with pytest.raises(InputError):
        note.read_note(raw)


@pytest.mark.parametrize(
    ("size", "root"),
    [
        ("07", None),
        ("-1", None),
        ("x", None),
        ("9" * 30, None),
        ("\u0667", None),
        ("7", "AAAA"),
        ("7", "!"),
    ],
)
def test_what_is_no_checkpoint(size, root):
    root = root or CHECKPOINT.text().splitlines()[2]
    with pytest.raises(InputError):
        note.read_checkpoint(f"hub.example/ledger\n{size}\n{root}\n")


def test_further_lines_are_kept():
    more = note.Checkpoint("o", 1, EMPTY_ROOT, ("one", "two"))
    assert note.read_checkpoint(more.text()) == more


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb"])
def test_names_that_no_key_may_have(name):
    with pytest.raises(InputError):
        note.new_key(name, bytes(32))
