"""What a pool wants, as data: the planner has no opinion that is not written here."""

from __future__ import annotations

from msgspec import Struct

from fenglin.errors import NotFoundError


class Policy(Struct, frozen=True, omit_defaults=True):
    """Weights and limits of one way to plan.

    Attributes:
        name: Shown in plans and receipts.
        weights: (term, weight) pairs; terms are registered in `planner.rank`.
        fair: Whether queues take turns by weighted dominant share; False for strict order of
            submission over all queues.
        patience: A job leaves an idle option alone when the slots it holds can do all its
            waiting tasks within `patience` times one task's runtime on that option. 1 waits
            when waiting is no later, 0 never waits.
        split_divisor: The part of a job's waiting tasks handed out at once is 1/divisor
            (guided self-scheduling); the rest keeps sites level at the end.
        horizon_ms: Most expected work per slot in one allocation, once runtimes are known.
        least_ms: Least expected work per slot in one allocation, so that tasks of a few
            milliseconds are not planned one by one.
        probe_depth: Most tasks per slot while runtimes are unknown.
        unknown_ms: Assumed runtime, on speed 1, of a task of which nothing is known.
        hold_margin_milli: Money held is the expected price times this, in thousandths.
        max_shares: Most nodes in one allocation.
        backfill: Which waiting jobs hold future capacity that others may not delay: `none`,
            `easy` (those at the head), `conservative` (all, up to `reservations`).
        reservations: Most jobs that hold future capacity: of each cycle, by planning order.
        guard_ms: A job that has waited this long goes before all of its priority; 0 for never.
        decay_ms: Half-life of past use in fair turns; 0 counts only what is held now.
        pack: How a node is chosen: `first` (by name), `best` (tightest), `fgd` (least
            fragmentation).
        preempt: Whether jobs of higher priority may interrupt preemptible ones.
        preempt_gain: How many times the work that it destroys an eviction must bring.
        improve_steps: Budget of the local search that improves a plan, in moves tried.
    """

    name: str = "balanced"
    weights: tuple[tuple[str, float], ...] = (("finish", 0.7), ("money", 0.3))
    fair: bool = True
    patience: float = 1.0
    split_divisor: float = 2.0
    horizon_ms: int = 60_000
    least_ms: int = 250
    probe_depth: int = 8
    unknown_ms: int = 60_000
    hold_margin_milli: int = 1_500
    max_shares: int = 64
    backfill: str = "easy"
    reservations: int = 8
    guard_ms: int = 0
    decay_ms: int = 0
    pack: str = "first"
    preempt: bool = True
    preempt_gain: float = 1.0
    improve_steps: int = 0


BALANCED = Policy()
FAST = Policy(name="fast", weights=(("finish", 1.0),))
# A cheap pool also lets tasks wait somewhat longer for the cheap slots that they hold.
CHEAP = Policy(name="cheap", weights=(("finish", 0.05), ("money", 0.95)), patience=2.0)
FCFS = Policy(name="fcfs", weights=(), fair=False, patience=0.0)

_BUILT_IN = {policy.name: policy for policy in (BALANCED, FAST, CHEAP, FCFS)}


def built_in(name: str) -> Policy:
    """Return the policy of that name.

    Raises:
        NotFoundError: there is none.
    """
    if name not in _BUILT_IN:
        known = ", ".join(sorted(_BUILT_IN))
        raise NotFoundError(f"no policy is named {name!r}", hint=f"choose one of {known}")
    return _BUILT_IN[name]
