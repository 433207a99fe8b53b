from __future__ import annotations

import csv as csv_reader
import io
import json
import subprocess
import sys
from importlib.util import find_spec

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fenglin.errors import InputError
from fenglin.ledger.accounts import available
from fenglin.ledger.beancount import account_name, beancount, ledger_account
from fenglin.ledger.export import csv, decimal_amount, jsonl, read_jsonl, verify_jsonl
from fenglin.ledger.posting import grant
from fenglin.ledger.verify import verify


def lines_of(entries) -> list[bytes]:
    return [line.encode() for line in jsonl(entries)]


def rows_of(entries) -> list[dict[str, str]]:
    return list(csv_reader.DictReader(io.StringIO("".join(csv(entries)), newline="")))


def test_json_lines_come_back_as_they_were(story):
    assert list(read_jsonl(lines_of(story))) == story
    report = verify_jsonl(lambda: lines_of(story))
    assert report == verify(story)
    assert report.ok


def test_an_export_tells_hashes_as_hex(story):
    first = json.loads(lines_of(story)[0])
    assert first["hash"] == story[0].hash.hex()
    assert json.loads(lines_of(story)[1])["legs"][0] == ["hub:grants", "CNY", -10_000_000]


@pytest.mark.parametrize(
    "tamper",
    [
        lambda line: line.replace(b'"memo":"deposit"', b'"memo":"bribe"'),
        lambda line: line.replace(b'"memo":"deposit"', b'"memo":"bribe","memo":"deposit"'),
        lambda line: line.replace(b'{"', b'{"note":"x","', 1),
        lambda line: line.replace(b":", b": ", 1),
        lambda line: line.replace(b"deposit", b"\\u0064eposit"),
        lambda line: line.replace(b"10000000", b"10000001"),
        lambda line: line[:-20] + b"\n",
        lambda line: line.replace(b'"hash":"', b'"hash":"zz'),
        lambda line: line.replace(b'"hash":"', b'"hash":" '),
        lambda line: line.replace(b"deposit", b"\xff"),
        lambda _: b"\n",
        lambda line: line + line,
        lambda _: b"",
    ],
)
def test_a_tampered_line_is_named(story, tamper):
    lines = lines_of(story)
    changed = tamper(lines[1])
    assert changed != lines[1]
    lines[1] = changed
    spoiled = b"".join(lines).splitlines(keepends=True)
    report = verify_jsonl(lambda: spoiled)
    assert report.bad_seq == (
        3 if changed.count(b"deposit") == 2 and b"bribe" not in changed else 2
    )
    assert report.why


def test_a_repeated_key_in_an_export_is_a_problem(sealed):
    twice = sealed([grant("lab", 5, "a"), grant("lab", 5, "b"), grant("lab", 5, "a")])
    report = verify_jsonl(lambda: lines_of(twice))
    assert not report.ok
    assert report.problems == ("entry 4 repeats the key 'grant:a'",)


@pytest.mark.parametrize(
    ("micro", "text"),
    [
        (0, "0.000000"),
        (1, "0.000001"),
        (-160, "-0.000160"),
        (12_345_678, "12.345678"),
        (-1_000_000, "-1.000000"),
    ],
)
def test_amounts_have_six_decimals(micro, text):
    assert decimal_amount(micro) == text


def test_csv_tells_every_leg(story):
    rows = rows_of(story)
    assert len(rows) == 1 + sum(len(entry.legs) for entry in story[1:])
    assert {row["hash"] for row in rows} == {entry.hash.hex() for entry in story}
    assert sum(int(row["amount_micro"] or 0) for row in rows) == 0
    assert rows[1]["amount"] == "-10.000000"
    assert rows[1]["time_utc"] == "1970-01-01T00:00:01.010+00:00"
    assert rows[0]["amount"] == rows[0]["account"] == ""
    for line in csv(story):
        assert line.endswith("\r\n")


