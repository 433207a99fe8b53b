"""Tokens: known by their hash alone, and soon forgotten when revoked."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fenglin.engine.tokens import CACHE_MS, Tokens, digest_of, new_token, well_formed
from fenglin.errors import DeniedError
from fenglin.ports.hub import Principal


class Store:
    def __init__(self):
        self.rows = {}
        self.asked = 0
        self.written = []

    async def add_token(self, token):
        self.written.append(token)
        self.rows[token.digest] = Principal(token.name, frozenset(token.scopes.split()))

    async def token(self, digest):
        self.asked += 1
        return self.rows.get(digest)


@pytest.fixture
def tokens(clock):
    store = Store()
    return Tokens(store, clock), store


def test_new_tokens_are_well_formed_and_differ():
    made = {new_token() for _ in range(100)}
    assert len(made) == 100
    assert all(well_formed(token) for token in made)


@given(st.integers(0, 41), st.sampled_from("abcxyz234567é"))
def test_a_changed_letter_is_noticed_without_a_look(at, letter):
    token = new_token()
    changed = token[:at] + letter + token[at + 1 :]
    assert well_formed(changed) == (changed == token)


@given(st.text(max_size=60))
def test_other_text_is_no_token(text):
    assert not well_formed(text)


def test_only_the_hash_is_kept(tokens):
    desk, store = tokens
    token = new_token()
    asyncio.run(desk.add(token, "ann", "read write", ""))
    (row,) = store.written
    assert row.digest == digest_of(token)
    assert token not in repr(row)
    assert token[4:] not in repr(row)
    assert asyncio.run(desk.holder(token)).scopes == {"read", "write"}


def test_a_revoked_token_stops_within_the_cache_time(tokens, clock):
    desk, store = tokens
    token = new_token()
    asyncio.run(desk.add(token, "ann", "read", ""))
    for _ in range(3):
        asyncio.run(desk.holder(token))
    assert store.asked == 1
    store.rows.clear()
    clock.advance(CACHE_MS)
    with pytest.raises(DeniedError) as caught:
        asyncio.run(desk.holder(token))
    assert caught.value.http_status == 401
    assert CACHE_MS < 5_000  # S5


def test_a_refusal_is_never_cached(tokens):
    desk, _ = tokens
    token = new_token()
    with pytest.raises(DeniedError):
        asyncio.run(desk.holder(token))
    asyncio.run(desk.add(token, "ann", "read", ""))
    assert asyncio.run(desk.holder(token)).name == "ann"


def test_garbage_costs_no_look(tokens):
    desk, store = tokens
    for text in ("", "fgl_", "x" * 10**6, "fgl_é" + "a" * 37):
        with pytest.raises(DeniedError):
            asyncio.run(desk.holder(text))
    assert store.asked == 0
