"""What `fenglin driver new` writes is a driver: it is found, checked, and passes the suite."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from fenglin.errors import ConflictError, InputError
from fenglin.testing.scaffold import scaffold

HUB_FILE = """
[site.base]
driver = "moon"
provider = "us"
[site.base.flavor.std]
cpu = 4
memory = "1GiB"
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A new driver's package, with its entry point as pip would leave it."""
    folder = tmp_path_factory.mktemp("new") / "fenglin-moon"
    scaffold("moon", folder)
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    ((group, entries),) = project["entry-points"].items()
    info = folder / "src" / f"fenglin_moon-{project['version']}.dist-info"
    info.mkdir()
    head = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (info / "METADATA").write_text(head)
    lines = [f"{name} = {value}" for name, value in entries.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines]))
    return folder


def run(package, *command):
    return subprocess.run(
        [sys.executable, *command],
        cwd=package,
        env={**os.environ, "PYTHONPATH": str(package / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def fenglin(package, *words):
    return run(package, "-c", "import sys; from fenglin.cli import main; sys.exit(main())", *words)


def test_it_passes_the_conformance_suite(package):
    done = run(package, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", "--timeout=120")
    assert done.returncode == 0, done.stdout[-4_000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 70


def test_it_is_listed_and_checked(package, tmp_path):
    rows = {
        row["kind"]: row
        for row in json.loads(fenglin(package, "driver", "list", "-o", "json").stdout)
    }
    assert rows["moon"]["package"] == "fenglin-moon 0.1.0"
    assert rows["moon"]["capabilities"] == ["arrays", "follow"]
    config = tmp_path / "fenglin.toml"
    config.write_text(HUB_FILE)
    done = fenglin(package, "driver", "check", "base", "--config", str(config))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" ok ") == 4


def test_nothing_of_the_placeholder_is_left(package):
    texts = {
        path: path.read_text()
        for path in package.rglob("*")
        if path.suffix in {".py", ".md", ".toml"}
    }
    assert {path.name for path in texts} == {
        "__init__.py", "agent.py", "driver.py", "moon.md", "pyproject.toml", "test_conformance.py",
    }  # fmt: skip
    assert [path for path, text in texts.items() if "skeleton" in text.lower()] == []
    assert "class MoonDriver" in texts[package / "src/fenglin_moon/driver.py"]


@pytest.mark.parametrize(
    "kind", ["", "a", "Moon", "my-site", "../up", "1st", "é", "x" * 32, "local"]
)
def test_names_that_cannot_be(tmp_path, kind):
    with pytest.raises(InputError):
        scaffold(kind, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "mine").touch()
    with pytest.raises(ConflictError):
        scaffold("moon", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    with pytest.raises(InputError, match="cannot write"):
        scaffold("moon", tmp_path / "mine" / "below")
    assert Path(tmp_path / "mine").is_file()
