"""Expected runtimes and the money held for them."""

from __future__ import annotations

from typing import NamedTuple

from fenglin.catalog.prices import estimate_micro
from fenglin.model.site import Flavor
from fenglin.planner.policy import Policy
from fenglin.snapshot.snapshot import Shape, Snapshot


class Runtime(NamedTuple):
    """What is known of how long one task of a job takes.

    Attributes:
        reference_ms: Expected runtime on a flavor of speed 1.
        known: Whether that is learned or estimated rather than the policy's assumption.
        timeout_ms: Hard limit; 0 for none.
    """

    reference_ms: int
    known: bool
    timeout_ms: int

    def on(self, flavor: Flavor) -> int:
        """Return the expected runtime there: reference / speed, at least 1 ms."""
        expected = -(-self.reference_ms * 1_000 // max(1, flavor.speed_milli))
        if self.timeout_ms:
            expected = min(expected, self.timeout_ms)
        return max(1, expected)


def runtime_of(snapshot: Snapshot, row: int, policy: Policy) -> Runtime:
    """Return what is known: ended tasks before the user's estimate before the assumption."""
    learned, estimate, timeout = (
        int(column[row])
        for column in (
            snapshot.job_learned_ms,
            snapshot.job_estimate_ms,
            snapshot.job_timeout_ms,
        )
    )
    return Runtime(learned or estimate or policy.unknown_ms, bool(learned or estimate), timeout)


def hold_per_task_micro(flavor: Flavor, shape: Shape, runtime: Runtime, policy: Policy) -> int:
    """Return the money to reserve for one task, so that the account is not overdrawn.

    Expected runtime times the policy's margin, at most the timeout; the whole timeout when
    nothing is known of the runtime. At least 1 where the flavor has any price.
    """
    expected = runtime.on(flavor) * policy.hold_margin_milli // 1_000
    if runtime.timeout_ms:
        expected = min(expected, runtime.timeout_ms) if runtime.known else runtime.timeout_ms
    need = shape.resources.times(shape.nodes)
    price = flavor.price
    priced = (
        price.core_hour_micro * need.cpu_milli,
        price.memory_gib_hour_micro * need.memory_bytes,
        price.card_hour_micro * need.accelerator_milli,
        price.task_minimum_micro,
    )
    return max(int(any(priced)), estimate_micro(price, need, max(1, expected), 1))


def price_of_tasks_micro(flavor: Flavor, shape: Shape, task_ms: int, tasks: int) -> int:
    """Return the expected price of `tasks` tasks of that runtime on the flavor."""
    need = shape.resources.times(shape.nodes)
    return estimate_micro(flavor.price, need, task_ms, tasks)
