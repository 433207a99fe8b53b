"""What an input is made of: folders before their files, in one order, and nothing behind a link."""

import os

from fenglin.ports.driver import StagedInput
from fenglin.remote.contents import Digests, pieces

HELLO = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"


def walked(target, source, **more):
    return [
        (piece.target, piece.executable, piece.folder)
        for piece in pieces(StagedInput(target, str(source), **more))
    ]


def test_a_folder_comes_in_one_order_without_links_and_devices(tmp_path):
    tree = tmp_path / "tree"
    for folder in ("b", "a/empty"):
        (tree / folder).mkdir(parents=True)
    for name in ("z", "b/run", "a/峰"):
        (tree / name).write_text("hello")
    (tree / "b" / "run").chmod(0o755)
    (tmp_path / "hubs").write_text("of the hub")
    (tree / "link").symlink_to(tmp_path / "hubs")
    (tree / "a" / "up").symlink_to(tmp_path)
    (tree / "gone").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tree / "pipe")

    expected = [
        ("in", False, True),
        ("in/z", False, False),
        ("in/a", False, True),
        ("in/a/峰", False, False),
        ("in/a/empty", False, True),
        ("in/b", False, True),
        ("in/b/run", True, False),
    ]
    assert walked("in", tree) == walked("in/", tree) == expected
    contents = Digests().contents([StagedInput("in", str(tree))])
    assert [(one.target, one.digest) for one in contents] == [
        (name, HELLO) for name in ("in/z", "in/a/峰", "in/b/run")
    ]


def test_a_file_is_one_piece_whether_it_is_there_or_not(tmp_path):
    (tmp_path / "x").write_text("hello")
    assert walked("bin/x", tmp_path / "x", executable=True) == [("bin/x", True, False)]
    assert walked("y", tmp_path / "nowhere") == [("y", False, False)]
    (gone,) = Digests().contents([StagedInput("y", str(tmp_path / "nowhere"))])
    assert gone.digest == ""
