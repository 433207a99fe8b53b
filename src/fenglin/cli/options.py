"""Words of options that several commands read alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def one_of(word: str, known: Sequence[str], option: str) -> str:
    """Return a word that is known.

    Raises:
        InputError: it is not.
    """
    if word in known:
        return word
    from fenglin.errors import InputError  # noqa: PLC0415 - only for a typing error

    raise InputError(f"{word!r} is none of {', '.join(known)}", where=option)


def pairs(words: Sequence[str], option: str) -> dict[str, str]:
    """Return `NAME=VALUE` words as a mapping.

    Raises:
        InputError: a word is none.
    """
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            from fenglin.errors import InputError  # noqa: PLC0415 - only for a typing error

            raise InputError(f"{word!r} is not of the form NAME=VALUE", where=option)
        found[name] = value
    return found
