"""Jobs that were set aside since handling them raised, each with how it stood before."""

from __future__ import annotations

STATEMENTS: tuple[str, ...] = (
    """\
CREATE TABLE quarantine (
    job INTEGER PRIMARY KEY,
    stage TEXT NOT NULL,
    why TEXT NOT NULL,
    former_state TEXT NOT NULL,
    former_reason TEXT NOT NULL,
    former_detail TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    epoch INTEGER NOT NULL
) STRICT""",
)
