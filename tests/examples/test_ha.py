"""The example with three hubs and two database servers, run as its reader runs it."""

import subprocess
import sys
from pathlib import Path

import pytest

from fenglin.testing.servers.postgres import find_postgres

RUN = Path(__file__).resolve().parents[2] / "examples" / "ha" / "run.py"


def test_the_leader_and_the_primary_are_killed_and_nothing_is_lost():
    pytest.importorskip("psycopg")
    if why := find_postgres():
        pytest.skip(why)
    done = subprocess.run(
        [sys.executable, RUN], capture_output=True, text=True, timeout=280, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "15 of 15 jobs ran, each once" in done.stdout
    assert "is promoted" in done.stdout
    assert done.stdout.count(" leads") == 2
