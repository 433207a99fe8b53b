"""The keys of secrets: made once, never shown, and bound to what they seal."""

import base64
import hashlib
import os
import stat

import pytest

from fenglin.errors import DamageError, KeyMissingError, UnavailableError
from fenglin.model.secret import Secret
from fenglin.ports.vault import SecretId
from fenglin.storage.keyring import KEY_FILE, FileKeyring

VALUE = Secret("s3cr3t-of-the-lab")
MINE = SecretId("lab", "db", 1)


@pytest.fixture
def ring(tmp_path):
    return FileKeyring(tmp_path / KEY_FILE)


def new_key():
    return base64.b64encode(os.urandom(32)).decode()


def test_a_first_key_is_made_for_its_owner_alone(ring, tmp_path):
    sealed = ring.seal(VALUE, MINE)

    path = tmp_path / KEY_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == [KEY_FILE]
    assert ring.open(sealed, MINE) == VALUE
    assert FileKeyring(path).open(sealed, MINE) == VALUE
    key = base64.b64decode(path.read_text())
    assert sealed.key == hashlib.sha256(b"fenglin secrets key\0" + key).hexdigest()[:12]
    assert VALUE.reveal().encode() not in sealed.data


def test_no_two_values_are_sealed_alike(ring):
    one, two = ring.seal(VALUE, MINE), ring.seal(VALUE, MINE)

    assert one.nonce != two.nonce
    assert one.data != two.data


@pytest.mark.parametrize(
    "other",
    [SecretId("team", "db", 1), SecretId("lab", "web", 1), SecretId("lab", "db", 2)],
)
def test_a_row_in_anothers_place_does_not_open(ring, other):
    sealed = ring.seal(VALUE, MINE)

    with pytest.raises(DamageError, match="was changed in the database") as caught:
        ring.open(sealed, other)

    assert VALUE.reveal() not in str(caught.value)


def test_a_changed_byte_does_not_open(ring):
    sealed = ring.seal(VALUE, MINE)
    for data in (sealed.data[:-1] + bytes([sealed.data[-1] ^ 1]), b"", sealed.data[1:]):
        with pytest.raises(DamageError):
            ring.open(sealed._replace(data=data), MINE)


def test_the_newest_key_seals_and_all_open(ring, tmp_path):
    before = ring.seal(VALUE, MINE)
    path = tmp_path / KEY_FILE
    path.write_text(f"# first\n{path.read_text()}\n{new_key()}  # of 2027\n")

    after = ring.seal(VALUE, MINE)

    assert before.key != after.key
    assert ring.ids() == [before.key, after.key]
    assert ring.open(before, MINE) == ring.open(after, MINE) == VALUE


def test_a_lost_key_is_named_and_not_replaced(ring, tmp_path):
    sealed = ring.seal(VALUE, MINE)
    path = tmp_path / KEY_FILE
    path.unlink()
    told = f"the key {sealed.key}, which seals the secret 'db'"
    with pytest.raises(KeyMissingError, match=told) as caught:
        ring.open(sealed, MINE)
    assert caught.value.key == sealed.key
    assert not path.exists()
    path.write_text(new_key())
    with pytest.raises(KeyMissingError, match="is not in the hub's key file"):
        ring.open(sealed, MINE)


@pytest.mark.parametrize("harm", ["a half line", "a folder in its place"])
def test_a_file_that_cannot_be_read_lacks_every_key_for_a_while(ring, tmp_path, harm):
    sealed = ring.seal(VALUE, MINE)
    path = tmp_path / KEY_FILE
    text = path.read_text()
    path.unlink()
    if harm == "a half line":
        path.write_text(text + "aGFsZg")
    else:
        path.mkdir()

    with pytest.raises(KeyMissingError, match=f"the key {sealed.key}") as caught:
        ring.open(sealed, MINE)

    assert caught.value.key == sealed.key
    assert text.strip() not in str(caught.value)
    with pytest.raises(DamageError):
        ring.ids()
    if harm == "a half line":
        path.write_text(text)
    else:
        path.rmdir()
        path.write_text(text)
    assert ring.open(sealed, MINE) == VALUE


@pytest.mark.parametrize("line", ["short", base64.b64encode(b"x" * 31).decode(), "é" * 44])
def test_a_broken_key_is_told_and_not_shown(ring, tmp_path, line):
    (tmp_path / KEY_FILE).write_text(line)

    with pytest.raises(DamageError, match="not 32 bytes in base64") as caught:
        ring.seal(VALUE, MINE)

    assert line not in str(caught.value)


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UnavailableError, match="cannot be written"):
        FileKeyring(tmp_path / "none" / KEY_FILE).seal(VALUE, MINE)
