"""The same seed gives the same trace, byte for byte, in this process and in any other."""

import os
import subprocess
import sys

import pytest

from fenglin.testing.dst.run import run_seed
from fenglin.testing.dst.world import EXTRAS, SMALL

SEED = 5
_RUN = f"""
from fenglin.testing.dst.run import run_seed
from fenglin.testing.dst.world import EXTRAS, SMALL
print(run_seed({SEED}, SMALL, more=EXTRAS).digest)
"""


@pytest.fixture(scope="module")
def digest():
    return run_seed(SEED, SMALL, more=EXTRAS).digest


def test_a_seed_run_again_gives_the_same_trace(digest):
    lines, again = [], []
    assert run_seed(SEED, SMALL, lines.append, EXTRAS).digest == digest
    assert run_seed(SEED, SMALL, again.append, EXTRAS).digest == digest
    assert lines == again
    assert len(lines) > 500


def test_another_seed_gives_another_trace(digest):
    assert run_seed(SEED + 1, SMALL, more=EXTRAS).digest != digest


@pytest.mark.parametrize("hash_seed", ["0", "1", "4242"])
def test_the_order_of_sets_in_python_means_nothing(digest, hash_seed):
    env = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", _RUN], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == digest
