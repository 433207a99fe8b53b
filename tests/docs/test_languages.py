"""The two READMEs say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = ("README.md", "README.zh-CN.md")


@pytest.fixture(scope="module")
def texts():
    return [(ROOT / name).read_text(encoding="utf-8") for name in NAMES]


def test_same_outline(texts):
    english, chinese = ([len(m) for m in re.findall(r"^(#+) ", t, re.MULTILINE)] for t in texts)
    assert english == chinese


def test_same_commands(texts):
    english, chinese = ([_commands(body) for body in _blocks(text)] for text in texts)
    assert english == chinese
    assert any(english)


def test_same_links(texts):
    english, chinese = (
        {link for link in re.findall(r"\]\(([^)]+)\)", text) if link not in NAMES} for text in texts
    )
    # The translation also points at the terms.
    assert english <= chinese
    assert chinese - english <= {"docs/explanation/glossary.md"}


def test_each_links_the_other(texts):
    english, chinese = texts
    assert "](README.zh-CN.md)" in english
    assert "](README.md)" in chinese


def test_same_tables(texts):
    english, chinese = (
        [line.count("|") for line in text.splitlines() if line.startswith("|")] for text in texts
    )
    assert english == chinese


def test_the_translation_keeps_to_the_glossary(texts):
    glossary = (ROOT / "docs/explanation/glossary.md").read_text(encoding="utf-8")
    for term in (
        "决策单",
        "站点",
        "作业",
        "任务",
        "成组",
        "冻结",
        "预留",
        "回填",
        "抢占",
        "清结算",
    ):
        assert term in texts[1], f"the translation avoids {term}"
        assert term in glossary, f"the glossary lacks {term}"


def _blocks(text):
    """Return the bodies of the shell blocks."""
    return re.findall(r"^```(?:console|bash)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def _commands(body):
    """Return the commands without their remarks, which are translated."""
    return [re.sub(r"\s+# .*", "", line) for line in body.splitlines()]
