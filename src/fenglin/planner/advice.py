"""What would have to change for a waiting job to start now, in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from fenglin.fairness import quota
from fenglin.fairness.tree import tree_of
from fenglin.model.plan import Option
from fenglin.model.reason import Reason
from fenglin.planner.feasible import EXCEEDS, out_of_service, refuse
from fenglin.planner.view import FlavorView
from fenglin.planner.words import amount_of, count_of
from fenglin.quantities.durations import format_duration
from fenglin.quantities.money import format_money
from fenglin.snapshot.snapshot import Shape, Snapshot


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known of a job that waits.

    Attributes:
        snapshot: What was planned.
        row: Job row.
        shape: Its shape.
        reason: Why it waits.
        options: As in its receipt.
        start_ms: Expected start; 0 unknown.
        flavors: All flavors.
        account_left_micro: Money its account had at its turn.
        hold_micro: Per flavor, money to hold for one of its tasks.
        queue_used: [Q][D] what queues held at its turn.
        instead: Says what it could be instead to start now; worked out when it matters.
    """

    snapshot: Snapshot
    row: int
    shape: Shape
    reason: Reason
    options: tuple[Option, ...]
    start_ms: int
    flavors: tuple[FlavorView, ...]
    account_left_micro: int
    hold_micro: tuple[int, ...]
    queue_used: Sequence[Sequence[int]]
    instead: Callable[[], str]


def advise(case: Situation) -> str:
    """Return the sentence for the job's reason."""
    sentence = _ADVICE.get(case.reason, _wait_for_room)(case)
    if case.reason not in _FOR_ROOM:
        return sentence
    now = case.instead()
    return f"{sentence}; now {now}" if now else sentence


def _in(case: Situation) -> str:
    """Return `, expected in 40s` where a date is known."""
    if not case.start_ms:
        return ""
    return f", expected in {format_duration(max(0, case.start_ms - case.snapshot.now_ms))}"


def _not_before(case: Situation) -> str:
    wait_ms = int(case.snapshot.job_not_before_ms[case.row]) - case.snapshot.now_ms
    return f"starts at its earliest start, in {format_duration(wait_ms)}"


def _dependency(case: Situation) -> str:
    blocked = count_of(int(case.snapshot.job_blocked[case.row]), "task")
    return f"starts when its parents have ended; {blocked} wait for them"


def _concurrency(case: Situation) -> str:
    limit = int(case.snapshot.job_concurrency[case.row])
    return f"starts when one of its {limit} running tasks ends{_in(case)}, or with a higher limit"


def _quota(case: Situation) -> str:
    """Name the queues whose quota is short: the job's own, or what above it is short too."""
    queues = case.snapshot.queues
    own = int(case.snapshot.job_queue[case.row])
    need = case.shape.resources.times(case.shape.nodes).values()
    path = list(tree_of(queues).path(own))
    rooms = [quota.room(queues, case.queue_used, row) or () for row in path]
    short: dict[int, list[str]] = {}
    for dimension, want in enumerate(need):
        lacks = [want - room[dimension] if room else 0 for room in rooms]
        # Upward as long as it is short: there more quota, or less use, would help.
        full = list(takewhile(lambda lack: lack > 0, lacks))
        if full:
            short.setdefault(path[len(full) - 1], []).append(amount_of(dimension, full[-1]))
    lines = [
        f"queue {queues[row].name}{'' if row == own else f', above {queues[own].name},'}"
        f" is short of {' and '.join(amounts)} of its quota"
        for row, amounts in short.items()
    ]
    return "; ".join(lines) or f"queue {queues[own].name} is short of room of its quota"


def _budget(case: Situation) -> str:
    holds = [
        (hold, view)
        for hold, view in zip(case.hold_micro, case.flavors, strict=True)
        if refuse(case.shape, view) is None and out_of_service(case.shape, view) is None
    ]
    if not holds:
        return "needs a site in service"
    hold, view = min(holds, key=lambda pair: (pair[0], pair[1].row))
    account = case.snapshot.accounts[int(case.snapshot.job_account[case.row])]
    currency = view.flavor.price_for(case.shape.tariff).currency
    short = format_money(max(0, hold - case.account_left_micro), currency)
    return f"account {account} is short of {short} for one task on {view.label}"


