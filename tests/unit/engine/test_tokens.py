"""Tokens: known by their hash alone, and soon forgotten when revoked."""

import asyncio
import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fenglin.engine.identity import LONGEST_GRACE_MS, LONGEST_TTL_MS, TokenDesk
from fenglin.engine.tokens import CACHE_MS, USE_STEP_MS, Tokens, new_token
from fenglin.errors import ConflictError, DeniedError, InputError, NotFoundError
from fenglin.ports.hub import Principal
from fenglin.storage.identity import SqliteIdentity
from fenglin.storage.store import SqliteStore
from fenglin.wire.token_text import digest_of, token_text, well_formed
from fenglin.wire.token_views import RotateAsk, TokenAsk

DAY_MS = 86_400_000


class Room:
    """Tokens over a real store, call by call."""

    def __init__(self, path, clock):
        self.runner = asyncio.Runner()
        self.clock = clock
        self.store = self.run(self._open(path))
        self.epoch = self.run(self.store.load((), clock.now_ms())).epoch
        self.identity = SqliteIdentity(self.store)
        self.tokens = Tokens(self.identity, clock, lambda: self.epoch)
        self.desk = TokenDesk(
            self.identity, clock, lambda: self.epoch, frozenset({"lab", "team", "team-a"})
        )
        self.admin = new_token()
        self.run(self.tokens.first(self.admin))

    async def _open(self, path):
        return SqliteStore(path)

    def run(self, work):
        return self.runner.run(work)

    def who(self, token):
        return self.run(self.tokens.holder(token))

    def make(self, by=None, **ask):
        text = new_token()
        ask = {"name": "ann", "digest": digest_of(text).hex(), **ask}
        view = self.run(self.desk.make(TokenAsk(**ask), by or self.who(self.admin)))
        return text, view

    def later(self, wait_ms):
        self.clock.advance(wait_ms)

    def close(self):
        try:
            self.run(self.store.close())
        finally:
            self.runner.close()


@pytest.fixture
def room(tmp_path, clock):
    made = Room(tmp_path / "fenglin.db", clock)
    yield made
    made.close()


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


def test_the_first_is_an_operators(room):
    assert room.who(room.admin) == Principal(
        "admin", frozenset({"admin"}), role="operator", token=1
    )


def test_only_the_hash_is_kept(room, tmp_path):
    text, _ = room.make(account="lab")
    assert room.who(text).account == "lab"
    room.run(room.store.close())
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert digest_of(text) in held
    assert text.encode() not in held
    assert text[4:].encode() not in held


def test_a_revoked_token_stops_within_the_cache_time(room):
    text, view = room.make(account="lab")
    room.who(text)
    gone = room.run(room.desk.revoke(view.id, room.who(room.admin)))
    assert not gone.live
    room.later(CACHE_MS)
    with pytest.raises(DeniedError) as caught:
        room.who(text)
    assert caught.value.http_status == 401
    assert CACHE_MS < 5_000  # S5
    again = room.run(room.desk.revoke(view.id, room.who(room.admin)))
    assert again.revoked_ms == gone.revoked_ms


def test_a_token_ends_when_its_time_is_over(room):
    text, view = room.make(account="lab", ttl_ms=DAY_MS)
    assert view.expires_ms == view.created_ms + DAY_MS
    room.later(DAY_MS - 1)
    room.who(text)
    room.later(CACHE_MS)
    with pytest.raises(DeniedError):
        room.who(text)


def test_a_refusal_is_never_cached(room):
    text = new_token()
    with pytest.raises(DeniedError):
        room.who(text)
    room.make(digest=digest_of(text).hex(), account="lab")
    assert room.who(text).name == "ann"


class Watched:
    """An identity store that notes what it is asked."""

    def __init__(self, identity):
        self.identity = identity
        self.asked = []

    def __getattr__(self, name):
        def ask(*given):
            self.asked.append((name, *given))
            return getattr(self.identity, name)(*given)

        return ask


