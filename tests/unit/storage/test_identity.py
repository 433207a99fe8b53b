"""Tokens, as both databases keep them."""

import pytest

from fenglin.errors import ConflictError, StaleEpochError
from fenglin.ports.identity import NewToken
from fenglin.storage.identity import SqliteIdentity

NOW_MS = 1_700_000_000_000


def token(at, account="lab", expires_ms=0):
    return NewToken(
        digest=bytes([at]) * 32, name=f"n{at}", role="member", scopes="read write",
        account=account, party="", maker="ada", created_ms=NOW_MS, expires_ms=expires_ms,
    )  # fmt: skip


def test_what_is_kept_comes_back(desk):
    async def scene(here):
        room = SqliteIdentity(here.store)
        assert not await room.any()
        made = await room.add(here.epoch, token(1))
        assert made.number == 1
        assert await room.any()
        assert await room.find(bytes([1]) * 32) == made
        assert await room.find(bytes(32)) is None
        assert await room.add(here.epoch, token(1)) == made
        await room.used(here.epoch, 1, NOW_MS + 7)
        assert (await room.find(bytes([1]) * 32)).used_ms == NOW_MS + 7

    desk(scene)


def test_an_account_sees_its_own_rows(desk):
    async def scene(here):
        room = SqliteIdentity(here.store)
        for at, account in ((1, "lab"), (2, "lab-2"), (3, "lab")):
            await room.add(here.epoch, token(at, account))
        assert [row.number for row in await room.page("lab", 0, 9)] == [1, 3]
        assert [row.number for row in await room.page("", 1, 1)] == [2]

    desk(scene)


def test_what_is_no_longer_live_is_not_replaced(desk):
    async def scene(here):
        room = SqliteIdentity(here.store)
        await room.add(here.epoch, token(1))
        made = await room.replace(here.epoch, 1, token(2), NOW_MS + 5)
        assert made.number == 2
        assert (await room.page("", 0, 1))[0].expires_ms == NOW_MS + 5
        await room.revoke(here.epoch, 1, NOW_MS + 1)
        assert await room.replace(here.epoch, 1, token(2), NOW_MS + 5) == made
        with pytest.raises(ConflictError):
            await room.replace(here.epoch, 1, token(3), NOW_MS + 5)
        assert len(await room.page("", 0, 9)) == 2

    desk(scene)


def test_a_former_leader_makes_no_token(desk):
    async def scene(here):
        room = SqliteIdentity(here.store)
        for act in (
            room.add(here.epoch - 1, token(1)),
            room.revoke(here.epoch - 1, 1, NOW_MS),
            room.used(here.epoch - 1, 1, NOW_MS),
        ):
            with pytest.raises(StaleEpochError):
                await act
        assert not await room.any()

    desk(scene)
