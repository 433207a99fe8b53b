"""Which account has sent which uploaded file: to know a digest is not to have the file."""

from __future__ import annotations

STATEMENTS: tuple[str, ...] = (
    """\
CREATE TABLE blob_owner (
    account TEXT NOT NULL,
    sha256 TEXT NOT NULL CHECK (length(sha256) = 64),
    first_ms INTEGER NOT NULL,
    PRIMARY KEY (account, sha256)
) STRICT""",
)
