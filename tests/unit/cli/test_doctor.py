"""The doctor says in words what is wrong, and ends with 1 when something is."""

import base64
import contextlib
import os
import sqlite3

import pytest

from fenglin.bootstrap import doctor as room
from fenglin.bootstrap.doctor import examine
from fenglin.cli.app import run
from fenglin.cli.doctor_hub import _held, _metrics
from fenglin.client.transport import Answer
from fenglin.engine.meters import Meters
from fenglin.storage.schema import connect, ensure_schema
from fenglin.testing.builders import LocalSite, hub_file
from fenglin.wire.safety_views import SafetyView


@pytest.fixture
def place(tmp_path):
    """A deployment in which all is well."""
    config = tmp_path / "fenglin.toml"
    config.write_text(hub_file([LocalSite("a")]))
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    with contextlib.closing(connect(data / "fenglin.db")) as conn:
        ensure_schema(conn, data / "fenglin.db")
    return config, data


def bad(place, backups=None):
    return {one.check: one for one in examine(*place, backups) if one.level != "ok"}


def test_all_is_well(place, capsys):
    assert bad(place) == {}
    words = ["doctor", "--offline", "--config", str(place[0]), "--data", str(place[1])]
    assert run(words) == 0
    assert "database" in capsys.readouterr().out


def spoil_config(place):
    place[0].write_text("[hub]\nmoon = 1\n")


def open_folder(place):
    place[1].chmod(0o755)


def garble(place):
    (place[1] / "fenglin.db").write_bytes(b"no database" * 1_000)


def older(place):
    with contextlib.closing(sqlite3.connect(place[1] / "fenglin.db")) as conn:
        conn.execute("PRAGMA user_version = 1")


def open_keys(place):
    path = place[1] / "secrets.key"
    path.write_text(base64.b64encode(b"k" * 32).decode())
    path.chmod(0o640)


def garble_keys(place):
    (place[1] / "secrets.key").write_text("moon")


def unknown_driver(place):
    place[0].write_text(place[0].read_text().replace('"local"', '"moon"'))


@pytest.mark.parametrize(
    ("harm", "check", "words"),
    [
        (spoil_config, "configuration", "moon"),
        (open_folder, "data folder", "others on this machine may read"),
        (garble, "database", "database"),
        (older, "database", "version"),
        (unknown_driver, "driver of a", "moon"),
        (open_keys, "secrets' keys", "others on this machine may read"),
        (garble_keys, "secrets' keys", "not 32 bytes in base64"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(place, capsys, harm, check, words):
    harm(place)
    found = bad(place)[check]
    assert found.level == "bad"
    assert words in found.what
    assert found.hint
    asked = ["doctor", "--offline", "--config", str(place[0]), "--data", str(place[1])]
    assert run([*asked, "-o", "json"]) == 1
    assert '"ok":false' in capsys.readouterr().out.replace(" ", "")


SECRET_ROWS = "INSERT INTO secret VALUES (?, 'db', 1, 'abc123', x'00', x'00', 1, 'ann')"


@pytest.mark.parametrize("file", ["none", "of another key"])
def test_a_key_that_is_missing_is_named(place, file):
    with contextlib.closing(sqlite3.connect(place[1] / "fenglin.db")) as conn, conn:
        conn.executemany(SECRET_ROWS, [("lab",), ("team",)])
    if file != "none":
        path = place[1] / "secrets.key"
        path.write_text(base64.b64encode(b"k" * 32).decode())
        path.chmod(0o600)

    found = [one for one in examine(*place, None) if one.check == "secrets' keys"]

    missing = found[0]
    assert missing.level == "bad"
    assert "the key abc123, which seals 2 secrets, is not in" in missing.what
    assert "fenglin secret list" in missing.hint
    assert [one.level for one in found[1:]] == ([] if file == "none" else ["ok"])


def test_a_key_that_jobs_wait_for_is_told_by_the_hub():
    class Said:
        def call(self, _call):
            return SafetyView(quarantined=[], keyless={"abc123": 2})

    missing, sound = _held(Said())
    assert (missing.check, missing.level) == ("secrets' key abc123", "bad")
    assert "2 jobs waiting" in missing.what
    assert (sound.check, sound.level) == ("quarantine", "ok")


def test_a_disk_that_is_nearly_full_is_told(place, monkeypatch):
    usage = type("Usage", (), {"free": 2**20, "total": 2**40})
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _path: usage)
    assert bad(place)["disk"].level == "bad"


def test_old_backups_are_told(place, tmp_path):
    folder = tmp_path / "backups"
    assert bad(place, folder)["backups"].level == "bad"
    folder.mkdir()
    assert bad(place, folder)["backups"].level == "bad"
    file = folder / "one.db"
    file.touch()
    assert bad(place, folder) == {}
    os.utime(file, (1, 1))
    assert bad(place, folder)["backups"].level == "warn"


class Measured:
    """A hub that is asked for its metrics, and for nothing else."""

    def __init__(self, meters):
        self.meters = meters

    def call(self, call):
        assert (call.method, call.path) == ("GET", "/metrics")
        return Answer(self.meters.expose(0, 1), {})


@pytest.mark.parametrize(
    ("delays_s", "level"),
    [([0.0] * 99 + [0.4], "ok"), ([0.0] * 97 + [0.4] * 3, "warn"), ([], "ok")],
)
def test_an_event_loop_that_is_often_late_is_told(delays_s, level):
    meters = Meters()
    for delay_s in delays_s:
        meters.lag(delay_s)

    (found,) = _metrics(Measured(meters))
    assert (found.check, found.level) == ("event loop", level)
    assert ("3.0% of all moments" in found.what) == (level == "warn")


def test_a_date_that_jumped_is_told():
    meters = Meters()
    for _ in range(2):
        meters.date_jumped()

    found = {one.check: one for one in _metrics(Measured(meters))}
    assert found["date"].level == "warn"
    assert "2 times" in found["date"].what
