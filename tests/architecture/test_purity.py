"""Pure rooms: same arguments, same answer, in every process and on every machine.

Ruff's banned-api knows modules. What it cannot see is checked here: built-ins that reach
outside or differ between processes, and sets whose order is not ours.
"""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
CONTRACTS = {one["id"]: one for one in SETTINGS["importlinter"]["contracts"]}
PURE = tuple(name.removeprefix("fenglin.") for name in CONTRACTS["pure"]["source_modules"])
OUTSIDE = {"open", "input", "print", "exec", "eval", "__import__", "breakpoint", "id"}


def impurities(source: str) -> Iterator[str]:
    """Yield what in the source makes it depend on more than its arguments."""
    tree = ast.parse(source)
    # hash() of text is salted per process; inside __hash__ it is what Python asks for.
    in_hash = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name == "__hash__"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in OUTSIDE:
                yield f"line {node.lineno}: calls {name}()"
            case ast.Call(func=ast.Name(id="hash")) if node not in in_hash:
                yield f"line {node.lineno}: calls hash()"
            case ast.For(iter=walked) | ast.comprehension(iter=walked) if is_set(walked):
                yield f"line {walked.lineno}: iterates over a set"


def is_set(node: ast.expr) -> bool:
    """Return whether the expression is plainly a set; `sorted(set(…))` is not one."""
    match node:
        case ast.Set() | ast.SetComp() | ast.Call(func=ast.Name(id="set" | "frozenset")):
            return True
    return False


def banned(source: str, path: str) -> bool:
    """Return whether ruff refuses the source at that path of the repository."""
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--select", "TID251", "--stdin-filename", path],
        input=source,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr
    return done.returncode == 1


def path_of(room: str) -> str:
    """Return a path inside the room, be it a folder or a single file."""
    file = f"src/fenglin/{room}.py"
    return file if (ROOT / file).exists() else f"src/fenglin/{room}/sample.py"


@pytest.mark.parametrize("room", PURE)
def test_room_is_pure(room):
    home = ROOT / "src/fenglin" / room
    files = sorted(home.rglob("*.py")) or [home.with_suffix(".py")]
    found = [
        f"{path.relative_to(ROOT)}: {what}"
        for path in files
        for what in impurities(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "text = open('x')",
        "key = hash('x')",
        "key = id(text)",
        "for x in {1, 2}:\n    pass",
        "for x in set(xs):\n    pass",
        "ys = [x for x in frozenset(xs)]",
    ],
)
def test_impure_sample_is_found(source):
    assert len(list(impurities(source))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "for x in sorted({1, 2}):\n    pass",
        "known = x in set(xs)",
        "class A:\n    def __hash__(self):\n        return hash(self.key)",
    ],
)
def test_pure_sample_passes(source):
    assert list(impurities(source)) == []


@pytest.mark.parametrize("room", PURE)
def test_ruff_bans_the_clock_in_every_pure_room(room):
    assert banned("import time\n", path_of(room))
    assert not banned("import math\n", path_of(room))


@pytest.mark.parametrize(
    "source",
    [
        "from time import monotonic\n",
        "from datetime import datetime, UTC\nNOW = datetime.now(UTC)\n",
        "import random\n",
        "import numpy as np\nR = np.random.default_rng(1)\n",
        "from uuid import uuid4\n",
        "from os import environ\n",
        "import os.path\n",
        "from threading import Lock\n",
    ],
)
def test_ruff_bans_the_clock_chance_and_environment(source):
    assert banned(source, "src/fenglin/planner/sample.py")
    assert not banned(source, "src/fenglin/engine/sample.py")
