"""`fenglin voucher`: what a rule file says, and what it decides; no hub is asked."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/how-to/run-a-voucher-scheme.md"
HANGZHOU = ROOT / "examples/vouchers/hangzhou.toml"


@pytest.fixture
def files(tmp_path):
    """The page's own rule file and applications."""
    blocks = re.findall(r"^```toml\n# (\S+)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    for name, text in blocks:
        (tmp_path / name).write_text(text)
    return tmp_path / "scheme.toml", tmp_path / "asked.toml"


def test_rules_show_their_documents_and_what_is_blank(fenglin):
    done = fenglin("voucher", "rules", HANGZHOU)
    assert done.code == 0, done.err
    assert "250000000.00 CNY" in done.out
    assert "20 % from 0 % domestic; 30 % from 100 % domestic" in done.out
    assert re.search(r"^paid_proof +- +no document", done.out, re.MULTILINE)
    said = json.loads(fenglin("voucher", "rules", HANGZHOU, "-o", "json").out)
    assert said["scheme"]["firm_cap_micro"] == 8_000_000_000_000
    assert "valid_days" in said["blanks"]


def test_what_has_no_limit_is_told(fenglin, files):
    text = files[0].read_text().replace('"200000"', '"none"').replace("180", '"none"')
    files[0].write_text(text.replace('"2026-01-01"', '"none"'))
    done = fenglin("voucher", "rules", files[0])
    for rule in ("firm_cap_micro", "valid_days", "signed_from"):
        assert re.search(rf"^{rule} +none ", done.out, re.MULTILINE)


def test_a_round_is_decided_as_the_page_says(fenglin, files):
    done = fenglin("voucher", "decide", *files)
    assert done.code == 0, done.err
    first, second = done.out.splitlines()[1:]
    assert "reduced" in first
    assert "110000.00 CNY" in first
    assert "not-paid, item-not-eligible" in first
    assert "refused" in second
    assert "related-parties" in second


def test_an_auditor_sees_every_step(fenglin, files):
    done = fenglin("voucher", "decide", *files, "--steps")
    assert "30 % of 300000.00 CNY; 20 % of 100000.00 CNY" in done.out
    rows = json.loads(fenglin("voucher", "decide", *files, "-o", "json").out)
    assert [step["reason"] for step in rows[0]["steps"]] == [
        "not-paid",
        "item-not-eligible",
        "ratio",
    ]
    assert [row["granted_micro"] for row in rows] == [110_000_000_000, 0]


def test_a_scheme_with_blanks_decides_nothing(fenglin, files):
    done = fenglin("voucher", "decide", HANGZHOU, files[1])
    assert done.code == 2
    assert "does not say: reservation, unrelated" in done.err


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ('"2026-03-02"', '"2026-3-2"', "application[1].signed"),
        ('"100 %"', '"half"', "application[0].line[0].domestic"),
        ('amount = "100000"', 'amount = "-1"', "application[1]"),
        ('paid = "100000"', 'paid = "much"', "application[1].paid"),
        ('amount = "200000"', 'amount = "2 USD"', "application[0].line[1].amount"),
        ("contract =", "contrakt =", "application[0]"),
        ("[[application]]", "[[application]", "line 1, column"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(fenglin, files, old, new, where):
    files[1].write_text(files[1].read_text().replace(old, new))
    done = fenglin("voucher", "decide", *files)
    assert (done.code, done.out) == (2, "")
    assert where in done.err


def test_an_id_that_is_there_twice_is_a_conflict(fenglin, files):
    files[1].write_text(files[1].read_text().replace('id = "2026-002"', 'id = "2026-001"'))
    done = fenglin("voucher", "decide", *files)
    assert (done.code, done.out) == (5, "")
    assert "2026-001" in done.err


def test_files_that_cannot_be_read_are_bad_input(fenglin, tmp_path):
    assert fenglin("voucher", "rules", tmp_path / "none.toml").code == 2
    (tmp_path / "x.toml").write_bytes(b"\xff")
    assert "not UTF-8" in fenglin("voucher", "rules", tmp_path / "x.toml").err
