"""What is copied to hosts: old Pythons read it, and it says what it lacks."""

import ast
import io
import json
import sys

import pytest

from fenglin.remote.agent import LOADER, library
from fenglin.runner.host import boot

STANDARD = sys.stdlib_module_names


@pytest.mark.parametrize("name", library()[1])
def test_python_3_9_can_read_it(name):
    feature = (3, 6) if name.endswith("boot.py") else (3, 9)
    tree = ast.parse(library()[1][name], feature_version=feature)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert {alias.name.split(".")[0] for alias in node.names} <= STANDARD
        if isinstance(node, ast.ImportFrom) and not node.level:
            assert node.module.split(".")[0] in STANDARD


def test_the_check_itself_finds_a_later_python():
    with pytest.raises(SyntaxError):
        ast.parse("match x:\n  case 1: pass\n", feature_version=(3, 9))


def test_what_stands_in_the_command_line_needs_no_quoting():
    assert not set(LOADER) & set("'\"$`\\!\n ") - {" "}


def told(monkeypatch, tmp_path, root="", **more):
    config = {"root": root or str(tmp_path / "root"), "library": "none", **more}
    stdin = io.TextIOWrapper(io.BytesIO(json.dumps(config).encode() + b"\n"))
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdin", stdin)
    monkeypatch.setattr(sys, "stdout", out)
    assert boot.boot() == 1
    assert out.getvalue().startswith(f"{boot.MARK} ")
    return json.loads(out.getvalue()[len(boot.MARK) :])


def test_an_old_python_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "version_info", (3, 8, 10))
    monkeypatch.setattr(sys, "version", "3.8.10 (default)")
    assert told(monkeypatch, tmp_path) == {"say": "refuse", "what": "Python 3.8.10"}


def test_an_old_kernel_is_told(monkeypatch, tmp_path):
    def missing(_pid):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(boot.os, "pidfd_open", missing)
    assert told(monkeypatch, tmp_path)["what"].startswith("Linux ")


def test_a_root_that_cannot_be_made_is_told(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    said = told(monkeypatch, tmp_path, root=str(tmp_path / "file" / "root"))
    assert (said["say"], "Not a directory" in said["what"]) == ("refuse", True)
