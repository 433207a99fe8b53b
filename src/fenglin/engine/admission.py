"""Whether the pool could ever hold a job: asked once per shape, before the job is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.engine.hours import Hours
from fenglin.engine.pool import MOST_SHAPES
from fenglin.errors import InputError
from fenglin.ledger.posting import CURRENCY
from fenglin.model.hours import is_hours
from fenglin.planner import explain, plan
from fenglin.snapshot.builder import JobRow

if TYPE_CHECKING:
    from fenglin.engine.pool import Pool
    from fenglin.model.job import JobSpec
    from fenglin.model.plan import Option, Receipt
    from fenglin.planner.policy import Policy
    from fenglin.snapshot.snapshot import Shape

MOST_NAMED = 6


class Admission:
    """Refuses what no site of the pool can hold, whatever ends or comes free."""

    def __init__(self, pool: Pool, policy: Policy, accounts: frozenset[str]) -> None:
        """Take the pool, and the accounts that may pay."""
        self._pool = pool
        self._policy = policy
        self._accounts = accounts
        self._fits: dict[Shape, str] = {}

    def check(self, spec: JobSpec) -> None:
        """Refuse a job that could never start.

        Raises:
            InputError: an unknown account or site, or no flavor can hold one task; says for
                each flavor why.
        """
        if spec.account not in self._accounts:
            raise InputError(
                f"account {spec.account!r} does not exist",
                where="account",
                hint=f"one of {', '.join(sorted(self._accounts))}",
            )
        for site in spec.sites:
            self._check_site(site, "sites")
        if spec.near:
            self._check_site(spec.near, "near")
        for at, need in enumerate(spec.data):
            for site in need.sites:
                self._check_site(site, f"data[{at}].sites")
        shape = self._pool.shape(spec)
        problem = self._fits.get(shape)
        if problem is None:
            if len(self._fits) >= MOST_SHAPES:
                self._fits.clear()
            problem = self._fits[shape] = self._why_never(shape, spec.account)
        if problem:
            raise InputError(
                "no site of the pool can ever hold one task of this job",
                hint=problem,
            )

    def _check_site(self, site: str, where: str) -> None:
        if site not in self._pool.sites:
            raise InputError(
                f"site {site!r} does not exist",
                where=where,
                hint=f"one of {', '.join(sorted(self._pool.sites))}",
            )

    def receipt(self, spec: JobSpec, now_ms: int, *, alone: bool = False) -> Receipt:
        """Plan the job against the present pool as if it were submitted now.

        Args:
            spec: The job.
            now_ms: Unix time.
            alone: As if no other job waited.
        """
        return self._planned(self._row(spec, now_ms), alone=alone)

    def paid_in(self, spec: JobSpec, now_ms: int) -> str:
        """Return in which hours the job would be paid for if it were submitted now, or in money."""
        sites = [status.site for status in self._pool.sites.values()]
        hours = Hours(self._pool.balances, sites, self._policy)
        (row,) = hours.rows([self._row(spec, now_ms)])
        return row.shape.tariff if is_hours(row.shape.tariff) else CURRENCY

    def _row(self, spec: JobSpec, now_ms: int) -> JobRow:
        return JobRow(
            number=self._number(),
            shape=self._pool.shape(spec),
            pending=spec.tasks,
            queue=spec.queue,
            account=spec.account,
            priority=spec.rank,
            submitted_ms=now_ms,
            not_before_ms=spec.not_before_ms,
            deadline_ms=spec.deadline_ms,
            concurrency=spec.concurrency,
            tasks=spec.tasks,
            estimate_ms=spec.estimate_ms,
            timeout_ms=spec.timeout_ms,
        )

    def _number(self) -> int:
        """Return a number behind every real job, never confused with one."""
        return 1 + max(self._pool.jobs, default=0)

    def _planned(self, row: JobRow, *, alone: bool) -> Receipt:
        snapshot = self._pool.snapshot(row.submitted_ms, (row,), alone=alone)
        return explain(snapshot, self._policy, plan(snapshot, self._policy), row.number)

    def _why_never(self, shape: Shape, account: str) -> str:
        """Return why each flavor refuses for good; empty when any does not."""
        # One task of no queue and no wish but its shape.
        row = JobRow(self._number(), shape, pending=1, account=account)
        options = self._planned(row, alone=True).options
        if any(option.reason is None or option.reason.transient for option in options):
            return ""
        named = [_line(option) for option in options[:MOST_NAMED]]
        more = len(options) - len(named)
        return "; ".join(named) + (f"; and {more} more" if more > 0 else "")


def _line(option: Option) -> str:
    return f"{option.site}/{option.flavor}: {option.evidence or option.reason}"
