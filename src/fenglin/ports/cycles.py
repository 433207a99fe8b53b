"""Where the hub keeps its cycles, so that any of them can be planned again later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from fenglin.wire.views import PlanView


class Cycles(Protocol):
    """A bounded memory of cycles: when it is full, the oldest go."""

    def keep(
        self, index: int, now_ms: int, *, starts: int, waiting: int, record: Callable[[], bytes]
    ) -> bool:
        """Keep a cycle, some time soon; never blocks.

        Args:
            index: Of its snapshot.
            now_ms: Unix time for which it was planned.
            starts: Allocations that it starts.
            waiting: Jobs that it leaves waiting.
            record: Makes the bytes, on whatever thread.

        Returns:
            False when it cannot be kept: the disk is too slow for the pace of cycles.
        """

    def entries(self) -> list[PlanView]:
        """Return what is kept, newest first."""

    def read(self, index: int) -> bytes:
        """Return a kept cycle.

        Raises:
            NotFoundError: it is not kept, or no longer.
            DamageError: it cannot be read.
        """

    async def close(self) -> None:
        """Write what is still to be written."""
