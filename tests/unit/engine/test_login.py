"""Logging in: the first rule that fits decides, and an ID token serves one token only."""

import asyncio

import pytest

from fenglin.engine.login import LoginDesk
from fenglin.engine.tokens import Tokens, new_token
from fenglin.errors import DeniedError, InputError, NotFoundError
from fenglin.model.role import LoginSettings, RoleRule
from fenglin.storage.identity import SqliteIdentity
from fenglin.storage.store import SqliteStore
from fenglin.wire.login_views import LoginAsk, nonce_of
from fenglin.wire.token_text import digest_of

HOUR_MS = 3_600_000
RULES = (
    RoleRule(claim="groups", value="ops", role="operator"),
    RoleRule(claim="groups", value="books", role="auditor"),
    RoleRule(claim="email", value="chief@lab", role="tenant-admin", account="lab"),
    RoleRule(claim="staff", value="yes", role="member", account_claim="unit"),
    RoleRule(claim="groups", value="gz", role="provider", party="gz"),
)
SETTINGS = LoginSettings(
    issuer="https://id.example", client_id="fenglin", session_ms=8 * HOUR_MS, rules=RULES
)


class Issuer:
    """Believes one pair of ID token and nonce."""

    def __init__(self):
        self.known = {}

    async def claims(self, id_token, nonce):
        if self.known.get(id_token, ("",))[0] != nonce:
            raise DeniedError("not believed", http_status=401)
        return self.known[id_token][1]


@pytest.fixture
def room(tmp_path, clock):
    """Return a function: claims of a person → (the token's view, its principal)."""
    with asyncio.Runner() as runner:

        async def begin():
            store = SqliteStore(tmp_path / "fenglin.db")
            return store, await store.load((), clock.now_ms())

        store, loaded = runner.run(begin())
        identity = SqliteIdentity(store)
        issuer = Issuer()
        accounts = frozenset({"lab", "team"})
        desk = LoginDesk(SETTINGS, issuer, identity, clock, lambda: loaded.epoch, accounts)
        tokens = Tokens(identity, clock, lambda: loaded.epoch)

        def enter(claims, *, text="", proof="a.b.c", nonce=""):
            text = text or new_token()
            digest = digest_of(text).hex()
            issuer.known[proof] = (nonce or nonce_of(digest), {"sub": "u1", **claims})
            view = runner.run(desk.enter(LoginAsk(id_token=proof, digest=digest)))
            return view, runner.run(tokens.holder(text))

        enter.desk = desk
        enter.clock = clock
        enter.holder = lambda text: runner.run(tokens.holder(text))
        yield enter
        runner.run(store.close())


@pytest.mark.parametrize(
    ("claims", "role", "account"),
    [
        ({"groups": ["x", "ops"]}, "operator", ""),
        ({"groups": ["ops", "books"]}, "operator", ""),
        ({"groups": "books"}, "auditor", ""),
        ({"email": "chief@lab"}, "tenant-admin", "lab"),
        ({"staff": "yes", "unit": "team"}, "member", "team"),
    ],
)
def test_the_first_rule_that_fits_decides(room, claims, role, account):
    view, holder = room(claims)
    assert (view.role, view.account, holder.account) == (role, account, account)
    assert view.expires_ms - view.created_ms == 8 * HOUR_MS
    assert view.maker == "login:u1"


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"groups": ["op", "opss", "OPS"]},
        {"groups": {"ops": 1}},
        {"groups": 7},
        {"email": ["chief@labs"]},
        {"staff": "yes"},
        {"staff": "yes", "unit": "gone"},
        {"staff": "yes", "unit": ["lab"]},
        {"staff": "yes", "unit": ""},
    ],
)
def test_who_fits_none_does_not_get_in(room, claims):
    with pytest.raises(DeniedError, match="nothing here is open to you") as caught:
        room(claims)
    assert caught.value.http_status == 403


def test_a_name_is_the_best_there_is(room):
    names = {"preferred_username": "ann", "email": "a@lab", "groups": ["ops"]}
    assert room(names)[0].name == "ann"
    assert room({**names, "preferred_username": "a\nb"})[0].name == "a@lab"
    assert room({"groups": ["ops"]})[0].name == "u1"
    with pytest.raises(DeniedError):
        room({"groups": ["ops"], "sub": 7})


def test_an_id_token_that_was_seen_is_of_no_use(room):
    """Attack 16: it belongs to the hash of one token, whose text nobody else has."""
    text = new_token()
    room({"groups": ["ops"]}, text=text, proof="seen")
    digest = digest_of(new_token()).hex()
    with pytest.raises(DeniedError):
        asyncio.run(room.desk.enter(LoginAsk(id_token="seen", digest=digest)))


def test_the_same_login_again_makes_nothing(room):
    text = new_token()
    first, _ = room({"groups": ["ops"]}, text=text)
    again, _ = room({"groups": ["ops"]}, text=text)
    assert (first.id, first.created_ms) == (again.id, again.created_ms)


def test_a_login_ends(room):
    text = new_token()
    room({"groups": ["ops"]}, text=text)
    room.clock.advance(8 * HOUR_MS)
    with pytest.raises(DeniedError):
        room.holder(text)


def test_a_hash_that_is_none(room):
    with pytest.raises(InputError, match="no SHA-256"):
        asyncio.run(room.desk.enter(LoginAsk(id_token="a.b.c", digest="x")))


def test_a_hub_without_a_provider(clock):
    desk = LoginDesk(None, None, None, clock, lambda: 1, frozenset())
    with pytest.raises(NotFoundError, match="no OpenID provider"):
        desk.settings()
    with pytest.raises(NotFoundError):
        asyncio.run(desk.enter(LoginAsk(id_token="a", digest="b")))
