"""A hub that does not lead: whom it lets in."""

import asyncio

import pytest

from fenglin.engine.meters import Meters
from fenglin.engine.quiet import QuietHub
from fenglin.engine.tokens import Tokens, new_token
from fenglin.errors import DeniedError, UnavailableError
from fenglin.storage.identity import SqliteIdentity
from fenglin.storage.store import SqliteStore


def test_nobody_is_refused_before_the_first_leader_has_made_a_token(tmp_path, clock):
    """Its file is there a moment before the database knows it."""

    async def scenario():
        store = SqliteStore(tmp_path / "fenglin.db")
        try:
            loaded = await store.load((), clock.now_ms())
            tokens = Tokens(SqliteIdentity(store), clock, lambda: loaded.epoch)
            quiet = QuietHub(store, tokens, Meters(), clock)
            first = new_token()
            with pytest.raises(UnavailableError, match="still starting"):
                await quiet.authenticate(first)
            await tokens.first(first)
            assert (await quiet.authenticate(first)).name == "admin"
            with pytest.raises(DeniedError):
                await quiet.authenticate(new_token())
        finally:
            await store.close()

    asyncio.run(scenario())
