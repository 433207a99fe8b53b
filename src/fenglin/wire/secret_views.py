"""What the door says of secrets: never their values."""

from __future__ import annotations

from msgspec import Struct


class SecretView(Struct, frozen=True, kw_only=True):
    """A secret, without its value, which the door never gives out.

    Attributes:
        name: By which jobs name it.
        account: Whose it is.
        version: Rises by one each time it is set.
        changed_ms: Unix time when this version was set.
        changed_by: By whom.
        key: Id of the key that seals it: it must be in the hub's key file.
    """

    name: str
    account: str
    version: int
    changed_ms: int
    changed_by: str
    key: str


class SecretList(Struct, frozen=True, kw_only=True):
    """Secrets by account and name."""

    items: list[SecretView]


class SecretAsk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A value to be kept.

    Attributes:
        value: 1 to 32,768 bytes of UTF-8 without NUL.
    """

    value: str

    def __repr__(self) -> str:
        """Return what may stand in a log."""
        return "SecretAsk(***)"