def test_a_bad_token_costs_the_same_whatever_it_was(room):
    """Attack 19: time tells neither which tokens there were, nor a good one letter by letter."""
    expired, _ = room.make(account="lab", ttl_ms=1)
    revoked, view = room.make(account="lab")
    room.run(room.desk.revoke(view.id, room.who(room.admin)))
    room.later(CACHE_MS)
    near = bytearray(base64.b32decode(room.admin[4:36].upper()))
    near[-1] ^= 1
    watched = Watched(room.identity)
    tokens = Tokens(watched, room.clock, lambda: room.epoch)
    for text in (new_token(), expired, revoked, token_text(bytes(near)), expired, revoked):
        watched.asked.clear()
        with pytest.raises(DeniedError) as caught:
            room.run(tokens.holder(text))
        # One look by the hash, in which near tokens share nothing; no write, and no memory of it.
        assert watched.asked == [("find", digest_of(text))]
        assert caught.value.http_status == 401


@pytest.mark.parametrize("text", ["", "fgl_", "x" * 10**6, "fgl_é" + "a" * 37])
def test_garbage_is_refused(room, text):
    with pytest.raises(DeniedError):
        room.who(text)


def test_the_last_use_is_kept_to_the_hour(room):
    text, view = room.make(account="lab")
    assert view.used_ms == 0
    room.who(text)
    first = room.run(room.desk.own(room.who(text))).used_ms
    assert first > 0
    room.later(USE_STEP_MS - 1)
    assert room.run(room.desk.own(room.who(text))).used_ms == first
    room.later(CACHE_MS)
    assert room.run(room.desk.own(room.who(text))).used_ms > first


def test_the_same_ask_again_makes_nothing(room):
    text, view = room.make(account="lab")
    again = room.make(account="lab", digest=digest_of(text).hex())[1]
    assert again == view
    with pytest.raises(ConflictError, match="a token of this hash"):
        room.make(account="team", digest=digest_of(text).hex())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ask", "error", "words"),
    [
        ({"role": "king"}, InputError, "is no role"),
        ({}, InputError, "needs its account"),
        ({"account": "gone"}, NotFoundError, "no such account"),
        ({"role": "operator", "account": "lab"}, InputError, "has no account"),
        ({"role": "provider"}, InputError, "needs the provider"),
        ({"role": "agent"}, InputError, "needs the site"),
        ({"account": "lab", "party": "gz"}, InputError, "has no party"),
        ({"account": "lab", "name": ""}, InputError, "needs its name"),
        ({"account": "lab", "name": "a\nb"}, InputError, "cannot be printed"),
        ({"account": "lab", "name": "a" * 129}, InputError, "longer than 128"),
        ({"account": "lab", "ttl_ms": LONGEST_TTL_MS + 1}, InputError, "ten years"),
        ({"account": "lab", "ttl_ms": -1}, InputError, "ten years"),
        ({"account": "lab", "digest": "ab"}, InputError, "no SHA-256"),
        ({"account": "lab", "digest": "G" * 64}, InputError, "no SHA-256"),
    ],
)
def test_what_cannot_be_made(room, ask, error, words):
    with pytest.raises(error, match=words):
        room.make(**ask)
    assert len(room.run(room.desk.page(room.who(room.admin), after=0, limit=9)).items) == 1


def test_an_accounts_administrator_keeps_to_its_own(room):
    """`team` and `team-a` have a beginning in common (attack 37)."""
    text, _ = room.make(role="tenant-admin", account="team")
    chief = room.who(text)
    _, near = room.make(account="team-a")
    _, own = room.make(by=chief, role="viewer")
    assert own.account == "team"
    assert {one.account for one in room.run(room.desk.page(chief, after=0, limit=99)).items} == {
        "team"
    }
    for role in ("operator", "auditor", "provider", "agent"):
        with pytest.raises(DeniedError):
            room.make(by=chief, role=role, party="x" if role in {"provider", "agent"} else "")
    with pytest.raises(NotFoundError) as foreign:
        room.make(by=chief, account="team-a")
    with pytest.raises(NotFoundError) as missing:
        room.make(by=chief, account="gone")
    assert str(foreign.value) == str(missing.value)
    for act in (
        room.desk.revoke(near.id, chief),
        room.desk.rotate(near.id, RotateAsk(digest="0" * 64), chief),
        room.desk.revoke("t1", chief),
        room.desk.revoke("t999", chief),
    ):
        with pytest.raises(NotFoundError, match="there is no token"):
            room.run(act)


