"""A real hub per module, with everybody's tokens."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.attack.people import Town, running_town

FENGLIN = Path(sys.executable).with_name("fenglin")


class Done(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """Return this module's hub with its people."""
    with running_town(tmp_path_factory.mktemp("town")) as hub:
        yield Town(hub)


@pytest.fixture
def fenglin(town, tmp_path):
    """Return a function that runs one command line as somebody."""

    def run(*words, who="operator", env=()):
        plain = {name: text for name, text in os.environ.items() if not name.startswith("FENGLIN_")}
        done = subprocess.run(
            [FENGLIN, *map(str, words)],
            capture_output=True,
            env={
                **plain, "FENGLIN_HUB": town.hub.url, "FENGLIN_TOKEN": town.tokens[who],
                "HOME": str(tmp_path), **dict(env),
            },
            cwd=tmp_path,
            timeout=60,
            check=False,
        )  # fmt: skip
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run
