"""How a hub starts, what it refuses to start with, and a disk that is full."""

import os
import shutil
import socket
import stat
import subprocess
import sys

import pytest

from fenglin.client.requests import Filter
from fenglin.errors import UnavailableError
from fenglin.testing import HubProcess, LocalSite, hub_file

FENGLIN = [sys.executable, "-c", "from fenglin.cli import main; raise SystemExit(main())"]
DISK_BYTES = 8 * 2**20


def start(folder, config, *words):
    """Return how `fenglin hub start` ended that cannot start."""
    path = folder / "fenglin.toml"
    path.write_text(config)
    return subprocess.run(
        [*FENGLIN, "hub", "start", "--config", path, *words],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_first_start_makes_a_private_token(own_hub):
    own_hub.start()
    path = own_hub.data / "admin.token"

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(own_hub.data.stat().st_mode) == 0o700
    assert str(path) in own_hub.log()
    token = own_hub.token
    assert token not in own_hub.log()
    own_hub.stop()
    own_hub.start()
    assert own_hub.token == token


def test_a_task_does_not_see_the_token(own_hub):
    own_hub.env = {"FENGLIN_TOKEN": "fgl_secret"}
    client = own_hub.start().client()
    job = client.submit({"name": "spy", "script": "env; cat /proc/self/environ"}).id
    client.wait(job, 30)

    seen = b"".join(client.log(job, 0))

    assert b"FENGLIN_JOB_ID" in seen
    assert b"fgl_" not in seen


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]"])  # noqa: S104 - that it is refused
def test_beyond_loopback_without_authentication_is_refused(tmp_path, host):
    done = start(tmp_path, hub_file(hub="auth = false"), "--listen", f"{host}:0")

    assert done.returncode == 4
    assert "without authentication" in done.stderr
    assert not (tmp_path / "data/fenglin.db").exists()


def test_without_authentication_this_machine_is_served(tmp_path):
    with HubProcess(tmp_path, hub_file(hub="auth = false")).start() as hub:
        assert hub.client(token="").submit({"name": "open", "command": ["true"]}).id == "j1"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("[hub", "not TOML"),
        ("[hub]\nlisten = '127.0.0.1:0'\n", "no site"),
        (hub_file(hub="color = 1"), "color"),
        (hub_file(hub="policy = 'odd'"), "odd"),
        (hub_file().replace('"local"', '"lokal"'), "lokal"),
        (hub_file([LocalSite("site", cpu=-1)]), "cpu"),
    ],
    ids=["broken", "no site", "unknown key", "unknown policy", "unknown driver", "negative"],
)
def test_bad_configuration(tmp_path, config, said):
    done = start(tmp_path, config)

    assert done.returncode in {2, 3}, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) < 12


def test_address_in_use(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = start(tmp_path, hub_file(), "--listen", f"127.0.0.1:{taken.getsockname()[1]}")

    assert done.returncode == 6
    assert "cannot listen" in done.stderr
    assert "Traceback" not in done.stderr


def test_damaged_database_is_named(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/fenglin.db").write_bytes(b"this is no database at all" * 200)

    done = start(tmp_path, hub_file())

    assert done.returncode == 7
    assert "fenglin.db" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def small_disk(tmp_path):
    """Return a hub whose data folder is a small file system of its own."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system to fill")
    place = tmp_path / "small"
    data = place / "data"
    data.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", data],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.strip()}")
    try:
        with HubProcess(place, hub_file()) as hub:
            yield hub
    finally:
        subprocess.run(["umount", "-l", data], check=True)


def test_full_disk_loses_nothing_and_work_goes_on_by_itself(small_disk, truth, running, eventually):
    client = small_disk.start().client()
    first = client.submit(truth.job("first", sleep_s=1)).id
    running(first)
    filler = small_disk.data / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (2**16, 2**12, 2**8, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    assert shutil.disk_usage(small_disk.data).free == 0

    direct = small_disk.client(tries=1)
    big = {"name": "refused", "script": "# " + "x" * 200_000}
    with pytest.raises(UnavailableError, match="full"):
        direct.submit_batch([big] * 20)
    stored = [job.id for job in client.jobs(Filter()).items]
    assert first in stored
    assert small_disk.alive

    filler.unlink()
    assert client.wait(first, 30).state == "succeeded"
    second = eventually(lambda: client.submit(truth.job("second")).id)
    assert client.wait(second, 30).state == "succeeded"
    assert {job.id for job in client.jobs(Filter()).items} == {*stored, second}
    assert client.ledger_verify().ok
    assert [run.number for run in truth.runs()] == [1, 1]
