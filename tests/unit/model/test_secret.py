"""A secret is shown by nothing that prints, formats, encodes or copies."""

import copy
import json
import pickle

import msgspec
import pytest

from fenglin.model.secret import LEAST_HIDDEN, Secret, redacted
from fenglin.ports.driver import StartOrder

VALUE = 's3cr3t-"9f3a\\71'


class Holder(msgspec.Struct):
    """Holds a secret beside something else."""

    name: str
    value: Secret


@pytest.mark.parametrize(
    "show",
    [
        repr, str, "{}".format, "%s".__mod__, "{0!r}".format, lambda one: f"{one!s:>9}",
        lambda one: repr([one]), lambda one: repr({"a": (one,)}),
        lambda one: repr(Holder("x", one)), lambda one: str(vars(type(one))),
    ],
)  # fmt: skip
def test_no_text_of_it_holds_it(show):
    text = show(Secret(VALUE))

    assert "s3cr3t" not in text
    assert "9f3a" not in text


@pytest.mark.parametrize(
    "write",
    [
        json.dumps, msgspec.json.encode, msgspec.msgpack.encode, pickle.dumps, copy.copy,
        lambda one: msgspec.json.encode(Holder("x", one)),
        lambda one: pickle.dumps({"a": one}),
    ],
)  # fmt: skip
def test_nothing_writes_it(write):
    with pytest.raises(TypeError) as caught:
        write(Secret(VALUE))

    assert "s3cr3t" not in str(caught.value)


def test_who_needs_it_says_so():
    assert Secret(VALUE).reveal() == VALUE
    assert Secret(VALUE) == Secret(VALUE)
    assert Secret(VALUE) != Secret("other")
    assert Secret(VALUE) != VALUE
    assert not hasattr(Secret(VALUE), "__dict__")
    assert "secrets" in StartOrder.__struct_fields__


@pytest.mark.parametrize(
    "text",
    [f"no {VALUE} today", f"bad: {VALUE!r}", json.dumps({"a": VALUE}), VALUE * 3],
)
def test_words_that_quote_it_are_cleaned(text):
    cleaned = redacted(text, [Secret("s3cr3t-"), Secret(VALUE)])

    assert "9f3a" not in cleaned
    assert "***" in cleaned


def test_short_values_and_other_words_are_left():
    short = "x" * (LEAST_HIDDEN - 1)

    assert redacted(f"axe {short} and tea", [Secret(short), Secret("not there at all")]) == (
        f"axe {short} and tea"
    )
    assert redacted("nothing", []) == "nothing"
