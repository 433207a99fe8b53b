"""A real hub per module, reached as users reach it: by the command line and by the client."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from fenglin.client.requests import Filter
from fenglin.testing import HubProcess, LocalSite, TruthDir, hub_file

FENGLIN = Path(sys.executable).with_name("fenglin")
SITES = [
    LocalSite("ai", cpu=2, compute_class="ai"),
    LocalSite("general", cpu=2),
    LocalSite("super", cpu=2, compute_class="super"),
]


class Done(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


def until(condition, within_s=20):
    """Return what a condition gives as soon as that is true."""
    end_s = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < end_s, "it did not happen in time"
        time.sleep(0.02)
    return found


@pytest.fixture(scope="module")
def config():
    """Return the configuration of this module's hub; a module with other wishes overrides it."""
    return hub_file(SITES)


@pytest.fixture(scope="module")
def hub(tmp_path_factory, config):
    """Return this module's hub, running."""
    with HubProcess(tmp_path_factory.mktemp("hub"), config) as process:
        client = process.start().client()
        until(lambda: all(site.seen_ms for site in client.sites(Filter()).items))
        yield process


@pytest.fixture
def own_hub(tmp_path):
    """Return a hub of this test alone, not started."""
    with HubProcess(tmp_path / "own", hub_file(SITES)) as process:
        yield process


@pytest.fixture
def client(hub):
    """Return a client of this module's hub."""
    return hub.client()


@pytest.fixture
def truth(tmp_path):
    """Return a folder in which payloads testify."""
    return TruthDir(tmp_path / "truth")


@pytest.fixture
def job_file(tmp_path):
    """Return a function that writes a job file and returns its path."""

    def write(document, name="job.json"):
        path = tmp_path / name
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return path

    return write


@pytest.fixture
def fenglin(hub, tmp_path):
    """Return a function that runs one command line against this module's hub."""

    def run(*words, url=None, token=None, cwd=None):
        env = {name: text for name, text in os.environ.items() if not name.startswith("FENGLIN_")}
        env["FENGLIN_HUB"] = hub.url if url is None else url
        env["FENGLIN_TOKEN"] = hub.token if token is None else token
        done = subprocess.run(
            [FENGLIN, *map(str, words)],
            capture_output=True,
            text=True,
            env={**env, "HOME": str(tmp_path)},
            cwd=cwd or tmp_path,
            timeout=60,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def eventually():
    """Return a function that waits until something holds, and says what did not."""

    return until


@pytest.fixture
def running(truth, eventually):
    """Return a function that waits until some tasks of a job have begun."""

    def wait(job, tasks=1):
        return eventually(lambda: len(truth.runs(job)) >= tasks)

    return wait
