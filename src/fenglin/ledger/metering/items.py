"""Discrepancies: found, argued about, and closed by a person; never by themselves.

    open → explained | accepted | disputed → closed
    disputed → explained | accepted

`explained`: both figures are right and here is why. `accepted`: the other side is right.
`disputed`: the provider was told that it is wrong. `closed`: done, nothing more will be said.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from fenglin.errors import ConflictError, InputError

MOST_WHY_CHARS = 1_000


class State(StrEnum):
    """Of a discrepancy."""

    OPEN = "open"
    EXPLAINED = "explained"
    ACCEPTED = "accepted"
    DISPUTED = "disputed"
    CLOSED = "closed"


class What(StrEnum):
    """Kinds of discrepancy.

    MISSING_AT_PROVIDER: we have use of a time that the provider's records cover, it has none.
    MISSING_AT_HUB: the provider names an attempt of ours that never ended here, or never was.
    DURATION, RESOURCES, COST: both have it, and differ by more than is tolerated.
    CONTRADICTION: a record came again under the same key with another body.
    OVERLAP, GAP: records of one resource cover a time twice, or leave one out.
    IMPOSSIBLE: our own record says more than its own times allow.
    UNATTRIBUTED: the provider charges for what carries no attempt of ours.
    """

    MISSING_AT_PROVIDER = "missing_at_provider"
    MISSING_AT_HUB = "missing_at_hub"
    DURATION = "duration"
    RESOURCES = "resources"
    COST = "cost"
    CONTRADICTION = "contradiction"
    OVERLAP = "overlap"
    GAP = "gap"
    IMPOSSIBLE = "impossible"
    UNATTRIBUTED = "unattributed"


class Finding(Struct, frozen=True, kw_only=True):
    """Something that a check found.

    Attributes:
        what: Kind of discrepancy.
        site: Where.
        source: Series of the provider's records; empty where none is concerned.
        attempt: Attempt key; empty where none alone is concerned.
        subject: A line, a resource, or what else tells it from others of its kind.
        ours: What we have, with its unit; empty for nothing.
        theirs: What the provider has.
        text: The evidence, for people.
    """

    what: What
    site: str
    source: str = ""
    attempt: str = ""
    subject: str = ""
    ours: str = ""
    theirs: str = ""
    text: str = ""

    @property
    def key(self) -> str:
        """Return what names it: the same figures are the same discrepancy, others another."""
        parts = (self.what, self.site, self.source, self.attempt, self.subject)
        return "|".join((*parts, self.ours, self.theirs))


_MOVES: dict[State, frozenset[State]] = {
    State.OPEN: frozenset({State.EXPLAINED, State.ACCEPTED, State.DISPUTED}),
    State.EXPLAINED: frozenset({State.CLOSED, State.DISPUTED}),
    State.ACCEPTED: frozenset({State.CLOSED, State.DISPUTED}),
    State.DISPUTED: frozenset({State.EXPLAINED, State.ACCEPTED, State.CLOSED}),
    State.CLOSED: frozenset(),
}


def check_move(now: State, then: State, why: str) -> None:
    """Refuse a step that a discrepancy cannot take, or that nobody gives a reason for.

    Raises:
        ConflictError: from this state it cannot go there.
        InputError: the reason is missing or too long.
    """
    if then not in _MOVES[now]:
        allowed = ", ".join(sorted(_MOVES[now])) or "nothing"
        raise ConflictError(
            f"it is {now} and cannot become {then}", hint=f"it can become {allowed}"
        )
    if not why.strip() or len(why) > MOST_WHY_CHARS or not why.isprintable():
        raise InputError(
            "the reason is missing, too long or not printable",
            where="why",
            hint=f"say it in up to {MOST_WHY_CHARS} characters; it is kept for ever",
        )
