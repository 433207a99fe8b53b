"""What sites tell: what follows for jobs, how far a site is trusted, and what needs a new plan."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import structlog

from fenglin.engine.breaker import ABSENT_FOR_MS, UNSEEN_FOR_MS
from fenglin.engine.fold import UNSTAGED
from fenglin.model.reason import SITE_FAULTS, Reason
from fenglin.model.states import AttemptState
from fenglin.ports.crashpoint import crash_point
from fenglin.ports.driver import Presence

if TYPE_CHECKING:
    from collections.abc import Callable

    from fenglin.engine.breaker import Breakers
    from fenglin.engine.fold import Fold
    from fenglin.engine.meters import Meters
    from fenglin.engine.news import SiteSeen, StartRefused
    from fenglin.engine.pool import Pool
    from fenglin.ports.driver import Observation
    from fenglin.ports.store import AllocationRecord

_log = structlog.get_logger("fenglin.loop")


class Hearing:
    """Folds what sites tell into the loop's change.

    Attributes:
        marks: What the news of this cycle say of sites, to be counted once they are committed.
    """

    def __init__(
        self, pool: Pool, breakers: Breakers, meters: Meters, replan: Callable[[], None]
    ) -> None:
        """Take the loop's picture and brakes, and what asks it for a new plan."""
        self.marks: list[Callable[[], None]] = []
        self._pool = pool
        self._breakers = breakers
        self._meters = meters
        self._replan = replan

    def refused(self, fold: Fold, news: StartRefused) -> None:
        """A site has refused an attempt, or it never left the hub."""
        self._replan()
        # Its allocation may have ended while the site was asked.
        record = self._pool.allocations.get(news.allocation)
        site = record.site if record else ""
        if news.key:
            self.marks.append(partial(self._pool.put_off, news))
            self.marks.append(self._meters.put_off)
        elif site and news.reason not in UNSTAGED:
            self.marks.append(partial(self._breakers.bad, site, news.why))
        fold.attempt_lost(news.allocation, news.reason, news.why)

    def observed(self, fold: Fold, number: int, seen: Observation, at_ms: int) -> None:
        """A site has told of an attempt, of which it may know nothing.

        Args:
            fold: Takes what follows for the job.
            number: Of the allocation.
            seen: What the site told.
            at_ms: When it did, by the monotonic clock; 0 for now.
        """
        record = self._pool.allocations.get(number)
        if record is None:
            return
        if seen.presence is Presence.ABSENT:
            self._absent(fold, record, at_ms)
            return
        self._breakers.present(number)
        if seen.started or seen.ends:
            # Only a task that runs proves a site: it may accept attempts and then lose them all.
            self.marks.append(partial(self._breakers.good, record.site))
        elif seen.presence is Presence.ENDED and seen.reason in SITE_FAULTS:
            self.marks.append(
                partial(
                    self._breakers.bad, record.site, f"ended before any task began: {seen.reason}"
                )
            )
        if seen.presence is Presence.ENDED:
            crash_point("c10")
        # A slot that comes free is the only news of a running attempt that needs a plan.
        left = len(record.remaining) - len(seen.ends)
        if seen.presence is Presence.ENDED or left < record.slots:
            self._replan()
        fold.observed(seen, number)

    def _absent(self, fold: Fold, record: AllocationRecord, at_ms: int) -> None:
        if record.state in (AttemptState.INTENT, AttemptState.UNKNOWN):
            fold.not_there(record.number)
            return
        absent_ms = self._breakers.absent_ms(record.number, at_ms)
        if absent_ms >= ABSENT_FOR_MS:
            fold.attempt_lost(record.number, Reason.SITE_LOST, "the site no longer knows it")
            self._replan()
        elif absent_ms >= UNSEEN_FOR_MS:
            fold.never_seen(record.number)

    def site_seen(self, news: SiteSeen, now_ms: int) -> None:
        """A site has told its inventory, at a Unix time, or why there is none."""
        status = self._pool.sites[news.site]
        if news.report is None:
            if status.down != news.problem:
                _log.warning("site_down", site=news.site, problem=news.problem)
                self._replan()
            status.down = news.problem
            return
        old = status.report
        status.report = news.report
        if (
            status.down
            or old is None
            or (old.nodes, old.licences) != (news.report.nodes, news.report.licences)
        ):
            self._replan()
        status.down = ""
        status.seen_ms = now_ms
