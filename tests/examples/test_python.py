"""The Python examples, run as their reader runs them, against a hub."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fenglin.testing import HubProcess, LocalSite, hub_file

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "python"


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with HubProcess(tmp_path_factory.mktemp("hub"), hub_file([LocalSite("here", cpu=2)])) as made:
        yield made.start()


@pytest.mark.parametrize(
    ("name", "needs", "said"),
    [
        ("pi", "cloudpickle", "about 3.1"),
        ("with_joblib", "joblib", "the sum is 190\n"),
        ("with_dask", "dask", "the sum is 55\n"),
    ],
)
def test_an_example_runs_on_the_pool(hub, name, needs, said):
    if importlib.util.find_spec(needs) is None:
        pytest.skip(f"{needs} is not installed")
    env = {
        **os.environ,
        "FENGLIN_HUB": hub.url,
        "FENGLIN_TOKEN": hub.token,
        "PYTHON_AT_SITE": sys.executable,
    }
    done = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py"],
        capture_output=True,
        text=True,
        env=env,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert said in done.stdout
