"""What `fenglin doctor` finds."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


class Finding(Struct, frozen=True):
    """One thing that was looked at.

    Attributes:
        check: What was looked at, in a word or two.
        level: How it is.
        what: What was found.
        hint: What to do; empty when all is well.
    """

    check: str
    level: Level
    what: str
    hint: str = ""
