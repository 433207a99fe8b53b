"""`fenglin convert`, and `fenglin submit` of foreign files."""

from __future__ import annotations

import json

import pytest
import yaml

from fenglin.cli import main
from fenglin.intake.dialects.registry import TITLES

SCRIPT = "#!/bin/sh\n#SBATCH --job-name=a\n#SBATCH --mem=1G\n#SBATCH --prefer=low\ntrue\n"


@pytest.fixture
def fenglin(capfd, monkeypatch, hub, tmp_path):
    """Run one command in a folder of its own, against the scripted hub."""
    monkeypatch.setenv("FENGLIN_HUB", hub.url)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("FENGLIN_TOKEN", "FENGLIN_TOKEN_FILE", "FENGLIN_CONFIG", "FENGLIN_DEBUG"):
        monkeypatch.delenv(name, raising=False)

    def run(*words):
        code = main([*words])
        return code, *capfd.readouterr()

    return run


@pytest.fixture
def script(tmp_path):
    """Write the script, and return its name."""
    (tmp_path / "a.sh").write_text(SCRIPT)
    return "a.sh"


def test_the_native_file_goes_out_and_the_losses_to_standard_error(fenglin, script, tmp_path):
    code, out, err = fenglin("convert", script, "--to", "native")
    assert code == 0
    assert yaml.safe_load(out)["resources"] == {"cpu": 1, "memory": "1GiB"}
    assert err.splitlines()[0] == "note: a.sh is read as a script for sbatch"
    assert err.splitlines()[1].startswith("warning: a.sh:4: --prefer: lost: ")
    (tmp_path / "a.yaml").write_text(out)
    assert fenglin("convert", "a.yaml")[1:] == (out, "")


def test_data_has_the_job_and_its_notes(fenglin, script):
    _, out, err = fenglin("convert", script, "-o", "json")
    found = json.loads(out)
    assert set(found) == {"job", "notes"}
    assert found["notes"][0].keys() == {"line", "field", "level", "text"}
    assert (found["notes"][0]["line"], found["notes"][0]["level"]) == (4, "lost")
    assert err == ""


def test_strict_refuses_losses_with_their_lines(fenglin, script, hub):
    for command in ("convert", "submit"):
        code, out, err = fenglin(command, script, "--strict")
        assert (code, out) == (2, "")
        assert "a.sh:4:1: --prefer: lost: " in err
    assert hub.asked == []


def test_strict_takes_what_is_exact(fenglin, tmp_path):
    (tmp_path / "b.sh").write_text(SCRIPT.replace("#SBATCH --prefer=low\n", ""))
    assert fenglin("convert", "b.sh", "--strict")[0] == 0


def test_options_win_and_a_dialect_can_be_forced(fenglin, script):
    out = fenglin("convert", script, "--sbatch", "-c 4 --mem=2G")[1]
    assert yaml.safe_load(out)["resources"] == {"cpu": 4, "memory": "2GiB"}
    code, _, err = fenglin("convert", script, "--as", "native")
    assert (code, "a.sh" in err) == (2, True)
    assert fenglin("convert", script, "--as", "pbs")[0] == 2


def test_the_help_names_every_dialect(fenglin):
    out = fenglin("convert", "--help")[1]
    assert all(name in out for name in TITLES)


def test_several_jobs(fenglin, tmp_path):
    text = "type: task\nname: {}\ncommands: [a]\n"
    (tmp_path / "t.yml").write_text(text.format("a") + "---\n" + text.format("b"))
    assert [one["name"] for one in yaml.safe_load_all(fenglin("convert", "t.yml")[1])] == ["a", "b"]
    found = json.loads(fenglin("convert", "t.yml", "-o", "json")[1])
    assert [one["job"]["name"] for one in found["items"]] == ["a", "b"]


def test_submit_takes_a_script_and_warns(fenglin, script, hub):
    hub.on("POST", "/v1/jobs", {"id": "j7", "state": "pending", "repeated": False})
    code, out, err = fenglin("submit", script)
    assert (code, out) == (0, "j7\n")
    assert "warning: a.sh:4: --prefer: lost: " in err
    sent = json.loads(hub.asked[0].body)
    assert sent["name"] == "a"
    assert SCRIPT in sent["script"]


def test_a_refusal_shows_everything_and_sends_nothing(fenglin, tmp_path, hub):
    (tmp_path / "c.sh").write_text("#!/bin/sh\n#SBATCH --time=soon\n#SBATCH --hold\n")
    code, _, err = fenglin("submit", "c.sh")
    assert code == 2
    assert "c.sh:2:" in err
    assert "c.sh:3:" in err
    assert hub.asked == []


def test_terminal_escapes_of_a_file_are_harmless(fenglin, tmp_path):
    (tmp_path / "d.sh").write_text("#!/bin/sh\n#SBATCH --own-\x1b[2Jthing=x --mem=1G\n")
    code, _, err = fenglin("convert", "d.sh")
    assert code == 0
    assert "\x1b" not in err
