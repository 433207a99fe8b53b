"""The wish that some running tasks of a job end."""

from __future__ import annotations

STATEMENTS: tuple[str, ...] = ("ALTER TABLE job ADD COLUMN unwanted_set TEXT NOT NULL DEFAULT ''",)
