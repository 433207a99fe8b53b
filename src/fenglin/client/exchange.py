"""One call on its way, without IO: what each outcome of a try means, and when to try again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fenglin.client.failures import connection_lost, error_from, too_slow, unreachable
from fenglin.errors import FenglinError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fenglin.client.requests import Call
    from fenglin.client.retry import Retry

TOO_MANY = 429


class Exchange:
    """Tells a transport what to do after each try of one call.

    A transport makes tries; for one that fails it calls the method that names how, which either
    returns the pause before the next try or raises what the caller shall see.

    Args:
        call: What is carried.
        hub: URL, for messages.
        retry: When to try again.
        limits: Longest silence of the hub, and longest time for all tries (None: no limit),
            in seconds.
        met: Whether the hub has answered before: one that never was there is not waited for.
        dice: Returns a random number in 0…1.
        clock_s: Returns a time that only goes forward.
    """

    def __init__(
        self,
        call: Call[Any],
        hub: str,
        retry: Retry,
        limits: tuple[float, float | None],
        *,
        met: bool,
        dice: Callable[[], float],
        clock_s: Callable[[], float],
    ) -> None:
        self._call = call
        self._hub = hub
        self._retry = retry
        self._silence_s, most_s = limits
        self._met = met
        self._dice = dice
        self._clock_s = clock_s
        self._end_s = None if most_s is None else clock_s() + most_s
        self._failed = self._slow = 0

    @property
    def timeout_s(self) -> float:
        """How long the next try may take to be answered."""
        whole_s = self._silence_s + self._call.extra_s
        if self._end_s is None:
            return whole_s
        return max(0.001, min(whole_s, self._end_s - self._clock_s()))

    def refused(self, status: int, body: bytes, retry_after: str) -> float:
        """Take an error answer."""
        self._met = True
        place = f"{self._call.method} {self._hub}{self._call.path}"
        return self._again(error_from(status, body, place), None, retry_after)

    def unreachable(self, cause: OSError) -> float:
        """Take that no connection could be made; nothing was sent."""
        problem = unreachable(self._hub, cause)
        if not self._met:
            raise problem from cause
        return self._again(problem, cause)

    def silent(self, cause: TimeoutError) -> float:
        """Take that no answer came in time; a second such try would only add to a heap."""
        problem = too_slow(self._hub, self.timeout_s)
        self._slow += 1
        if self._slow > 1:
            raise problem from cause
        return self._again(problem, cause)

    def lost(self, cause: Exception, *, strange: bool = False) -> float:
        """Take that the connection broke; `strange` when what answered speaks no HTTP."""
        problem = connection_lost(self._hub, cause)
        if strange:
            raise problem from cause
        return self._again(problem, cause)

    def _again(
        self, problem: FenglinError, cause: Exception | None, retry_after: str = ""
    ) -> float:
        self._failed += 1
        may_pass = isinstance(problem, UnavailableError) or problem.http_status == TOO_MANY
        if not may_pass or self._failed >= self._retry.tries:
            raise problem from cause
        pause_s = self._retry.pause_s(self._failed, self._dice(), retry_after)
        if self._end_s is not None and self._clock_s() + pause_s >= self._end_s:
            raise problem from cause
        return pause_s
