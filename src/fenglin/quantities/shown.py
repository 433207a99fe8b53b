"""Values as text that is safe to print and to parse, however large or strange they are."""

from __future__ import annotations

MOST_SHOWN_CHARS = 80
# Python refuses to write out integers of more than some thousand digits.
_MOST_BITS = 1_024


def plain(value: str | float) -> str:
    """Return the value as stripped text; an absurdly large integer as a word for it."""
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return "a huge integer"
    return str(value).strip()


def shown(value: str | float) -> str:
    """Return the value as an error may quote it: in quotes when text, cut when long."""
    text = repr(value) if isinstance(value, str) else plain(value)
    return text if len(text) <= MOST_SHOWN_CHARS else text[:MOST_SHOWN_CHARS] + "…"
