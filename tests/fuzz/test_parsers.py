"""No text makes a parser fall over: what comes out is a value or an error of ours.

Texts are drawn by spoiling good ones, which lie in `corpus/PARSER/`. A text that made a parser
fall over once is kept there as `crash-*`, and read again first, every time.
"""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz.parsers import PARSERS

from fenglin.errors import FenglinError

CORPUS = Path(__file__).parent / "corpus"
EXAMPLES = 25
LONGEST = 20_000
TOKENS = [
    b"", b"0", b"-1", b"1e999", b"NaN", b"inf", b"9" * 20, b"9" * 5_000, b"0x10", b"1_0",
    b"0.0000001", b"9223372036854775808", b"\xef\xbc\x91", b"\xd9\xa1", b"\xc2\xb2", b"\x00",
    b"\xff", b"\xed\xa0\x80", b"\xe2\x80\xae", b"\xe2\x80\xa8", b"\r", b"\n", b"\r\n", b"\t",
    b'"', b"'", b"\\", b"\\u0000", b"\\ud800", b"{", b"}", b"[", b"]", b"[[", b"[" * 2_000,
    b'{"a":' * 500, b":", b",", b"|", b"=", b"&", b"*a", b"&a ", b"!!python/object:x ",
    b"<<: *a", b"---\n", b"# ", b"%", b"%00", b"%ff", b"+08:00", b"0001-01-01",
    b"9999-12-31T23:59:59Z", b"2027-02-30", b"null", b"true", b"../", b"$(x)", b"x" * 4_000,
]  # fmt: skip
EDIT = st.tuples(
    st.sampled_from(["insert", "replace", "cut", "double", "number"]),
    st.integers(0, 10_000), st.integers(0, 40), st.sampled_from(TOKENS),
)  # fmt: skip


def seeds(name):
    """Return the good texts of a parser."""
    found = sorted((CORPUS / name).glob("good-*"))
    return [path.read_bytes() for path in found] or [b""]


def spoil(data, edits):
    """Return a text with some places changed."""
    for kind, place, length, token in edits:
        at = place * (len(data) + 1) // 10_001
        end = at + length
        if kind == "insert":
            data = data[:at] + token + data[at:]
        elif kind == "replace":
            data = data[:at] + token + data[end:]
        elif kind == "cut":
            data = data[:at] + data[end:]
        elif kind == "double":
            data = data[:end] + data[at:end] + data[end:]
        else:
            digits = [i for i, byte in enumerate(data) if chr(byte).isdigit()]
            if digits:
                spot = digits[place % len(digits)]
                data = data[:spot] + token + data[spot + 1 :]
    return data[:LONGEST]


def take(name, data):
    """Parse; only errors of ours may come out."""
    with suppress(FenglinError):
        PARSERS[name](data)


@pytest.mark.parametrize("name", PARSERS)
def test_good_texts_are_taken(name):
    """The seeds are good, so that what is drawn reaches further than the first line."""
    for data in seeds(name):
        if data:
            PARSERS[name](data)


@pytest.mark.parametrize(
    "path", sorted(CORPUS.glob("*/crash-*")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_past_crashers(path):
    take(path.parent.name, path.read_bytes())


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=EXAMPLES, derandomize=True, database=None, deadline=None)
@given(data=st.data())
def test_spoilt_texts(name, data):
    seed = data.draw(st.sampled_from(seeds(name)))
    take(name, spoil(seed, data.draw(st.lists(EDIT, min_size=1, max_size=5))))


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=EXAMPLES // 2, derandomize=True, database=None, deadline=None)
@given(data=st.binary(max_size=200) | st.lists(st.sampled_from(TOKENS), max_size=8).map(b"".join))
def test_noise(name, data):
    take(name, data)


def test_the_corpus_belongs_to_parsers():
    assert {path.name for path in CORPUS.iterdir()} <= set(PARSERS)
    assert len([name for name in PARSERS if seeds(name) != [b""]]) == len(PARSERS)
