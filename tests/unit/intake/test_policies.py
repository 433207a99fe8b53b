"""Policy files: round trips, errors with their places, terms of other packages."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import fields, replace

from fenglin.errors import InputError, InputProblems, LimitError, NotFoundError
from fenglin.intake import policyfile
from fenglin.intake.policies import load_term, read_policy, registered_terms
from fenglin.intake.policyfile import read_policy_text, to_document, to_toml
from fenglin.planner.policy import (
    BALANCED,
    BUILT_IN,
    FAIR,
    GREEN,
    Backfill,
    EquippedPolicy,
    Packing,
    Policy,
    data_of,
)
from fenglin.planner.rank import check_terms
from fenglin.planner.terms import BUILT_IN as TERMS

EXAMPLE = Path(__file__).parents[3] / "examples/terms"


def read(text, source="mine.toml"):
    return read_policy_text(text, source, TERMS)


def problems_of(text, source="mine.toml"):
    with pytest.raises(InputProblems) as caught:
        read(text, source)
    assert caught.value.source == source
    return caught.value.problems


def test_every_field_of_a_policy_has_a_key():
    assert sorted(key.field for key in policyfile.KEYS.values()) == sorted(
        field.name for field in fields(Policy)
    )


@pytest.mark.parametrize("policy", BUILT_IN.values(), ids=lambda policy: policy.name)
def test_what_is_shown_reads_back_as_it_was(policy):
    json = msgspec.json.encode(to_document(policy)).decode()
    assert read(to_toml(policy)) == policy
    assert read(json, "mine.json") == policy
    assert read(json, "mine.yaml") == policy  # JSON is YAML
    assert policy.purpose.endswith(".")
    check_terms(policy)


def test_file_changes_what_it_names_and_keeps_the_rest_of_its_base():
    text = """
base = "fair"
guard = "2h"
decay = 0
hold_margin = 2
backfill = "conservative"
pack = "best"
patience = 0
[weights]
carbon = 2
finish = 0
"""
    expected = replace(
        FAIR, name="mine", purpose="Changed from fair.", guard_ms=7_200_000, decay_ms=0,
        hold_margin_milli=2_000, backfill=Backfill.CONSERVATIVE, pack=Packing.BEST, patience=0.0,
        weights=(("carbon", 2.0),),
    )  # fmt: skip
    assert read(text) == expected
    assert read("base: fair\nname: x\npurpose: y\n", "z.yaml") == replace(
        FAIR, name="x", purpose="y"
    )


def test_empty_file_is_the_default_under_its_own_name():
    assert read("") == replace(BALANCED, name="mine", purpose="Changed from balanced.")


@pytest.mark.parametrize(
    ("line", "what", "hint"),
    [
        ("wieghts = 1", "unknown field 'wieghts'", "did you mean 'weights'?"),
        ("half_life = 1", "unknown field 'half_life'", "did you mean 'decay'?"),
        ('base = "green2"', "expected the name of a built-in policy", "one of balanced"),
        ("weights = 3", "expected a table, found 3", "[weights]"),
        ("weights.carbn = 1", "no term is named 'carbn'", "did you mean 'carbon'?"),
        ("weights.finish = -1", "-1 is out of range", "from 0 to 1000"),
        ("weights.finish = true", "expected a number, found true", ""),
        ("weights.finish = nan", "nan is out of range", "from 0 to 1000"),
        ('weights.finish = "1"', "expected a number, found the text '1'", "without quotes"),
        ('fair = "yes"', "expected true or false", ""),
        ('guard = "soon"', "'soon' is not a duration", ""),
        ('horizon = "0s"', "less than a millisecond", ""),
        ('backfill = "eazy"', "expected one of none, easy, conservative", ""),
        ("reservations = 2.5", "expected a whole number from 0 to 100000", ""),
        ("hold_margin = 0.5", "0.5 is out of range", "from 1 to 100"),
        ("split_divisor = 0", "0 is out of range", "from 1 to 1000"),
        ('name = "green"', "green is the name of a built-in policy", 'name = "my-green"'),
        ('purpose = "a\\u001bb"', "the unprintable character U+001B", ""),
    ],
)
def test_each_wrong_value_is_told_with_its_line(line, what, hint):
    (problem,) = problems_of(f"# a comment\n{line}\n")
    assert what in problem.what
    assert hint in problem.hint
    assert problem.line == 2
    assert problem.path.split(".")[0] == line.split(" ")[0].split(".")[0]


def test_all_problems_are_told_at_once():
    assert len(problems_of('fair = 1\npack = "x"\n[weights]\nnone = 1\n')) == 3


@pytest.mark.parametrize(
    ("text", "source", "what"),
    [
        ("- a\n", "p.yaml", "expected a mapping, found a list"),
        ("", "p.yaml", "the file is empty"),
        ("a: 1\n---\nb: 2\n", "p.yml", "2 documents"),
        ("fair = \n", "p.toml", "broken TOML"),
        ("{", "p.json", ""),
        ("fair: true\nfair: true\n", "p.yaml", ""),
    ],
)
def test_text_that_is_no_policy(text, source, what):
    assert what in problems_of(text, source)[0].what


def test_file_with_a_built_in_name_is_that_policy_or_refused():
    assert read(to_toml(GREEN), "green.toml") == GREEN
    (problem,) = problems_of("fair = false\n", "green.toml")
    assert "built-in" in problem.what


def test_long_file_is_not_read():
    with pytest.raises(LimitError):
        read("#" * 70_000)


def test_name_or_path(tmp_path):
    assert read_policy("green") is GREEN
    (tmp_path / "p.toml").write_text('\ufeffbase = "fast"\n')
    assert read_policy("p.toml", tmp_path).name == "p"
    assert read_policy(f"{tmp_path}/p.toml").weights == BUILT_IN["fast"].weights
    with pytest.raises(NotFoundError, match="no policy is named 'geen'") as caught:
        read_policy("geen")
    assert "./geen.toml" in caught.value.hint


@pytest.mark.parametrize("name", ["none.toml", "./none", "a\0.toml", "."])
def test_file_that_cannot_be_read(tmp_path, name):
    where = f"./{name}" if name == "." else name
    with pytest.raises(InputError, match="the policy cannot be read"):
        read_policy(where, tmp_path)


def test_file_that_is_not_utf8(tmp_path):
    (tmp_path / "p.toml").write_bytes(b"\xff")
    with pytest.raises(InputError, match="cannot be read"):
        read_policy("p.toml", tmp_path)


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return what makes an importable package that registers terms, as pip would leave it."""
    monkeypatch.syspath_prepend(tmp_path)

    def put(package, entries, code):
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[fenglin.terms]\n" + "\n".join(entries))
        (tmp_path / f"{package}.py").write_text(code)
        monkeypatch.delitem(sys.modules, package, raising=False)
        return tmp_path

    return put


