"""Tokens: numbers to name them by, roles, and ends."""

from __future__ import annotations

STATEMENTS: tuple[str, ...] = (
    "ALTER TABLE token ADD COLUMN number INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE token ADD COLUMN role TEXT NOT NULL DEFAULT 'operator'",
    "ALTER TABLE token ADD COLUMN party TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE token ADD COLUMN maker TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE token ADD COLUMN expires_ms INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE token ADD COLUMN used_ms INTEGER NOT NULL DEFAULT 0",
    """\
UPDATE token SET number =
    (SELECT count(*) FROM token AS other WHERE other.digest <= token.digest)""",
    "UPDATE token SET role = 'member' WHERE account <> ''",
    # A hub of the former version may still run, and makes tokens without; see `number_tokens`.
    "CREATE UNIQUE INDEX token_number ON token (number) WHERE number > 0",
)
