"""A month of our use against what providers account: found, told, never settled by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.errors import InputError
from fenglin.ledger.metering.items import Finding, State, What
from fenglin.ledger.metering.reconcile import impossible, reconcile
from fenglin.model.ids import parse_attempt_key
from fenglin.ports.metering import ENERGY, ItemFilter
from fenglin.quantities.money import format_money
from fenglin.wire.metering_views import CheckReport, SeriesCheck

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fenglin.engine.pool import Pool
    from fenglin.ledger.metering.reconcile import Tolerance, Used
    from fenglin.ports.metering import Item, Metering, Series, SeriesFacts
    from fenglin.quantities.period import Period

_PAGE = 1_000


async def check_month(
    meters: Metering,
    pool: Pool,
    period: Period,
    sites: Sequence[str],
    tolerance_of: Callable[[str], Tolerance],
    *,
    open_as: tuple[int, str, int],
) -> CheckReport:
    """Compare a month of these sites with every series that was imported of them.

    Args:
        meters: The store's.
        pool: With the attempts that still run.
        period: The month.
        sites: Names.
        tolerance_of: Of a site.
        open_as: (epoch, who, Unix time) of the discrepancies that are opened.
    """
    of_site: dict[str, list[Series]] = {name: [] for name in sites}
    for one in await meters.series():
        if one.site in of_site and one.form != ENERGY:
            of_site[one.site].append(one)
    found: list[Finding] = []
    checks: list[SeriesCheck] = []
    without: list[str] = []
    for name, series in of_site.items():
        used = await meters.used(name, period)
        tolerance = tolerance_of(name)
        found += filter(None, (impossible(one, tolerance) for one in used))
        if not series and any(one.wall_ms for one in used):
            without.append(name)
        for one in series:
            facts = await meters.facts(one, period, tolerance)
            check, findings = _check_series(one, used, facts, tolerance, pool, str(period))
            checks.append(check)
            found += findings
    opened = await meters.open(open_as[0], found, str(period), open_as[1], open_as[2])
    pending = await _pending(meters, str(period), sites)
    shown = {finding.key for finding in found}
    return CheckReport(
        period=str(period),
        series=checks,
        without=without,
        found=len(shown),
        opened=[f"d{number}" for number in opened],
        pending=len(pending),
        stale=[f"d{one.number}" for one in pending if one.finding.key not in shown],
    )


def _check_series(
    series: Series,
    used: Sequence[Used],
    facts: SeriesFacts,
    tolerance: Tolerance,
    pool: Pool,
    period: str,
) -> tuple[SeriesCheck, list[Finding]]:
    covered = (series.from_ms, series.to_ms)
    findings = list(reconcile(used, facts.told, tolerance, source=series.source, covered=covered))
    missing = {one.attempt for one in findings if one.what is What.MISSING_AT_PROVIDER}
    differing = {one.attempt for one in findings} - missing
    ended = {one.attempt for one in used}
    told = ended & facts.told.keys()
    strange = list(_strange(series, facts, pool))
    waiting = len(facts.strange) - len(strange)
    check = SeriesCheck(
        site=series.site,
        source=series.source,
        from_ms=series.from_ms,
        to_ms=series.to_ms,
        attempts=len(used),
        matched=len(told - differing),
        differing=len(differing),
        missing=len(missing),
        untold=len(ended - told - missing),
        waiting=waiting,
        strangers=facts.foreign + sum(lines for _, lines, _ in facts.charged),
        share_percent=tolerance.share_permille / 10,
        slack_ms=tolerance.slack_ms,
    )
    unattributed = _unattributed(series, facts, period)
    return check, [*findings, *strange, *unattributed, *facts.spans]


def _strange(series: Series, facts: SeriesFacts, pool: Pool) -> Iterator[Finding]:
    """Yield attempts that only the provider knows, without those that have not ended yet."""
    for attempt, lines, wall_ms in facts.strange:
        try:
            hub, number, _ = parse_attempt_key(attempt)
        except InputError:
            continue
        # Another hub's work on the same site is that hub's to reconcile.
        if hub != pool.hub or number in pool.allocations:
            continue
        yield Finding(
            what=What.MISSING_AT_HUB,
            site=series.site,
            source=series.source,
            attempt=attempt,
            theirs=f"{wall_ms / 1_000:.3f} s",
            text=f"{lines} lines of an attempt that never ended here",
        )


def _unattributed(series: Series, facts: SeriesFacts, period: str) -> Iterator[Finding]:
    """Yield what is charged without an attempt, one sum for each currency."""
    for currency, lines, cost_micro in facts.charged:
        if cost_micro:
            yield Finding(
                what=What.UNATTRIBUTED,
                site=series.site,
                source=series.source,
                subject=period,
                theirs=format_money(cost_micro, currency),
                text=f"{lines} lines carry no attempt: idle machines, disks, traffic, or others",
            )


async def _pending(meters: Metering, period: str, sites: Sequence[str]) -> list[Item]:
    """Return the month's discrepancies of these sites that nobody has closed."""
    fields = [("period", period), *(("site", name) for name in sites)]
    fields += [("state", state.value) for state in State if state is not State.CLOSED]
    found: list[Item] = []
    while True:
        after = found[-1].number if found else 0
        page = await meters.items(ItemFilter(fields=tuple(fields), after=after, limit=_PAGE))
        found += page
        if len(page) < _PAGE:
            return found