@pytest.mark.parametrize("memo", ["=1+1", "+1", "-1", "@SUM(A1)", "＝1+1", "＠x"])  # noqa: RUF001
def test_csv_defuses_formulas(sealed, memo):
    row = rows_of(sealed([grant("lab", 5, "k", memo=memo)]))[1]
    assert row["memo"] == "'" + memo
    assert row["amount"].startswith("-")


def test_csv_quotes_what_would_break_a_row(sealed):
    row = rows_of(sealed([grant("a,b", 5, "k", memo='say "x", then')]))[2]
    assert row["memo"] == 'say "x", then'
    assert row["account"] == "tenant:a,b:available"


@pytest.mark.parametrize(
    ("account", "name"),
    [
        ("tenant:lab:available", "Assets:Tenant:Lab:Available"),
        ("tenant:team-a:held", "Assets:Tenant:Team--a:Held"),
        ("tenant:Lab:held", "Assets:Tenant:X-0-Lab:Held"),
        ("tenant:x:held", "Assets:Tenant:X:Held"),
        ("provider:9lives:due", "Assets:Provider:9lives:Due"),
        ("hub:grants", "Equity:Hub:Grants"),
        ("tenant:贵安:held", "Assets:Tenant:X-0--8d35--5b89-:Held"),
    ],
)
def test_beancount_names(account, name):
    assert account_name(account) == name
    assert ledger_account(name) == account


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=":"), min_size=1)


@given(names)
def test_every_account_has_a_beancount_name_of_its_own(name):
    try:
        account = available(name)
    except InputError:
        return
    made = account_name(account)
    assert ledger_account(made) == account
    assert made.isascii()
    for part in made.split(":"):
        assert part[0].isupper() or part[0].isdecimal()
        assert part.replace("-", "").isalnum()


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Assets",
        "Assets:Tenant:lab:Available",
        "Assets:Tenant:X-0-lab:Held",
        "Assets:Bank:X",
        "Equity:Tenant:Lab:Held",
        "Assets:Tenant:A-zz-:Held",
        "Assets:Tenant:A-ffffffff-:Held",
    ],
)
def test_other_names_are_refused(name):
    with pytest.raises(InputError, match="not the beancount name"):
        ledger_account(name)


def test_beancount_tells_metadata_and_balances(story):
    text = "".join(beancount(story))
    assert f'  hash: "{story[5].hash.hex()}"\n' in text
    assert '  key: "post:hub-1-a1-1"\n' in text
    assert '  d-site: "site-a"\n' in text
    assert "1970-01-02 balance Assets:Provider:Gz:Due  1.519000 ~ 0 CNY\n" in text
    assert text.count(" open ") == 4


def test_beancount_strings_cannot_break_out(sealed):
    text = "".join(beancount(sealed([grant("lab", 5, "k", memo='" \\" 2020-01-01 close X')])))
    assert '"\\" \\\\\\" 2020-01-01 close X"' in text


@pytest.fixture
def bean_check(tmp_path):
    if find_spec("beancount") is None:
        pytest.skip("beancount is not installed: pip install beancount")

    def check(text: str) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "ledger.beancount"
        file.write_text(text, encoding="utf-8")
        command = [sys.executable, "-m", "beancount.scripts.check", "--no-cache", str(file)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return check


def test_bean_check_agrees(story, sealed, bean_check):
    odd = [grant("team-a", 5, "1", memo='"\\x'), grant("Lab 贵安", 7, "2", commodity="CARD-HOUR")]
    done = bean_check("".join(beancount([*story, *sealed(odd, story[-1])[1:]])))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("10.000000 CNY", "10.000001 CNY"),
        ("1.519000 ~ 0 CNY", "1.519001 ~ 0 CNY"),
        ("1970-01-01 open Equity:Hub:Grants", ""),
    ],
)
def test_bean_check_sees_a_millionth(story, bean_check, old, new):
    text = "".join(beancount(story))
    assert old in text
    assert bean_check(text.replace(old, new, 1)).returncode != 0
