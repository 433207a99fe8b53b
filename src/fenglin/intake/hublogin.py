"""What `fenglin.toml` says of logging in: `[login]` and its roles."""

from __future__ import annotations

from urllib.parse import urlsplit

from msgspec import Struct

from fenglin.errors import InputError
from fenglin.model.role import REACH, LoginSettings, Role, RoleRule, parse_role
from fenglin.quantities.durations import parse_duration_ms

LEAST_SESSION_MS = 60_000
MOST_SESSION_MS = 90 * 86_400_000
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class RoleBlock(Struct, frozen=True, forbid_unknown_fields=True):
    """`[[login.role]]`.

    Attributes:
        claim: Name of a claim.
        value: What it must be, or hold where it is a list.
        role: What its holder is.
        account: Of roles within an account.
        account_claim: Claim that names the account.
        party: Provider or site, of roles that speak for one.
    """

    claim: str
    value: str
    role: str
    account: str = ""
    account_claim: str = ""
    party: str = ""


class LoginBlock(Struct, frozen=True, forbid_unknown_fields=True):
    """`[login]`.

    Attributes:
        issuer: URL of the OpenID provider.
        client_id: The hub's name there.
        client_secret: What people's programs show the provider; told to whoever asks the hub.
        session: How long a login lasts.
        role: Who gets which role; the first that fits counts.
    """

    issuer: str
    client_id: str = "fenglin"
    client_secret: str = ""
    session: str | float | int = "8h"
    role: tuple[RoleBlock, ...] = ()


def login_of(block: LoginBlock) -> LoginSettings:
    """Check the block.

    Raises:
        InputError: says which key is wrong.
    """
    _check_issuer(block.issuer)
    if not block.client_id.isprintable() or not block.client_id:
        raise InputError("is empty or cannot be printed", where="login.client_id")
    try:
        session_ms = parse_duration_ms(block.session)
    except InputError as error:
        raise InputError(error.what, where="login.session", hint=error.hint) from error
    if not LEAST_SESSION_MS <= session_ms <= MOST_SESSION_MS:
        raise InputError("out of range", where="login.session", hint="1m to 90d")
    if not block.role:
        raise InputError(
            "nobody could log in", where="login.role", hint="add at least one [[login.role]]"
        )
    rules = tuple(_rule(at, one) for at, one in enumerate(block.role, 1))
    return LoginSettings(
        issuer=block.issuer,
        client_id=block.client_id,
        client_secret=block.client_secret,
        session_ms=session_ms,
        rules=rules,
    )


def _check_issuer(issuer: str) -> None:
    parts = urlsplit(issuer)
    plain = parts.scheme == "http" and parts.hostname in _LOOPBACK
    if not (parts.scheme == "https" or plain) or not parts.hostname or "@" in parts.netloc:
        raise InputError(
            f"{issuer[:80]!r} is not the URL of a provider",
            where="login.issuer",
            hint="https://…; plain http only on this machine",
        )
    if parts.query or parts.fragment:
        raise InputError("an issuer has no query and no fragment", where="login.issuer")


def _rule(at: int, block: RoleBlock) -> RoleRule:
    where = f"login.role[{at}]"
    try:
        role = parse_role(block.role)
    except InputError as error:
        raise InputError(error.what, where=f"{where}.role", hint=error.hint) from error
    if role is Role.AGENT:
        raise InputError(
            "an agent is no person", where=f"{where}.role", hint="fenglin token add --role agent"
        )
    reach = REACH[role]
    named = bool(block.account or block.account_claim)
    if named != reach.of_account:
        what = "needs an" if reach.of_account else "has no"
        raise InputError(f"a {role} {what} account", where=f"{where}.account")
    if bool(block.party) != bool(reach.of_party):
        what = "needs a" if reach.of_party else "has no"
        raise InputError(f"a {role} {what} party", where=f"{where}.party")
    if not block.claim or not block.value:
        raise InputError("is empty", where=f"{where}.{'value' if block.claim else 'claim'}")
    return RoleRule(
        claim=block.claim,
        value=block.value,
        role=role,
        account=block.account,
        account_claim=block.account_claim,
        party=block.party,
    )
