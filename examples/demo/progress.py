"""Live progress: tasks done per site, and the promise against the clock."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.client import Client
    from fenglin.wire.views import JobView

BAR = 24
EVERY_S = 0.5
PLAIN_EVERY_S = 5.0


@dataclass
class Progress:
    """Draws the state of the jobs, in place on a terminal, as lines elsewhere."""

    client: Client
    jobs: Sequence[str]
    sites: Sequence[str]
    out: TextIO = field(default_factory=lambda: sys.stdout)
    _drawn: int = 0
    _plain_at_s: float = 0.0

    def follow(self) -> list[JobView]:
        """Draw until all jobs have ended; return them."""
        started_s = time.monotonic()
        while True:
            views = [self.client.job(job) for job in self.jobs]
            over = all(view.ended_ms for view in views)
            self._draw(views, time.monotonic() - started_s, over=over)
            if over:
                return views
            time.sleep(EVERY_S)

    def _draw(self, views: list[JobView], elapsed_s: float, *, over: bool) -> None:
        if not self.out.isatty():
            if over or elapsed_s >= self._plain_at_s:
                self._plain_at_s = elapsed_s + PLAIN_EVERY_S
                print(self._line(views, elapsed_s), file=self.out, flush=True)
            return
        lines = [*self._bars(views), self._line(views, elapsed_s)]
        if self._drawn:
            self.out.write(f"\x1b[{self._drawn}F")
        self.out.writelines(f"\x1b[2K{line}\n" for line in lines)
        self.out.flush()
        self._drawn = len(lines)

    def _bars(self, views: list[JobView]) -> list[str]:
        done = dict.fromkeys(self.sites, 0)
        running = dict.fromkeys(self.sites, 0)
        for view in views:
            for one in view.allocations:
                done[one.site] += one.succeeded
                running[one.site] += one.slots
        total = sum(view.task_count for view in views)
        width = max(len(site) for site in self.sites)
        return [
            f"  {site:<{width}}  {'█' * round(BAR * done[site] / total):<{BAR}}"
            f"  {done[site]:>3} done, {running[site]} running"
            for site in self.sites
        ]

    def _line(self, views: list[JobView], elapsed_s: float) -> str:
        parts = [f"{v.name} {v.tasks.succeeded}/{v.task_count}" for v in views]
        due_ms = max((v.expected_finish_ms for v in views if not v.ended_ms), default=0)
        left = f", running jobs due in {_in_s(due_ms)}" if due_ms else ""
        return f"  {elapsed_s:5.1f} s elapsed{left}: {', '.join(parts)}"


def _in_s(due_ms: int) -> str:
    return f"{max(0.0, due_ms / 1_000 - time.time()):.0f} s"
