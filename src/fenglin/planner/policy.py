"""What a pool wants, as data: the planner has no opinion that is not written here."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct, field
from msgspec.structs import fields

from fenglin.errors import NotFoundError
from fenglin.planner.terms import BUILT_IN as BUILT_IN_TERMS
from fenglin.planner.terms import Rule

_DAY_MS = 86_400_000


class Backfill(StrEnum):
    """Which waiting jobs hold future capacity that others may not delay."""

    NONE = "none"
    EASY = "easy"
    CONSERVATIVE = "conservative"


class Packing(StrEnum):
    """How a node is chosen within a flavor."""

    FIRST = "first"
    BEST = "best"
    FGD = "fgd"


class Policy(Struct, frozen=True, omit_defaults=True):
    """Weights and limits of one way to plan.

    Attributes:
        name: Shown in plans and receipts.
        purpose: What it is for, in one sentence.
        weights: (term, weight) pairs; see `planner.terms`.
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
            `easy` (those at the head), `conservative` (all, up to `reservations`, and kept from
            cycle to cycle).
        reservations: Most jobs that hold future capacity: of each cycle, by planning order. A job
            beyond is promised no start.
        guard_ms: A job that has waited this long goes before all of its priority; 0 for never.
        decay_ms: Half-life of past use in fair turns; 0 counts only what is held now.
        pack: How a node is chosen: `first` (by name), `best` (tightest), `fgd` (least
            fragmentation).
        preempt: Whether jobs of higher priority may interrupt preemptible ones.
        preempt_gain: How many times the work that it destroys an eviction must bring.
        improve_steps: Budget of the local search that improves a plan, in places tried; 0 for
            none.
    """

    name: str = "balanced"
    purpose: str = "Fair turns; sooner before cheaper, and near to whom a job serves."
    # So little of `fragmentation` that it decides among equals: tasks without cards leave nodes
    # with cards to those that need them.
    weights: tuple[tuple[str, float], ...] = (
        ("finish", 0.7),
        ("money", 0.3),
        ("latency", 0.3),
        ("fragmentation", 0.05),
    )
    fair: bool = True
    patience: float = 1.0
    split_divisor: float = 2.0
    horizon_ms: int = 60_000
    least_ms: int = 250
    probe_depth: int = 8
    unknown_ms: int = 60_000
    hold_margin_milli: int = 1_500
    max_shares: int = 64
    backfill: Backfill = Backfill.EASY
    reservations: int = 8
    guard_ms: int = 0
    decay_ms: int = 0
    pack: Packing = Packing.FIRST
    preempt: bool = True
    preempt_gain: float = 1.0
    improve_steps: int = 100


class EquippedPolicy(Policy, frozen=True):
    """A policy with the terms that it weighs beyond the built-in ones; made by `equip`.

    Attributes:
        rules: Every term that it may weigh, by name.
    """

    rules: Mapping[str, Rule] = field(default_factory=dict)


def equip(policy: Policy, found: Mapping[str, Rule]) -> Policy:
    """Return the policy with those of the found terms that it weighs.

    The terms are no part of a policy's data: who stores a policy stores `data_of` it, and
    equips it again after reading it.
    """
    own = {name: found[name] for name, _ in policy.weights if name in found}
    return EquippedPolicy(**_fields(policy), rules={**BUILT_IN_TERMS, **own}) if own else policy


def data_of(policy: Policy) -> Policy:
    """Return the policy as data alone, without the terms it was equipped with."""
    return Policy(**_fields(policy))


def _fields(policy: Policy) -> dict[str, Any]:
    return {one.name: getattr(policy, one.name) for one in fields(Policy)}


BALANCED = Policy()
FAST = Policy(
    name="fast",
    purpose="The earliest finish, whatever it costs.",
    weights=(("finish", 1.0), ("latency", 0.3)),
)
# A cheap pool also lets tasks wait somewhat longer for the cheap slots that they hold.
CHEAP = Policy(
    name="cheap",
    purpose="The least money, data that has to be brought included; waits for cheap slots.",
    weights=(("finish", 0.05), ("money", 0.95)),
    patience=2.0,
)
GREEN = Policy(
    name="green",
    purpose="The least CO2 by the sites' grids and machines; waits for clean slots.",
    weights=(("carbon", 0.8), ("finish", 0.15), ("money", 0.05)),
    patience=2.0,
)
FAIR = Policy(
    name="fair",
    purpose="Fair turns that remember a week, between providers too; nobody waits a day unseen.",
    weights=(("finish", 0.5), ("money", 0.2), ("neutrality", 0.3)),
    guard_ms=_DAY_MS,
    decay_ms=7 * _DAY_MS,
)
FGD = Policy(
    name="fgd",
    purpose="Cards stay usable: tasks go where they leave the least that nobody else can use.",
    weights=(("fragmentation", 0.7), ("finish", 0.3)),
    pack=Packing.FGD,
)
# The three classic ones: by time of submission over all queues, nobody interrupted for another
# or asked to give way.
FCFS = Policy(
    name="fcfs",
    purpose="By time of submission, first option that fits, no room kept for what waits.",
    weights=(),
    fair=False,
    patience=0.0,
    backfill=Backfill.NONE,
    reservations=0,
    preempt=False,
    improve_steps=0,
)
EASY = Policy(
    name="easy",
    purpose="By time of submission; later jobs go first where they do not delay the head.",
    weights=(("finish", 1.0),),
    fair=False,
    patience=0.0,
    backfill=Backfill.EASY,
    reservations=1,
    preempt=False,
    improve_steps=0,
)
CONSERVATIVE = Policy(
    name="conservative",
    purpose="By time of submission; later jobs go first where they delay nobody ahead.",
    weights=(("finish", 1.0),),
    fair=False,
    patience=0.0,
    backfill=Backfill.CONSERVATIVE,
    reservations=100,
    preempt=False,
    improve_steps=0,
)

BUILT_IN: Mapping[str, Policy] = {
    policy.name: policy
    for policy in (BALANCED, FAST, CHEAP, GREEN, FAIR, FGD, FCFS, EASY, CONSERVATIVE)
}


def built_in(name: str) -> Policy:
    """Return the policy of that name.

    Raises:
        NotFoundError: there is none.
    """
    if name not in BUILT_IN:
        known = ", ".join(sorted(BUILT_IN))
        raise NotFoundError(f"no policy is named {name!r}", hint=f"choose one of {known}")
    return BUILT_IN[name]
