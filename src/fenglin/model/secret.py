"""A text that must not be seen: shown by nothing that prints, formats, encodes or copies."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable

SHOWN = "***"
# Shorter ones stand in ordinary texts by chance, and hiding them would tell what they are.
LEAST_HIDDEN = 8


class Secret:
    """A value on its way from the store to a task.

    Whoever needs it says so by `reveal`; a text, a JSON document or a pickle made of it by
    mistake holds nothing of it.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Take the value."""
        self._text = text

    def reveal(self) -> str:
        """Return the value."""
        return self._text

    def __repr__(self) -> str:
        """Return what tells nothing, not even the length."""
        return f"Secret({SHOWN})"

    def __eq__(self, other: object) -> bool:
        """Return whether both hold the same value."""
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        """Return a hash of the value, salted as Python's hashes of texts are."""
        return hash(self._text)

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled.

        Raises:
            TypeError: always.
        """
        raise TypeError("a secret is not written anywhere")


def redacted(text: str, secrets: Iterable[Secret]) -> str:
    """Return a text without the values that stand in it, also as JSON or `repr` write them.

    Values below `LEAST_HIDDEN` characters are left.
    """
    forms: set[str] = set()
    for one in secrets:
        value = one.reveal()
        if len(value) >= LEAST_HIDDEN:
            forms |= {value, json.dumps(value)[1:-1], repr(value)[1:-1]}
    # The longest first: a value may be part of another.
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, SHOWN)
    return text
