"""Answers of sites' servers: whole, or line by line, and never beyond a size."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fenglin.errors import DriverError
from fenglin.remote.answers import lines, whole

MOST = 1_000


async def sent(pieces, count=None):
    """Send pieces; count how many were taken."""
    for piece in pieces:
        if count is not None:
            count.append(piece)
        yield piece


def split(pieces, count=None):
    """Return the lines that pieces make."""

    async def read():
        return [line async for line in lines(sent(pieces, count), "site k")]

    return asyncio.run(read())


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr("fenglin.remote.answers.MOST_BYTES", MOST)


@given(st.lists(st.binary(max_size=20).map(lambda one: one.replace(b"\x00", b"\n"))))
def test_lines_are_those_of_the_whole(pieces):
    told = asyncio.run(whole(sent(pieces), "site k", effect_unknown=False))
    assert told == b"".join(pieces)
    wanted = told.split(b"\n")
    assert split(pieces) == (wanted if wanted[-1] else wanted[:-1])


@pytest.mark.usefixtures("small")
def test_a_line_without_end_is_given_up():
    """Attack 103."""
    taken = []
    with pytest.raises(DriverError, match="line is longer than") as caught:
        split([b"x" * 100] * 10_000, taken)
    assert len(taken) == MOST // 100 + 1
    assert caught.value.where == "site k"


@pytest.mark.usefixtures("small")
def test_lines_may_go_on_for_ever():
    assert split([b"x" * 99 + b"\n"] * MOST) == [b"x" * 99] * MOST


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("unknown", [True, False])
def test_an_answer_beyond_the_size_is_given_up(unknown):
    """Attack 103."""
    taken = []
    fits = [b"x" * 100] * (MOST // 100)
    assert len(asyncio.run(whole(sent(fits), "site k", effect_unknown=unknown))) == MOST
    with pytest.raises(DriverError, match="answer is longer than") as caught:
        asyncio.run(whole(sent([*fits, *fits], taken), "site k", effect_unknown=unknown))
    assert len(taken) == len(fits) + 1
    assert caught.value.effect_unknown is unknown
