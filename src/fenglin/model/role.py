"""Roles: what the holder of a token is, what it may do, whose things it sees, who gets which."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from fenglin.errors import InputError


class Scope(StrEnum):
    """What a route may ask for; `admin` includes all others."""

    READ = "read"
    WRITE = "write"
    TENANT = "tenant"
    AUDIT = "audit"
    PROVIDER = "provider"
    AGENT = "agent"
    ADMIN = "admin"


class Role(StrEnum):
    """What the holder of a token is."""

    OPERATOR = "operator"
    AUDITOR = "auditor"
    TENANT_ADMIN = "tenant-admin"
    MEMBER = "member"
    VIEWER = "viewer"
    PROVIDER = "provider"
    AGENT = "agent"


class Reach(NamedTuple):
    """What a role reaches.

    Attributes:
        scopes: Of routes.
        of_account: Whether its holder belongs to one account, and sees only that.
        of_party: What its holder speaks for: `provider`, `site`, or nothing.
    """

    scopes: frozenset[Scope]
    of_account: bool = False
    of_party: str = ""


class RoleRule(Struct, frozen=True, kw_only=True):
    """Which holders of a claim get which role.

    Attributes:
        claim: Name of the claim in the ID token.
        value: What it must be, or hold where it is a list.
        role: Of `Role`.
        account: Of roles within an account.
        account_claim: Claim whose text is the account; wins over `account`.
        party: Of roles that speak for one.
    """

    claim: str
    value: str
    role: str
    account: str = ""
    account_claim: str = ""
    party: str = ""


class LoginSettings(Struct, frozen=True, kw_only=True):
    """Whom the hub believes.

    Attributes:
        issuer: URL of the OpenID provider, as its tokens name it.
        client_id: The hub's name there: the audience of its ID tokens.
        client_secret: What people's programs show the provider; empty for nothing.
        session_ms: How long a token made by a login lives.
        rules: The first that fits counts; who fits none does not get in.
    """

    issuer: str
    client_id: str
    client_secret: str = ""
    session_ms: int
    rules: tuple[RoleRule, ...]


REACH = {
    Role.OPERATOR: Reach(frozenset({Scope.ADMIN})),
    Role.AUDITOR: Reach(frozenset({Scope.READ, Scope.AUDIT})),
    Role.TENANT_ADMIN: Reach(frozenset({Scope.READ, Scope.WRITE, Scope.TENANT}), of_account=True),
    Role.MEMBER: Reach(frozenset({Scope.READ, Scope.WRITE}), of_account=True),
    Role.VIEWER: Reach(frozenset({Scope.READ}), of_account=True),
    # Without `read`: what is not asked for a party is not theirs to see.
    Role.PROVIDER: Reach(frozenset({Scope.PROVIDER}), of_party="provider"),
    Role.AGENT: Reach(frozenset({Scope.AGENT}), of_party="site"),
}

_OF_TENANT = frozenset({Role.TENANT_ADMIN, Role.MEMBER, Role.VIEWER})
_LONGEST_NAME = 128


def parse_role(text: str) -> Role:
    """Return the role of this name.

    Raises:
        InputError: there is none.
    """
    try:
        return Role(text)
    except ValueError:
        raise InputError(
            f"{text[:40]!r} is no role", where="role", hint=f"one of {', '.join(Role)}"
        ) from None


def check_holder(role: Role, name: str, account: str, party: str) -> None:
    """Check that a token says whose it is exactly as far as its role needs it.

    Raises:
        InputError: a name is missing, is too much, or cannot be printed.
    """
    reach = REACH[role]
    for field, value, needed in (
        ("name", name, True),
        ("account", account, reach.of_account),
        ("party", party, bool(reach.of_party)),
    ):
        if needed and not value:
            what = f"the {reach.of_party} it speaks for" if field == "party" else f"its {field}"
            raise InputError(f"a token of a {role} needs {what}", where=field)
        if value and not needed:
            raise InputError(f"a token of a {role} has no {field}", where=field)
        if len(value) > _LONGEST_NAME or not value.isprintable():
            raise InputError(
                f"the {field} is longer than {_LONGEST_NAME} characters or cannot be printed",
                where=field,
            )


def may_grant(own: frozenset[str], role: Role) -> bool:
    """Return whether a holder of these scopes may make a token of this role."""
    return Scope.ADMIN in own or (Scope.TENANT in own and role in _OF_TENANT)
