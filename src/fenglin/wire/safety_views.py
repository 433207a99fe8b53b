"""What is set aside or held back, as the door tells it."""

from __future__ import annotations

from msgspec import Struct


class AsideView(Struct, frozen=True):
    """A job that was set aside since handling it raised.

    Attributes:
        id: Public id.
        stage: What was being done: `load`, `take in`, `record`, `plan` or `start`.
        why: What was raised.
        time_ms: Unix time.
    """

    id: str
    stage: str
    why: str
    time_ms: int


class ReleasedView(Struct, frozen=True):
    """A job that is tried again, or a user that is no longer slowed."""

    id: str


class BrakedView(Struct, frozen=True):
    """A user whose jobs have failed too often in a row: one runs at a time.

    Attributes:
        user: Who submits them.
        failures: How many in a row.
        until_ms: Unix time when the brake is off by itself.
    """

    user: str
    failures: int
    until_ms: int


class SafetyView(Struct, frozen=True):
    """What waits for time or an operator.

    Attributes:
        quarantined: Jobs that are set aside, by number.
        unsettled: Site → why nothing starts there until what it holds is settled.
        braked: Users, by name.
        starts_per_s: Most allocations started a second, while the hub catches up; 0 for no limit.
        keyless: Id of a key of secrets that the hub lacks → how many jobs wait for it.
    """

    quarantined: list[AsideView]
    unsettled: dict[str, str] = {}
    braked: list[BrakedView] = []
    starts_per_s: int = 0
    keyless: dict[str, int] = {}
