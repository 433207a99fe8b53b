"""Brakes on what the pool's own users and its own recovery may do to it.

A user whose jobs fail one after another gets one job at a time, until one succeeds, some time has
passed, or an operator lets go: a wrong script must not burn a budget or a site's patience. After a
restart with work at hand, starts are paced, so that sites do not get all of it at once.

All of it is about what happens right now, so it starts afresh with the process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import structs

from fenglin.model.states import JobState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fenglin.engine.pool import Pool
    from fenglin.model.plan import Plan
    from fenglin.ports.clock import Clock
    from fenglin.ports.store import JobRecord
    from fenglin.snapshot.builder import JobRow

CATCH_UP_MS = 60_000


@dataclass(slots=True)
class UserBrake:
    """How a user's last jobs ended.

    Attributes:
        failures: In a row.
        until_ms: Monotonic moment when the brake is off; 0 when it was never on.
    """

    failures: int = 0
    until_ms: int = 0


class Brakes:
    """Slows users whose jobs fail, and starts after a restart; without limits it slows nothing."""

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        most_failures: int = 0,
        rest_ms: int = 0,
        starts_per_s: int = 0,
    ) -> None:
        """Take the limits.

        Args:
            clock: Needed with any limit.
            most_failures: Jobs of a user that may fail in a row; 0 for any number.
            rest_ms: How long a user is slowed after the newest failure.
            starts_per_s: Most allocations started a second after a restart; 0 for any number.
        """
        self._clock = clock
        self._most_failures = most_failures
        self._rest_ms = rest_ms
        self._rate = starts_per_s
        self._users: dict[str, UserBrake] = {}
        self._until_ms = self._now_ms() + CATCH_UP_MS if starts_per_s else 0
        self._spent_at_ms = 0
        self._due_ms = 0
        self.withheld: frozenset[int] = frozenset()
        """Jobs that the newest picture did not show, since their users are slowed."""

    def ended(self, jobs: Iterable[JobRecord]) -> None:
        """Count how users' jobs ended."""
        if not self._most_failures:
            return
        for job in jobs:
            if job.state is JobState.SUCCEEDED:
                self._users.pop(job.actor, None)
            elif job.state is JobState.FAILED:
                brake = self._users.setdefault(job.actor, UserBrake())
                brake.failures += 1
                if brake.failures >= self._most_failures:
                    brake.until_ms = self._now_ms() + self._rest_ms

    def let_go(self, user: str) -> bool:
        """Forget a user's failures; return whether that made a difference."""
        return self._users.pop(user, None) is not None

    def braked(self) -> dict[str, UserBrake]:
        """Return the users that are slowed now, by name."""
        now_ms = self._now_ms()
        over = [user for user, one in self._users.items() if 0 < one.until_ms <= now_ms]
        for user in over:
            del self._users[user]
        return {user: self._users[user] for user in sorted(self._users)
                if self._users[user].until_ms}  # fmt: skip

    def left_ms(self, brake: UserBrake) -> int:
        """Return for how long a brake is still on."""
        return max(0, brake.until_ms - self._now_ms())

    def shows_all(self) -> bool:
        """Return whether nobody is slowed, in which case no job is withheld any more."""
        if self._users and self.braked():
            return False
        self.withheld = frozenset()
        return True

    def shown(self, rows: Sequence[JobRow], pool: Pool) -> list[JobRow]:
        """Return the rows to plan with: of a slowed user one job, and none while one runs."""
        if self.shows_all():
            return list(rows)
        slowed = self.braked()
        busy = {pool.jobs[record.job].actor for record in pool.allocations.values()}
        shown, withheld = [], []
        for row in rows:
            user = pool.jobs[row.number].actor if row.number in pool.jobs else ""
            if user in slowed and user in busy:
                withheld.append(row.number)
                continue
            if user in slowed:
                busy.add(user)
            shown.append(row)
        self.withheld = frozenset(withheld)
        return shown

    def paced(self, made: Plan) -> Plan:
        """Return a plan with no more starts than the pace allows now."""
        now_ms = self._now_ms()
        self._due_ms = 0
        if now_ms >= self._until_ms or not made.starts:
            return made
        since_ms = min(1_000, now_ms - self._spent_at_ms) if self._spent_at_ms else 1_000
        most = self._rate * since_ms // 1_000
        if len(made.starts) > most:
            self._due_ms = now_ms + 1_000
        if not most:
            return structs.replace(made, starts=())
        self._spent_at_ms = now_ms
        return structs.replace(made, starts=made.starts[:most])

    def pace(self) -> int:
        """Return how many starts a second are allowed now; 0 for any number."""
        return self._rate if self._now_ms() < self._until_ms else 0

    def due_in_ms(self) -> list[int]:
        """Return in how many ms more may start."""
        now_ms = self._now_ms()
        due = [self._due_ms - now_ms] if self._due_ms else []
        if self.withheld:
            due += [one.until_ms - now_ms for one in self._users.values() if one.until_ms]
        return due

    def _now_ms(self) -> int:
        return self._clock.monotonic_ms() if self._clock is not None else 0
