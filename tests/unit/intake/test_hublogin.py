"""`[login]`: which blocks are taken, and what is said of the others."""

import pytest

from fenglin.errors import InputError
from fenglin.intake.hublogin import LoginBlock, RoleBlock, login_of

OPS = RoleBlock(claim="groups", value="ops", role="operator")


def block(**fields):
    return LoginBlock(**{"issuer": "https://id.example/realm", "role": (OPS,), **fields})


def test_a_block_is_taken_as_it_stands():
    made = login_of(
        block(
            session="2h",
            role=(OPS, RoleBlock(claim="unit", value="x", role="member", account_claim="unit")),
        )
    )
    assert (made.issuer, made.client_id) == ("https://id.example/realm", "fenglin")
    assert made.session_ms == 7_200_000
    assert [rule.role for rule in made.rules] == ["operator", "member"]


@pytest.mark.parametrize("issuer", ["http://127.0.0.1:8080", "http://[::1]:1", "http://localhost"])
def test_this_machine_may_be_asked_in_the_clear(issuer):
    assert login_of(block(issuer=issuer)).issuer == issuer


@pytest.mark.parametrize(
    ("fields", "where", "words"),
    [
        ({"issuer": "http://id.example"}, "login.issuer", "not the URL"),
        ({"issuer": "id.example"}, "login.issuer", "not the URL"),
        ({"issuer": "https://"}, "login.issuer", "not the URL"),
        ({"issuer": "https://ann@id.example"}, "login.issuer", "not the URL"),
        ({"issuer": "file:///etc/passwd"}, "login.issuer", "not the URL"),
        ({"issuer": "https://id.example/?a=b"}, "login.issuer", "no query"),
        ({"client_id": ""}, "login.client_id", "empty"),
        ({"session": "soon"}, "login.session", "duration"),
        ({"session": "1s"}, "login.session", "out of range"),
        ({"session": "91d"}, "login.session", "out of range"),
        ({"role": ()}, "login.role", "nobody"),
    ],
)
def test_what_is_refused(fields, where, words):
    with pytest.raises(InputError, match=words) as caught:
        login_of(block(**fields))
    assert caught.value.where == where


@pytest.mark.parametrize(
    ("fields", "where", "words"),
    [
        ({"role": "king"}, "login.role[2].role", "is no role"),
        ({"role": "agent", "party": "gz"}, "login.role[2].role", "no person"),
        ({"role": "member"}, "login.role[2].account", "needs an account"),
        ({"role": "operator", "account": "lab"}, "login.role[2].account", "has no account"),
        ({"role": "provider"}, "login.role[2].party", "needs a party"),
        ({"role": "auditor", "party": "gz"}, "login.role[2].party", "has no party"),
        ({"role": "auditor", "claim": ""}, "login.role[2].claim", "empty"),
        ({"role": "auditor", "value": ""}, "login.role[2].value", "empty"),
    ],
)
def test_roles_that_are_refused(fields, where, words):
    made = RoleBlock(**{"claim": "groups", "value": "x", **fields})
    with pytest.raises(InputError, match=words) as caught:
        login_of(block(role=(OPS, made)))
    assert caught.value.where == where
