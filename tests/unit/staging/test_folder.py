"""Staging: content addresses, and paths that try to leave."""

import asyncio
import errno
import hashlib
import os

import pytest

from fenglin.errors import InputError, NotFoundError, UnavailableError
from fenglin.staging import FolderStaging
from fenglin.staging import folder as room

DATA = b"some bytes" * 100
SHA = hashlib.sha256(DATA).hexdigest()


async def chunks(*parts, error=None):
    for part in parts:
        yield part
    if error is not None:
        raise error


def put(staging, address, *parts, error=None):
    return asyncio.run(staging.put_blob(address, chunks(*parts, error=error)))


def files_below(root):
    return [path for path in root.rglob("*") if path.is_file()]


def test_a_blob_is_kept_under_its_address(tmp_path):
    staging = FolderStaging(tmp_path)
    assert staging.blob_path(SHA) is None
    assert put(staging, SHA, DATA[:7], DATA[7:]) == len(DATA)
    assert staging.blob_path(SHA).read_bytes() == DATA
    assert put(staging, SHA, DATA) == len(DATA)  # again is no error
    assert files_below(tmp_path) == [staging.blob_path(SHA)]


def test_other_bytes_leave_nothing(tmp_path):
    with pytest.raises(InputError):
        put(FolderStaging(tmp_path), SHA, DATA, b"x")
    assert files_below(tmp_path) == []


def test_a_client_that_goes_away_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError):
        put(FolderStaging(tmp_path), SHA, DATA, error=RuntimeError("gone"))
    assert files_below(tmp_path) == []


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path, monkeypatch):
    def full(_file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(room, "_sync", full)
    with pytest.raises(UnavailableError) as caught:
        put(FolderStaging(tmp_path), SHA, DATA)
    assert "No space left" in str(caught.value)
    assert files_below(tmp_path) == []


def test_a_killed_upload_is_cleaned_away(tmp_path):
    staging = FolderStaging(tmp_path)
    put(staging, SHA, DATA)
    left = staging.blob_path(SHA).with_name(f".{SHA}.deadbeef")
    left.write_bytes(DATA[:5])
    staging.clean()
    assert files_below(tmp_path) == [staging.blob_path(SHA)]


@pytest.mark.parametrize("address", ["", "x" * 64, SHA.upper(), SHA + "0", "../" + SHA, SHA + "\n"])
def test_what_is_no_address(tmp_path, address):
    with pytest.raises(InputError):
        FolderStaging(tmp_path).blob_path(address)


@pytest.fixture
def kept(tmp_path):
    staging = FolderStaging(tmp_path)
    task = staging.artifacts_dir("j1") / "0"
    task.mkdir(parents=True)
    (task / "a.png").write_bytes(b"123")
    (tmp_path / "secret").write_text("x")
    (task / "link").symlink_to(tmp_path / "secret")
    (task / "out").symlink_to(tmp_path)
    os.mkfifo(task / "pipe")
    return staging


def test_only_plain_files_are_listed(kept):
    assert [row[:2] for row in kept.list_artifacts("j1")] == [("0/a.png", 3)]
    assert kept.list_artifacts("j2") == []


def test_a_name_that_is_no_text_is_listed_all_the_same(kept):
    (kept.artifacts_dir("j1") / "0" / os.fsdecode(b"\xff")).write_bytes(b"")
    names = [row[0] for row in kept.list_artifacts("j1")]
    assert len(names) == 2
    assert all(name.encode() for name in names)


def test_a_kept_file_is_found(kept):
    assert kept.artifact_path("j1", "0/a.png").read_bytes() == b"123"


@pytest.mark.parametrize(
    "path",
    ["", "0", "0/", "/0/a.png", "0//a.png", "./0/a.png", "../secret", "0/../0/a.png", "0/link",
     "0/out/secret", "0/pipe", "0/a.png/x", "0/none", "0/a.png\0", "x" * 5000, "\ud800",
     "0/" * 3000 + "x", "..\\..\\secret"],
)  # fmt: skip
def test_anything_else_is_missing(kept, path):
    with pytest.raises(NotFoundError) as caught:
        kept.artifact_path("j1", path)
    assert len(caught.value.what) < 500
