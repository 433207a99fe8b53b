"""Programs by fork: each child is as a command of its own would be."""

import os
import signal
import subprocess
import time

import pytest

from fenglin.testing.forks import ForkServer

WITHIN_S = 60


@pytest.fixture(scope="module")
def forks():
    with ForkServer() as made:
        yield made


@pytest.fixture
def start(forks, tmp_path):
    """Return what starts `fenglin` with some words, and keeps what it says in a file."""

    def begin(*words, **env):
        log = tmp_path / "log"
        return forks.start(words, env={"PATH": os.environ["PATH"], **env}, cwd=tmp_path, log=log)

    return begin


@pytest.mark.slow
def test_a_child_runs_the_command_where_it_is_told(start, tmp_path):
    assert start("--version").wait(WITHIN_S) == 0
    assert start("nonsense").wait(WITHIN_S) == 2
    # The path is relative to the folder in which the child stands.
    assert start("hub", "start", "--config", "nothing.toml").wait(WITHIN_S) == 2
    said = (tmp_path / "log").read_text()
    assert said.startswith("fenglin ")
    assert "nonsense" in said
    assert "nothing.toml" in said


def test_each_child_has_its_own_environment_and_session(start, tmp_path):
    (tmp_path / "fenglin.toml").write_text("[hub]\nlog = 'loud'\n")
    hub = ("hub", "start")
    assert start(*hub, FENGLIN_CRASH_AT="c99").wait(WITHIN_S) == 1
    assert "c99" in (tmp_path / "log").read_text()
    # What was armed in one child is not in the next.
    assert start("--version").wait(WITHIN_S) == 0


@pytest.mark.slow
def test_a_hub_is_killed_at_a_point_and_by_hand(start, tmp_path):
    (tmp_path / "fenglin.toml").write_text(
        '[hub]\nlisten = "127.0.0.1:0"\n[site.a]\ndriver = "local"\nprovider = "p"\n'
        "[site.a.flavor.std]\ncpu = 1\nmemory = '1GiB'\ndisk = '1GiB'\n"
        "price = { core_hour = '0.1' }\n"
    )
    armed = start("hub", "start", FENGLIN_CRASH_AT="c18")
    assert armed.wait(WITHIN_S) == -signal.SIGKILL, (tmp_path / "log").read_text()
    address = tmp_path / "fenglin-data" / "hub.address"
    for number, status in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 0)):
        address.unlink(missing_ok=True)
        hub = start("hub", "start")
        end_s = time.monotonic() + WITHIN_S
        while not address.exists():
            assert hub.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < end_s, (tmp_path / "log").read_text()
            time.sleep(0.02)
        assert os.getsid(hub.pid) == hub.pid
        with pytest.raises(subprocess.TimeoutExpired):
            hub.wait(0)
        hub.send_signal(number)
        assert hub.wait(WITHIN_S) == status
        hub.send_signal(number)  # reaches nobody


@pytest.mark.slow
def test_children_outlive_their_server(tmp_path):
    with ForkServer() as forks:
        one = forks.start(["--version"], env=dict(os.environ), cwd=tmp_path, log=tmp_path / "log")
        assert one.wait(WITHIN_S) == 0
    with pytest.raises(OSError, match="descriptor"):
        forks.start(["--version"], env={}, cwd=tmp_path, log=tmp_path / "log")
