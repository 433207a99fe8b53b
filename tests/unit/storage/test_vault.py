"""Secrets and the possession of files, as both databases keep them."""

import pytest

from fenglin.errors import LimitError, StaleEpochError
from fenglin.ports.vault import Sealed, SecretId, SecretRecord
from fenglin.storage.possession import SqlitePossession
from fenglin.storage.vault import SqliteSecrets

SHA, OTHER = "ab" * 32, "cd" * 32


def sealing(data=b"sealed"):
    return lambda of: SecretRecord(of, Sealed("k1", b"n" * 12, data), 7, "ann")


def put(here, secrets, account, name, data=b"sealed", most=10):
    return secrets.put(here.epoch, account, name, sealing(data), most)


def test_a_secret_is_stored_as_it_was_sealed(desk):
    async def scene(here):
        secrets = SqliteSecrets(here.store)
        first = await put(here, secrets, "lab", "db")
        again = await put(here, secrets, "lab", "db", b"other")
        await put(here, secrets, "team", "db")
        return first, again, await secrets.find("lab", ["db", "none"]), await secrets.list("")

    first, again, found, everything = desk(scene)

    assert (first.id, again.id) == (SecretId("lab", "db", 1), SecretId("lab", "db", 2))
    assert found == {"db": again}
    assert found["db"].sealed == Sealed("k1", b"n" * 12, b"other")
    assert [one.id[:2] for one in everything] == [("lab", "db"), ("team", "db")]


def test_a_removed_secret_is_gone_once(desk):
    async def scene(here):
        secrets = SqliteSecrets(here.store)
        await put(here, secrets, "lab", "db")
        foreign = await secrets.remove(here.epoch, "team", "db")
        gone = await secrets.remove(here.epoch, "lab", "db")
        return foreign, gone, await secrets.remove(here.epoch, "lab", "db"), await secrets.list("")

    foreign, gone, again, left = desk(scene)

    assert (foreign, again, left) == (None, None, [])
    assert gone.id == SecretId("lab", "db", 1)


def test_an_account_has_no_more_than_it_may(desk):
    async def scene(here):
        secrets = SqliteSecrets(here.store)
        await put(here, secrets, "lab", "a", most=1)
        await put(here, secrets, "lab", "a", most=1)
        await put(here, secrets, "team", "a", most=1)
        with pytest.raises(LimitError, match="has 1 secrets"):
            await put(here, secrets, "lab", "b", most=1)

    desk(scene)


def test_a_former_leader_stores_nothing(desk):
    async def scene(here):
        secrets, possession = SqliteSecrets(here.store), SqlitePossession(here.store)
        with pytest.raises(StaleEpochError):
            await secrets.put(here.epoch - 1, "lab", "a", sealing(), 9)
        with pytest.raises(StaleEpochError):
            await possession.note(here.epoch - 1, "lab", SHA, 1)
        return await secrets.list(""), await possession.held("lab", [SHA])

    assert desk(scene) == ([], frozenset())


def test_a_file_is_of_those_who_sent_it(desk):
    async def scene(here):
        possession = SqlitePossession(here.store)
        for account in ("lab", "lab", "team"):
            await possession.note(here.epoch, account, SHA, 1)
        await possession.note(here.epoch, "team", OTHER, 1)
        many = [f"{number:064x}" for number in range(1_200)]
        return [
            await possession.held(account, [*many, SHA, OTHER])
            for account in ("lab", "team", "third")
        ]

    assert desk(scene) == [{SHA}, {SHA, OTHER}, frozenset()]
