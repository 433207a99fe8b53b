"""What accounts have used of items whose price depends on it."""

from __future__ import annotations

STATEMENTS: tuple[str, ...] = (
    # Byte-milliseconds of a year are more than 64 bits hold: written as decimal digits.
    """\
CREATE TABLE account_use (
    account TEXT NOT NULL,
    counter TEXT NOT NULL,
    period TEXT NOT NULL,
    used TEXT NOT NULL,
    PRIMARY KEY (account, counter, period)
) STRICT, WITHOUT ROWID""",
)
