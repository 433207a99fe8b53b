"""Our use against the provider's, attempt by attempt.

An attempt may be many lines of the provider's (elements of an array, pods, hours of a machine);
they are summed before they are compared. What is compared:

- duration: Σ wall time of the lines with Σ runtime of the attempt's tasks;
- resources: mean cores and cards held (Σ cores × time / Σ time) with what the task asked for; a
  site may round up to whole ones, or to its node, but never below;
- cost: what the provider charges with what we posted, in the same currency.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from fenglin.ledger.metering.items import Finding, What
from fenglin.model.hours import is_hours
from fenglin.quantities.money import format_money

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_PERMILLE = 1_000


class Tolerance(Struct, frozen=True):
    """How far records may differ before it is a discrepancy.

    Attributes:
        share_permille: Of our figure.
        slack_ms: On top for each line and task: starts, ends, and clocks of whole seconds.
        cost_permille: Of our cost.
    """

    share_permille: int = 20
    slack_ms: int = 10_000
    cost_permille: int = 10


DEFAULT = Tolerance()
TOLERANCES: dict[str, Tolerance] = {
    # Whole seconds on both ends, prolog and our runner's start.
    "slurm": Tolerance(20, 10_000),
    # A pod's time holds image set-up and the kubelet's seconds.
    "kubernetes": Tolerance(20, 30_000),
    "ray": Tolerance(50, 10_000),
    "ssh": Tolerance(20, 5_000),
    "local": Tolerance(10, 1_000),
    # Machines boot and are billed from their start, often by the minute.
    "ec2": Tolerance(50, 180_000, 20),
    "openstack": Tolerance(50, 180_000, 20),
}
"""By the kind of driver that reaches the site."""


class Used(Struct, frozen=True, kw_only=True):
    """What we have of an ended attempt.

    Attributes:
        attempt: Its key.
        site: Where it ran.
        tasks: That ended in it.
        wall_ms: Sum of their runtimes.
        cores_milli: Of one task, over all its nodes.
        cards_milli: Likewise.
        nodes: Per task.
        started_ms: First start; 0 for never.
        ended_ms: End of the attempt.
        cost_micro: Posted.
        currency: Of the cost.
    """

    attempt: str
    site: str
    tasks: int
    wall_ms: int
    cores_milli: int
    cards_milli: int
    nodes: int
    started_ms: int
    ended_ms: int
    cost_micro: int
    currency: str

    @property
    def begun_ms(self) -> int:
        """Return when it began; its end where nothing ever started."""
        return min(self.started_ms or self.ended_ms, self.ended_ms)


class Told(Struct, frozen=True, kw_only=True):
    """What a series of a provider's records says of an attempt, summed.

    Attributes:
        lines: How many.
        wall_ms: None when a line does not say.
        core_ms: Likewise.
        card_ms: Likewise.
        cost_micro: Of the lines that have one; None when none has.
        currency: Of the cost; `*` when it is of several.
    """

    lines: int
    wall_ms: int | None = None
    core_ms: int | None = None
    card_ms: int | None = None
    cost_micro: int | None = None
    currency: str = ""


def reconcile(
    ours: Iterable[Used],
    theirs: Mapping[str, Told],
    tolerance: Tolerance,
    *,
    source: str,
    covered: tuple[int, int],
) -> Iterator[Finding]:
    """Yield where our attempts on one site and a series of its records differ.

    Args:
        ours: Ended attempts of the site.
        theirs: By attempt key.
        tolerance: Of that kind of site.
        source: Name of the series.
        covered: First start and last end that the series tells of. What ended outside cannot be
            missing from it.
    """
    for used in ours:
        told = theirs.get(used.attempt)
        if told is not None:
            yield from _differences(used, told, tolerance, source)
        elif used.wall_ms and covered[0] <= used.started_ms and used.ended_ms <= covered[1]:
            yield Finding(
                what=What.MISSING_AT_PROVIDER,
                site=used.site,
                source=source,
                attempt=used.attempt,
                ours=_seconds(used.wall_ms),
                text=f"{used.tasks} tasks ran within the time that the records tell of",
            )


def impossible(used: Used, tolerance: Tolerance) -> Finding | None:
    """Return that an attempt's own record says more than its times allow; None when not (M6)."""
    span_ms = used.ended_ms - used.started_ms
    most_ms = (max(0, span_ms) + tolerance.slack_ms) * used.tasks
    if not used.started_ms or 0 <= used.wall_ms <= most_ms:
        return None
    return Finding(
        what=What.IMPOSSIBLE,
        site=used.site,
        attempt=used.attempt,
        ours=_seconds(used.wall_ms),
        text=f"{used.tasks} tasks cannot have run so long in {_seconds(max(0, span_ms))}",
    )


def _differences(used: Used, told: Told, tolerance: Tolerance, source: str) -> Iterator[Finding]:
    def finding(what: What, ours: str, theirs: str, text: str) -> Finding:
        return Finding(
            what=what,
            site=used.site,
            source=source,
            attempt=used.attempt,
            ours=ours,
            theirs=theirs,
            text=text,
        )

    if told.wall_ms is not None:
        slack_ms = tolerance.slack_ms * max(told.lines, used.tasks)
        allowed_ms = used.wall_ms * tolerance.share_permille // _PERMILLE + slack_ms
        if abs(told.wall_ms - used.wall_ms) > allowed_ms:
            text = f"{told.lines} lines, {used.tasks} tasks; {_seconds(allowed_ms)} are tolerated"
            yield finding(What.DURATION, _seconds(used.wall_ms), _seconds(told.wall_ms), text)
    held = (("cores", used.cores_milli, told.core_ms), ("cards", used.cards_milli, told.card_ms))
    for name, wanted_milli, held_ms in held:
        if held_ms is None or not told.wall_ms:
            continue
        mean_milli = held_ms * 1_000 // told.wall_ms
        # Sites give whole cores and cards, on each node.
        most_milli = -(-wanted_milli // (1_000 * used.nodes)) * 1_000 * used.nodes
        spare_milli = most_milli * tolerance.share_permille // _PERMILLE
        if not wanted_milli - spare_milli <= mean_milli <= most_milli + spare_milli:
            text = f"mean {name} held by a task"
            ours, theirs = f"{wanted_milli / 1_000:g} {name}", f"{mean_milli / 1_000:g} {name}"
            yield finding(What.RESOURCES, ours, theirs, text)
    # What was paid in hours has no price to compare with the provider's.
    if told.cost_micro is not None and not is_hours(used.currency):
        yield from _cost(used, told, tolerance, finding(What.COST, "", "", ""))


def _cost(used: Used, told: Told, tolerance: Tolerance, blank: Finding) -> Iterator[Finding]:
    cost_micro = told.cost_micro or 0
    allowed_micro = used.cost_micro * tolerance.cost_permille // _PERMILLE
    same = told.currency == used.currency
    if same and abs(cost_micro - used.cost_micro) <= allowed_micro:
        return
    theirs = f"{cost_micro} micro-{told.currency}"
    if same:
        theirs = format_money(cost_micro, told.currency)
    yield Finding(
        what=What.COST,
        site=blank.site,
        source=blank.source,
        attempt=blank.attempt,
        ours=format_money(used.cost_micro, used.currency),
        theirs=theirs,
        text=f"{told.lines} lines" if same else "in another currency, not compared",
    )


def _seconds(ms: int) -> str:
    return f"{ms / 1_000:.3f} s"
