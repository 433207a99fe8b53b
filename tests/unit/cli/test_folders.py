"""What of a folder is brought: all but what its ignore files name, and nothing from elsewhere."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess

import pytest

from fenglin.cli import folders
from fenglin.cli.folders import FolderError, files_below

SHOW = "name: a\ncommand: [ls]\n"


@pytest.fixture
def tree(tmp_path):
    """Make a folder of these files; `->` makes a link."""
    top = tmp_path / "work"

    def make(**files):
        for name, text in files.items():
            path = top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if text.startswith("->"):
                path.symlink_to(text[2:])
            else:
                path.write_text(text)
        return top

    make(keep="")
    return make


def names(top):
    return [found.target for found in files_below(top)]


def test_ignore_files_count_at_every_depth_with_their_exceptions(tree):
    top = tree(**{
        ".gitignore": "*.log\n!keep.log\n/only-top\nbuild/\n# nothing\n",
        "a.log": "", "keep.log": "", "only-top": "", "sub/only-top": "", "sub/b.log": "",
        "build/x": "", "sub/build/y": "", "sub/.gitignore": "!b.log\nc.txt\n", "sub/c.txt": "",
        "c.txt": "", ".git/config": "", "sub/.git": "gitdir: elsewhere",
    })  # fmt: skip
    assert names(top) == [
        ".gitignore", "c.txt", "keep", "keep.log", "sub/.gitignore", "sub/b.log", "sub/only-top",
    ]  # fmt: skip


def test_our_own_ignore_file_is_read_after_gits(tree):
    top = tree(**{
        ".gitignore": "*.bin\n", ".fenglinignore": "!model.bin\nnotes/\n",
        "model.bin": "", "other.bin": "", "notes/x": "",
    })  # fmt: skip
    assert names(top) == [".fenglinignore", ".gitignore", "keep", "model.bin"]


def test_it_is_what_git_itself_would_track(tree, tmp_path):
    """Beside git, on a tree that its manual's rules all apply to."""
    top = tree(**{
        ".gitignore": (
            "*.o\n!special.o\n/dist\nlogs/**/debug\ndoc/*.txt\n**/cache\n\\#odd\ntrail \n"
        ),
        "x.o": "", "special.o": "", "dist/a": "", "src/dist/a": "", "logs/a/b/debug": "",
        "logs/debug": "", "doc/a.txt": "", "doc/sub/a.txt": "", "a/cache/x": "", "#odd": "",
        "trail": "", "src/.gitignore": "*\n!.gitignore\n!main.c\n", "src/main.c": "", "src/y.c": "",
    })  # fmt: skip
    try:
        subprocess.run(["git", "init", "-q", top], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no git here")
    told = subprocess.run(
        ["git", "-C", top, "ls-files", "--others", "--exclude-standard"],
        check=True, capture_output=True, text=True, env={**os.environ, "HOME": str(tmp_path)},
    ).stdout  # fmt: skip
    assert names(top) == sorted(told.split())


def test_links_inside_stand_for_what_they_point_to(tree):
    top = tree(**{"data/a": "1", "link": "->data/a", "folder": "->data", "sub/up": "->../data/a"})
    assert names(top) == ["data/a", "folder/a", "keep", "link", "sub/up"]


@pytest.mark.parametrize(
    ("target", "what"),
    [
        ("/etc/passwd", "the link bad leads out of the folder, to /etc/passwd"),
        ("..", "the link bad leads out of the folder"),
        ("gone", "the link bad leads nowhere"),
        (".", "the link bad leads to a folder that it is in"),
    ],
)
def test_links_that_are_refused(tree, target, what):
    top = tree(bad=f"->{target}")
    with pytest.raises(FolderError, match=r"\.fenglinignore") as caught:
        files_below(top)
    assert [reason.startswith(what) for reason in caught.value.reasons] == [True]
    (top / ".fenglinignore").write_text("bad\n")
    assert names(top) == [".fenglinignore", "keep"]


def test_what_is_no_file_is_refused_by_name(tree):
    top = tree()
    os.mkfifo(top / "pipe")
    (top / "a\nb").touch()
    with pytest.raises(FolderError) as caught:
        files_below(top)
    assert caught.value.reasons == [
        "'a\\nb' has a name that cannot be brought", "pipe is not a plain file",
    ]  # fmt: skip


def test_too_much_is_told_with_the_limit(tree, monkeypatch):
    top = tree(a="12345", b="12345")
    monkeypatch.setattr(folders, "MOST_BYTES", 8)
    with pytest.raises(FolderError, match="10B of files; at most 8B are brought"):
        files_below(top)
    monkeypatch.setattr(folders, "MOST_FILES", 2)
    with pytest.raises(FolderError, match="more than 2 files, the most that are brought"):
        files_below(top)
    monkeypatch.setattr(folders, "MOST_FILES", 3)
    monkeypatch.setattr(folders, "MOST_NAMES_BYTES", 5)
    with pytest.raises(FolderError, match="names of the files are longer than 5B together"):
        files_below(top)


def test_bytes_that_are_no_text_in_an_ignore_file(tree):
    top = tree()
    (top / ".gitignore").write_bytes(b"\xff\xfe")
    with pytest.raises(FolderError, match="gitignore cannot be understood"):
        files_below(top)


# --- in a submit -------------------------------------------------------------------------------


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def send(fenglin, hub, tmp_path):
    """Submit a job file; return what was uploaded, and the files that the hub was sent."""

    def submit(missing, *words, files=""):
        hub.asked.clear()
        path = tmp_path / "job.yaml"
        path.write_text(SHOW + files)
        hub.on("POST", "/v1/blobs:missing", {"sha256": missing})
        for one in missing:
            hub.on("PUT", f"/v1/blobs/{one}", {"sha256": one, "size_bytes": 1})
        hub.on("POST", "/v1/jobs", {"id": "j1", "state": "pending"})
        done = fenglin("submit", path, *words)
        assert done.code == 0, done.err
        uploaded = [call.body.decode() for call in hub.asked if call.method == "PUT"]
        return uploaded, json.loads(hub.asked[-1].body).get("files", [])

    return submit


def test_a_folder_is_brought_with_its_bits_and_only_what_the_hub_lacks(tree, send, hub):
    top = tree(**{"bin/run": "echo", "lib/a": "same", "lib/b": "same"})
    (top / "bin/run").chmod(0o755)
    uploaded, files = send([sha("echo")], "--workdir", top)
    assert uploaded == ["echo"]
    assert files == [
        {"target": "bin/run", "sha256": sha("echo"), "size": 4, "executable": True},
        {"target": "keep", "sha256": sha(""), "size": 0},
        {"target": "lib/a", "sha256": sha("same"), "size": 4},
        {"target": "lib/b", "sha256": sha("same"), "size": 4},
    ]
    asked = [json.loads(call.body) for call in hub.calls("POST", "/v1/blobs:missing")]
    assert asked == [{"sha256": sorted({sha("echo"), sha(""), sha("same")})}]


def test_an_entry_of_its_own_goes_before_what_the_folder_has_there(tree, send):
    tree(**{"conf": "folder's", "sub/x": "folder's", "other": "o"})
    entries = "files: [{source: work, target: .}, {source: own, target: conf}, "
    entries += "{artifacts_of: j5, target: sub}]\n"
    (tree() / "../own").resolve().write_text("own")
    _, files = send([], files=entries)
    assert [(one["target"], one.get("sha256")) for one in files] == [
        ("keep", sha("")), ("other", sha("o")), ("conf", sha("own")), ("sub", None),
    ]  # fmt: skip


def test_a_folder_may_go_to_a_folder(tree, send):
    tree(**{"a/b": "x"})
    _, files = send([], files="files: [work/a, {source: work, target: code}]\n")
    assert [one["target"] for one in files] == ["work/a/b", "code/a/b", "code/keep"]


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        ("{source: work, executable: true}", "executable does not go with a folder"),
        ("{source: work/keep, target: .}", "is no folder, and needs a name of its own"),
        ("work", "the link bad leads out of the folder"),
    ],
)
def test_what_is_wrong_is_told_with_its_place_before_anything_is_sent(
    tree, fenglin, hub, tmp_path, entry, what
):
    tree(bad="->/etc") if what.startswith("the link") else tree()
    (tmp_path / "job.yaml").write_text(SHOW + f"files: [{entry}]\n")
    done = fenglin("submit", tmp_path / "job.yaml")
    assert (done.code, hub.asked) == (2, [])
    assert "job.yaml:3:9: files[0]: " in done.err
    assert what in done.err