@pytest.mark.parametrize("role", ["member", "viewer"])
def test_others_have_their_own_only(room, role):
    text, view = room.make(role=role, account="lab")
    me = room.who(text)
    assert room.run(room.desk.own(me)).id == view.id
    with pytest.raises(DeniedError):
        room.run(room.desk.page(me, after=0, limit=9))
    with pytest.raises(DeniedError):
        room.make(by=me, role="viewer")
    _, other = room.make(account="lab")
    with pytest.raises(DeniedError):
        room.run(room.desk.revoke(other.id, me))
    assert not room.run(room.desk.revoke(view.id, me)).live


@pytest.mark.parametrize("role", ["provider", "agent"])
def test_who_speaks_for_a_party_sees_nothing_else(room, role):
    text, _ = room.make(role=role, party="gz")
    me = room.who(text)
    assert me.party == "gz"
    assert me.may(role)
    assert not any(me.may(scope) for scope in ("read", "write", "tenant", "audit", "admin"))


def test_an_old_token_lives_beside_the_new_one_for_a_while(room):
    text, view = room.make(account="lab", ttl_ms=30 * DAY_MS)
    fresh = new_token()
    ask = RotateAsk(digest=digest_of(fresh).hex(), grace_ms=DAY_MS)
    made = room.run(room.desk.rotate(view.id, ask, room.who(text)))
    assert (made.name, made.role, made.account) == ("ann", "member", "lab")
    assert made.expires_ms - made.created_ms == 30 * DAY_MS
    assert room.run(room.desk.rotate(view.id, ask, room.who(text))) == made
    room.later(DAY_MS)
    assert room.who(fresh).token != view.id
    with pytest.raises(DeniedError):
        room.who(text)
    with pytest.raises(ConflictError, match="no longer live"):
        room.run(room.desk.rotate(view.id, RotateAsk(digest="0" * 64), room.who(room.admin)))


def test_a_rotation_never_lengthens_the_old_one(room):
    text, view = room.make(account="lab", ttl_ms=DAY_MS)
    ask = RotateAsk(digest=digest_of(new_token()).hex(), grace_ms=2 * DAY_MS)
    room.run(room.desk.rotate(view.id, ask, room.who(text)))
    assert room.run(room.desk.own(room.who(text))).expires_ms == view.expires_ms


def test_a_grace_has_its_bounds(room):
    for grace_ms in (-1, LONGEST_GRACE_MS + 1):
        with pytest.raises(InputError, match="30 days"):
            room.run(
                room.desk.rotate(
                    "t1", RotateAsk(digest="0" * 64, grace_ms=grace_ms), room.who(room.admin)
                )
            )


def test_the_last_operator_stays(room):
    me = room.who(room.admin)
    room.make(role="operator", name="guest", ttl_ms=DAY_MS)
    with pytest.raises(ConflictError, match="no operator"):
        room.run(room.desk.revoke("t1", me))
    room.make(role="operator", name="second")
    assert not room.run(room.desk.revoke("t1", me)).live


def test_pages(room):
    for _ in range(4):
        room.make(account="lab")
    me = room.who(room.admin)
    first = room.run(room.desk.page(me, after=0, limit=2))
    second = room.run(room.desk.page(me, after=first.next_after, limit=2))
    last = room.run(room.desk.page(me, after=second.next_after, limit=2))
    found = [one.id for page in (first, second, last) for one in page.items]
    assert found == ["t1", "t2", "t3", "t4", "t5"]
    assert last.next_after == 0


@pytest.mark.parametrize("token", ["", "7", "t0", "t07", "j7", "t" + "9" * 30])
def test_an_id_that_is_none(room, token):
    with pytest.raises(InputError, match="no token's id"):
        room.run(room.desk.revoke(token, room.who(room.admin)))


def test_a_hub_without_authentication_knows_no_own_token(room):
    with pytest.raises(NotFoundError, match="without a token"):
        room.run(room.desk.own(Principal("anonymous", frozenset({"admin"}))))
