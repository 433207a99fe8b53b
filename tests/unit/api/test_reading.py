"""Bodies of the smaller routes: what two readers could understand in two ways is refused."""

import pytest
from msgspec import Struct

from fenglin.api.reading import read_body
from fenglin.errors import InputError


class Ask(Struct, forbid_unknown_fields=True):
    """A body."""

    name: str = ""
    more: dict[str, object] = {}
    count: int = 0


def test_a_body():
    body = b'{"name": "a", "more": {"name": 1, "deep": [{"name": 2}, {"name": 3}]}, "count": 4}'
    assert read_body(body, Ask) == Ask("a", {"name": 1, "deep": [{"name": 2}, {"name": 3}]}, 4)


REFUSED = {
    "nothing": (b"", "truncated"),
    "cut": (b"{", "truncated"),
    "a list": (b"[]", "Expected `object`"),
    "an unknown key": (b'{"nmae": 1}', "nmae"),
    "twice": (b'{"name": "a", "name": "b"}', "the key 'name' comes twice"),
    "twice, once escaped": (b'{"name": "a", "\\u006eame": "b"}', "the key 'name' comes twice"),
    "twice, deep": (b'{"more": {"x": [{"y": 1, "y": 1}]}}', "the key 'y' comes twice"),
    "no UTF-8": (b'{"name": "\xff"}', "utf-8"),
    "a lone surrogate": (b'{"name": "\\ud800"}', "truncated"),
    "5000 digits": (b'{"count": ' + b"9" * 5_000 + b"}", "count"),
    "not a number": (b'{"more": {"x": NaN}}', "invalid character"),
    "nested maps": (b'{"more": ' + b'{"x":' * 100_000, "recursion"),
    "nested lists": (b'{"more": {"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}", "recursion"),
    "UTF-16": ('{"name": "a"}'.encode("utf-16"), "malformed"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case):
    body, words = REFUSED[case]
    with pytest.raises(InputError, match=words) as caught:
        read_body(body, Ask, what="no ask", where="there", hint="so")
    assert (caught.value.where, caught.value.hint) == ("there", "so")
    assert caught.value.what.startswith("no ask: ")
    assert len(caught.value.what) < 500
