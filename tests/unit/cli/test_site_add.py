"""`fenglin site add`: a block at the end, checked whole before a byte is written."""

import stat
import tomllib

import pytest

from fenglin.cli.site_add import SITE_KEYS
from fenglin.intake import hubfile

OLD = """# our hub
[hub]
listen = "127.0.0.1:0"  # this machine only

[site.old]
driver = "mock"
provider = "us"
[site.old.flavor.std]
cpu = 4
memory = "1GiB"
"""
STD = ("--set", "flavor.std.cpu=8", "--set", "flavor.std.memory=16GiB")


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "fenglin.toml"
    path.write_text(OLD)
    path.chmod(0o640)
    return path


def test_what_was_there_stays_and_the_block_follows(fenglin, config):
    more = (
        "--set",
        "nice=5",
        "--set",
        "provider=lab",
        "--set",
        "labels.tier=1.10",
        "--set",
        "pue=1.3",
    )
    done = fenglin("site", "add", "new", "--driver", "local", *STD, *more, "--config", config)
    assert (done.code, done.err) == (0, "")
    text = config.read_text()
    assert text.startswith(OLD + "\n[site.new]\n")
    assert tomllib.loads(text)["site"]["new"] == {
        "driver": "local",
        "provider": "lab",
        "pue": 1.3,
        "labels": {"tier": 1.10},
        "settings": {"nice": 5},
        "flavor": {"std": {"cpu": 8, "memory": "16GiB"}},
    }
    assert stat.S_IMODE(config.stat().st_mode) == 0o640
    assert "fenglin site check new" in done.out
    assert [path.name for path in config.parent.iterdir()] == ["fenglin.toml"]


def test_a_site_is_its_own_provider_unless_said(fenglin, tmp_path):
    path = tmp_path / "fenglin.toml"
    assert fenglin("site", "add", "new", "--driver", "local", *STD, "--config", path).code == 0
    assert tomllib.loads(path.read_text())["site"]["new"]["provider"] == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_dry_run_writes_nothing(fenglin, config):
    done = fenglin("site", "add", "n", "--driver", "local", *STD, "--config", config, "--dry-run")
    assert done.code == 0
    assert done.out.startswith('[site.n]\ndriver = "local"\n')
    assert config.read_text() == OLD


def test_windows_line_ends_stay(fenglin, config):
    config.write_bytes(OLD.rstrip().replace("\n", "\r\n").encode())
    assert fenglin("site", "add", "new", "--driver", "local", *STD, "--config", config).code == 0
    raw = config.read_bytes()
    assert raw.count(b"\n") == raw.count(b"\r\n")
    assert set(tomllib.loads(raw.decode())["site"]) == {"old", "new"}


def test_a_link_is_followed_and_stays_one(fenglin, config, tmp_path):
    link = tmp_path / "link.toml"
    link.symlink_to(config)
    assert fenglin("site", "add", "new", "--driver", "local", *STD, "--config", link).code == 0
    assert link.is_symlink()
    assert "[site.new]" in config.read_text()


@pytest.mark.parametrize(
    ("name", "words", "code", "said"),
    [
        ("old", STD, 5, "already"),
        ("new", (*STD, "--set", "carbon=lots"), 2, "carbon"),
        ("new", (*STD, "--set", "colour=red"), 2, "colour"),
        ("new", (*STD, "--set", "nice"), 2, "key=value"),
        ("new", (*STD, "--set", "=5"), 2, "key=value"),
        ("new", (*STD, "--set", "a..b=5"), 2, "key=value"),
        ("new", (*STD, "--set", "flavor.std.cpu=9"), 2, "not TOML"),
        ("new\n[site.x]", STD, 2, "site"),
        ("../x", STD, 2, "../x"),
        ("", STD, 2, ""),
        ("new", (*STD, "--set", 'nice=5\nprovider = "evil"'), 2, "nice"),
        ("new", (*STD, "--set", 'nice"]\n[hub]\nauth=false'), 2, "--set"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(fenglin, config, name, words, code, said):
    done = fenglin("site", "add", name, "--driver", "local", *words, "--config", config)
    assert done.code == code
    assert said in done.err
    assert config.read_text() == OLD


def test_an_unknown_driver_is_refused(fenglin, config):
    done = fenglin("site", "add", "new", "--driver", "teleport", *STD, "--config", config)
    assert done.code == 2
    assert "teleport" in done.err
    assert config.read_text() == OLD


def test_a_broken_configuration_is_not_made_worse(fenglin, config):
    config.write_text("[hub\n")
    done = fenglin("site", "add", "new", "--driver", "local", *STD, "--config", config)
    assert (done.code, config.read_text()) == (2, "[hub\n")


def test_the_new_site_can_be_checked(fenglin, config):
    assert fenglin("site", "add", "new", "--driver", "mock", *STD, "--config", config).code == 0
    assert fenglin("site", "check", "new", "--config", config).code == 0


def test_the_keys_of_a_block_are_those_of_the_configuration():
    assert {*SITE_KEYS, "driver"} == set(hubfile._SiteBlock.__struct_encode_fields__)
