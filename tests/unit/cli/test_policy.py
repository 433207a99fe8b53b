"""`fenglin policy`: what is listed and shown, and that a file is checked; no hub is asked."""

from __future__ import annotations

import json

import pytest

from fenglin.planner.policy import BUILT_IN, GREEN


@pytest.fixture
def alone(fenglin, monkeypatch, tmp_path):
    """Run a command in a folder of its own, with no hub to ask."""
    monkeypatch.setenv("FENGLIN_HUB", "http://127.0.0.1:1")
    monkeypatch.chdir(tmp_path)
    return fenglin


def test_list_names_every_policy_and_its_purpose(alone):
    done = alone("policy", "list")
    assert done.code == 0
    for policy in BUILT_IN.values():
        assert f"{policy.name}  " in done.out
        assert policy.purpose in done.out
    listed = json.loads(alone("policy", "list", "-o", "json").out)
    assert [entry["name"] for entry in listed] == list(BUILT_IN)


def test_what_is_shown_is_a_file_that_begins_ones_own(alone, tmp_path):
    shown = alone("policy", "show", "green").out
    assert f'purpose = "{GREEN.purpose}"\n' in shown
    (tmp_path / "mine.toml").write_text(shown.replace('"green"', '"mine"'))
    (tmp_path / "mine.json").write_text(alone("policy", "show", "./mine.toml", "-o", "json").out)
    (tmp_path / "mine.yaml").write_text(alone("policy", "show", "./mine.json", "-o", "yaml").out)
    assert alone("policy", "show", "mine.yaml").out == shown.replace('"green"', '"mine"')


def test_what_is_wrong_in_a_file_is_told_with_its_place(alone, tmp_path):
    (tmp_path / "bad.toml").write_text("[weights]\ncarbn = 1\n")
    done = alone("policy", "show", "bad.toml")
    assert done.code == 2
    assert "bad.toml" in done.err
    assert "2:1" in done.err
    assert "did you mean 'carbon'?" in done.err


def test_unknown_policy_and_form(alone):
    assert alone("policy", "show", "grean").code == 3
    assert alone("policy", "show", "green", "-o", "table").code == 2


def test_terms_are_listed_with_their_origin(alone):
    listed = json.loads(alone("policy", "terms", "-o", "json").out)
    assert {"name": "carbon", "origin": "built-in"}.items() <= listed[3].items()
    assert "carbon" in alone("policy", "terms", "--no-header").out


def test_package_that_cannot_be_loaded_is_listed_with_its_error(alone, monkeypatch, tmp_path):
    info = tmp_path / "sick-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sick\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fenglin.terms]\nill = sick_term:RULE\n")
    monkeypatch.syspath_prepend(tmp_path)
    done = alone("policy", "terms")
    assert done.code == 0
    assert "ModuleNotFoundError" in done.out
    assert "neutrality" in done.out