def _nowhere(case: Situation) -> str:
    """Name the option that is nearest: refused for one amount, by the smallest part of it."""
    near: list[tuple[float, str]] = []
    for view in case.flavors:
        refusal = refuse(case.shape, view)
        if refusal is None or refusal.reason not in EXCEEDS:
            continue
        over = [
            (want, want - has, dimension)
            for dimension, (want, has) in enumerate(
                zip(case.shape.resources.values(), view.flavor.node.values(), strict=True)
            )
            if want > has
        ]
        less = " and ".join(f"{amount_of(dimension, more)} less" for _, more, dimension in over)
        part = sum(more / want for want, more, _ in over)
        near.append((part, f"needs {less} per task to fit on {view.label}"))
    if near:
        return min(near)[1]
    nearest = next((option for option in case.options if option.evidence), None)
    if nearest is None:
        return "needs a site: the pool has none"
    return f"nothing in the pool suits it; {nearest.site}/{nearest.flavor}: {nearest.evidence}"


def _service(case: Situation) -> str:
    off = [o for o in case.options if o.reason is case.reason]
    names = ", ".join(sorted({option.site for option in off})) or "a site"
    return f"starts when {names} takes work again"


def _better(case: Situation) -> str:
    return f"waits for faster slots that it already holds{_in(case)}"


def _behind(case: Situation) -> str:
    return f"starts when the jobs ahead of it leave room{_in(case)}, or with a higher priority"


def _wait_for_room(case: Situation) -> str:
    """Name the busy option that is expected to have room first."""
    busy = [option for option in case.options if option.reason and option.reason.transient]
    dated = [option for option in busy if option.start_ms]
    if not dated:
        return "starts when running tasks end"
    first = min(dated, key=lambda option: (option.start_ms, option.site, option.flavor))
    where = f"{first.site}/{first.flavor}"
    part = f" on each of {case.shape.nodes} nodes" if case.shape.nodes > 1 else " on one node"
    need = " and ".join(
        amount_of(dimension, amount)
        for dimension, amount in enumerate(case.shape.resources.values())
        if amount
    )
    return f"starts when {need or 'a slot'}{part} of {where} are free{_in(case)}"


def _reserved(case: Situation) -> str:
    return f"starts when it is no longer kept for the jobs ahead{_in(case)}"


# Where less, shorter or elsewhere would help at once.
_FOR_ROOM = (
    Reason.CPU_BUSY,
    Reason.MEMORY_BUSY,
    Reason.DISK_BUSY,
    Reason.ACCELERATOR_BUSY,
    Reason.GANG_WAITS,
    Reason.BEHIND_OTHERS,
    Reason.RESERVED_FOR_OTHERS,
)


def _evicting(case: Situation) -> str:
    return f"starts when running tasks that make room for it have ended{_in(case)}"


_ADVICE: Mapping[Reason, Callable[[Situation], str]] = {
    Reason.NOT_BEFORE: _not_before,
    Reason.DEPENDENCY_PENDING: _dependency,
    Reason.CONCURRENCY_LIMIT: _concurrency,
    Reason.QUEUE_QUOTA: _quota,
    Reason.BUDGET_EXHAUSTED: _budget,
    Reason.NO_SITE_CAN_HOLD: _nowhere,
    Reason.SITE_DOWN: _service,
    Reason.SITE_DRAINED: _service,
    Reason.NODE_DOWN: _service,
    Reason.BETTER_ELSEWHERE: _better,
    Reason.WAITS_FOR_EVICTION: _evicting,
    Reason.BEHIND_OTHERS: _behind,
    Reason.RESERVED_FOR_OTHERS: _reserved,
}
