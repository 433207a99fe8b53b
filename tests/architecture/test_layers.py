"""The layers of the house hold, and the contract that says so can fail."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
CONTRACTS = {one["id"]: one for one in SETTINGS["importlinter"]["contracts"]}


def lint_imports(home: Path) -> subprocess.CompletedProcess[str]:
    """Judge the package below `home` by the contracts of pyproject.toml."""
    return subprocess.run(
        [LINT_IMPORTS, "--no-cache", "--config", ROOT / "pyproject.toml"],
        cwd=home,
        env={**os.environ, "PYTHONPATH": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def house(tmp_path):
    """Build empty rooms: all that the contract names, and two drivers."""
    rooms = [name.strip(" ()") for row in CONTRACTS["layers"]["layers"] for name in row.split("|")]
    for room in ["", *rooms, "drivers/one", "drivers/two"]:
        folder = tmp_path / "fenglin" / room
        folder.mkdir(exist_ok=True)
        (folder / "__init__.py").touch()
    return tmp_path


def test_the_real_house_keeps_its_layers():
    done = lint_imports(ROOT / "src")
    assert done.returncode == 0, done.stdout + done.stderr


def test_empty_house_passes(house):
    done = lint_imports(house)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("model/job.py", "import fenglin.planner", "layers"),
        ("quantities/money.py", "import fenglin.model", "layers"),
        ("storage/jobs.py", "import fenglin.client", "layers"),
        ("wire/types.py", "import fenglin.ports", "layers"),
        ("ledger/entry.py", "import fenglin.catalog", "layers"),
        ("utils.py", "", "layers"),
        ("drivers/one/run.py", "import fenglin.drivers.two", "drivers-apart"),
        ("drivers/one/run.py", "import fenglin.engine", "drivers-low"),
        ("cli/job.py", "import fenglin.storage", "people"),
        ("cli/job.py", "import fenglin.bootstrap", "people"),
        ("planner/rank.py", "import os", "pure"),
        ("ledger/chain.py", "import sqlite3", "pure"),
        ("catalog/prices.py", "import yaml", "pure"),
        ("errors/tree.py", "import logging", "pure"),
    ],
)
def test_broken_rule_is_found(house, file, line, contract):
    (house / "fenglin" / file).write_text(f"{line}\n", encoding="utf-8")
    done = lint_imports(house)
    assert done.returncode == 1
    assert f"{CONTRACTS[contract]['name']} BROKEN" in " ".join(done.stdout.split())


def test_only_hub_start_may_wire_a_hub(house):
    (house / "fenglin/cli/hub.py").write_text("import fenglin.bootstrap\n", encoding="utf-8")
    (house / "fenglin/bootstrap/__init__.py").write_text("import fenglin.storage\n")
    done = lint_imports(house)
    assert done.returncode == 0, done.stdout
