"""Traces for the simulator's tests."""

import os
from pathlib import Path

import numpy as np
import pytest

from fenglin.simulator.trace import Findings, Trace

ROOT = Path(__file__).parents[3]


@pytest.fixture
def make_trace():
    """Make a trace from (submit_s, run_s, request_s, procs) rows."""

    def make(rows):
        table = np.array(rows, dtype=np.int64).reshape(len(rows), 4)
        submit_s, run_s, request_s, procs = table.T.copy()
        number = np.arange(1, len(rows) + 1)
        user = np.zeros(len(rows), dtype=np.int64)
        return Trace(
            number, submit_s, run_s, request_s, procs, user, number, 0, Findings("made up")
        )

    return make


@pytest.fixture
def archive():
    """Return a file of the reference data by its name; skip where there is none."""
    home = Path(os.environ.get("FENGLIN_TEST_DATA", ROOT.parent / "shared" / "data"))

    def find(name):
        path = home / "hpc_swf" / name
        if not path.exists():
            pytest.skip(f"the reference data is not here: no {path} (FENGLIN_TEST_DATA names it)")
        return path

    return find