def test_example_package_is_found_and_weighed(install):
    declared = (EXAMPLE / "pyproject.toml").read_text()
    entry = re.search(r'^(foreign) = "(.*)"$', declared, re.MULTILINE)
    code = (EXAMPLE / "fenglin_own_first.py").read_text()
    install("fenglin_own_first", [f"{entry[1]} = {entry[2]}"], code)
    policy = read_policy(str(EXAMPLE / "own-first.toml"))
    assert isinstance(policy, EquippedPolicy)
    assert policy.rules["foreign"].purpose == "Our own machines first."
    check_terms(policy)
    assert registered_terms() == {"foreign": "fenglin_own_first"}
    # Its data is that of any policy, and can be stored.
    assert type(data_of(policy)) is Policy
    stored = msgspec.json.decode(msgspec.json.encode(data_of(policy)), type=Policy)
    assert stored == data_of(policy)


def test_without_the_package_its_term_is_unknown():
    with pytest.raises(InputProblems) as caught:
        read_policy(str(EXAMPLE / "own-first.toml"))
    assert caught.value.problems[0].path == "weights.foreign"


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("1/0", "ZeroDivisionError"),
        ("x = 1", "AttributeError"),
        ("RULE = 3", "is no Rule but int"),
    ],
)
def test_broken_package_stops_only_who_weighs_its_term(install, code, why):
    folder = install("broken_term", ["bad = broken_term:RULE"], code)
    (folder / "p.toml").write_text("[weights]\nbad = 1\n")
    (folder / "q.toml").write_text("[weights]\nmoney = 1\n")
    with pytest.raises(InputError, match=why) as caught:
        read_policy("p.toml", folder)
    assert "broken_term" in str(caught.value)
    assert read_policy("q.toml", folder).weights == (("money", 1.0),)


def test_two_packages_with_one_term_are_told_apart(install):
    install("one_term", ["bad = one_term:RULE"], "")
    install("two_term", ["bad = two_term:RULE"], "")
    with pytest.raises(InputError, match="one_term and two_term"):
        load_term("bad")


def test_no_package_takes_the_name_of_a_built_in_term(install):
    install("thief_term", ["money = thief_term:RULE"], "RULE = 3")
    assert load_term("money") is TERMS["money"]
    assert registered_terms() == {}
    with pytest.raises(NotFoundError, match="no term is named"):
        load_term("nothing")
