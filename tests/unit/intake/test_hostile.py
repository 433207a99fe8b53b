"""Hostile texts end in an ordinary refusal, whatever the reader; pytest's timeout bounds them."""

from __future__ import annotations

import pytest

from fenglin.errors import FenglinError, InputProblems
from fenglin.intake import native

NOW_MS = 1_700_000_000_000
NINE = ",".join(["*{0}"] * 9)
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{NINE.format(old)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)

TEXTS = {
    "alias bomb": BOMB,
    "brackets 6k": "[" * 6_000,
    "brackets 200k": "[" * 200_000,
    "braces 200k": '{"a":' * 200_000,
    "dashes": "- " * 100_000,
    "question marks": "? " * 100_000,
    "closed brackets": "[" * 100_000 + "]" * 100_000,
    "long int": "tasks: " + "9" * 5_000,
    "long json int": '{"name":"x","command":["a"],"tasks":' + "9" * 5_000 + "}",
    "long toml int": "tasks = " + "9" * 5_000,
    "long float": '{"tasks": 0.' + "9" * 500_000 + "}",
    "dotted toml": "a" + ".a" * 100_000 + " = 1",
    "dotted header": "[" + "a." * 100_000 + "a]",
    "dotted inline": "q = {" + "a." * 100_000 + "a = 1}",
    "toml brackets": "a = " + "[" * 200_000,
    "toml braces": "a = " + "{a=" * 100_000,
    "many documents": "--- 1\n" * 3_000,
    "many anchors": "".join(f"k{i}: &a{i} 1\n" for i in range(5_000)),
    "many keys": "".join(f"key{i}: 1\n" for i in range(5_000)),
    "same key": "a: 1\n" * 10_000,
    "many similar keys": "".join(f"timeou{i}: 1\n" for i in range(3_000)),
    "long key": "x" * 500_000 + ": 1",
    "long string": '"' + "\\u0041" * 50_000 + '"',
    "backslashes": '"' + "\\" * 500_001,
    "quotes": '"' * 500_000,
    "percent": "%" * 100_000,
    "python tag": "!!python/object/apply:os.system [true]",
    "control": "".join(map(chr, range(32))),
}


@pytest.mark.slow
@pytest.mark.parametrize("format_name", ["yaml", "json", "toml"])
@pytest.mark.parametrize("name", TEXTS)
def test_files(name: str, format_name: str) -> None:
    with pytest.raises(FenglinError) as caught:
        native.check_documents(native.read_file_text(TEXTS[name], "job", format_name), NOW_MS)
    if isinstance(caught.value, InputProblems):
        assert 0 < len(caught.value.problems) <= 200
        assert all(len(p.what) < 500 and len(p.path) < 200 for p in caught.value.problems)


@pytest.mark.parametrize("name", TEXTS)
def test_bodies(name: str) -> None:
    body = TEXTS[name].encode()
    with pytest.raises(FenglinError):
        native.decode_json(body, NOW_MS)
    with pytest.raises(FenglinError):
        native.decode_batch(body, NOW_MS)


@pytest.mark.slow
def test_too_many_values_are_refused_while_reading() -> None:
    with pytest.raises(InputProblems) as caught:
        native.read_file_text("[" + "1," * 400_000 + "1]", "job.json")
    assert "more than 100000 values" in caught.value.problems[0].what


def test_the_alias_bomb_is_recognised_as_one() -> None:
    with pytest.raises(InputProblems, match="1 problem") as caught:
        native.read_file_text(BOMB, "job.yaml")
    assert "more than 100000 values" in caught.value.problems[0].what


def test_an_item_of_a_batch_may_not_be_longer_than_a_document() -> None:
    item = b'{"name":"x","command":["a"]' + b" " * 2**20 + b"}"
    for body in (b"[" + item + b"]", item):
        with pytest.raises(FenglinError, match="at most 1048576"):
            native.decode_batch(body, NOW_MS)
