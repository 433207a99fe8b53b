"""Expected runtimes and the money held for them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fenglin.catalog.prices import estimate_micro
from fenglin.model.site import Flavor
from fenglin.planner.policy import Policy
from fenglin.snapshot.snapshot import Shape, Snapshot

# Later than any date in ms; sums and differences of two of them stay inside 64 bits.
FOREVER = 2**60


class Runtime(NamedTuple):
    """What is known of how long one task of a job takes.

    Attributes:
        reference_ms: Expected runtime on a flavor of speed 1.
        known: Whether that is learned, predicted or estimated rather than the policy's assumption.
        timeout_ms: Hard limit; 0 for none.
        limit_ms: What it is trusted not to exceed on speed 1, where there is no hard limit.
    """

    reference_ms: int
    known: bool
    timeout_ms: int
    limit_ms: int = 0

    def on(self, flavor: Flavor) -> int:
        """Return the expected runtime there: reference / speed, at least 1 ms."""
        expected = -(-self.reference_ms * 1_000 // max(1, flavor.speed_milli))
        if self.timeout_ms:
            expected = min(expected, self.timeout_ms)
        return max(1, expected)

    def limit_on(self, flavor: Flavor) -> int:
        """Return after what time a task there has surely ended; FOREVER for nobody knows.

        The hard limit where there is one. Else what is expected, but no less than its user
        asked for: that work ends early costs little, that it overstays delays who waits for its
        place. A mere assumption is no limit.
        """
        if self.timeout_ms:
            return self.timeout_ms
        if not self.known:
            return FOREVER
        return max(
            1, -(-max(self.reference_ms, self.limit_ms) * 1_000 // max(1, flavor.speed_milli))
        )


def runtime_of(snapshot: Snapshot, row: int, policy: Policy) -> Runtime:
    """Return what is known of a job's tasks.

    Its own ended tasks come first, then what its user's recent jobs predict, then the user's
    estimate, then the policy's assumption. The prediction comes before the estimate because
    users ask for several times what they need (D. Tsafrir, Y. Etsion, D. Feitelson,
    "Backfilling using system-generated predictions", IEEE TPDS 2007): it orders and ends work
    better. Where somebody else must be able to rely on an end, the estimate counts: `limit_on`.
    """
    learned, predicted, estimate, timeout = (
        int(column[row])
        for column in (
            snapshot.job_learned_ms,
            snapshot.job_predicted_ms,
            snapshot.job_estimate_ms,
            snapshot.job_timeout_ms,
        )
    )
    known = learned or predicted or estimate
    return Runtime(known or policy.unknown_ms, bool(known), timeout, max(known, estimate))


def limits_of(snapshot: Snapshot) -> tuple[list[int], list[int]]:
    """Return per job what it is trusted not to exceed on speed 1 (0: nobody knows), and timeout."""
    predicted = np.where(
        snapshot.job_predicted_ms > 0, snapshot.job_predicted_ms, snapshot.job_estimate_ms
    )
    known = np.where(snapshot.job_learned_ms > 0, snapshot.job_learned_ms, predicted)
    limits: list[int] = np.maximum(known, snapshot.job_estimate_ms).tolist()
    timeouts: list[int] = snapshot.job_timeout_ms.tolist()
    return limits, timeouts


def hold_per_task_micro(flavor: Flavor, shape: Shape, runtime: Runtime, policy: Policy) -> int:
    """Return the money to reserve for one task, so that the account is not overdrawn.

    Expected runtime times the policy's margin, at most the timeout; the whole timeout when
    nothing is known of the runtime. At least 1 where the flavor has any price.
    """
    expected = runtime.on(flavor) * policy.hold_margin_milli // 1_000
    if runtime.timeout_ms:
        expected = min(expected, runtime.timeout_ms) if runtime.known else runtime.timeout_ms
    need = shape.resources.times(shape.nodes)
    # Which tier it falls into is known when it is settled: what is held is enough for any.
    price = flavor.price_for(shape.tariff).dearest
    priced = (
        price.core_hour_micro * need.cpu_milli,
        price.memory_gib_hour_micro * need.memory_bytes,
        price.card_hour_micro * need.accelerator_milli,
        price.node_hour_micro,
        price.node_day_micro,
        price.task_micro,
        price.task_minimum_micro,
    )
    return max(int(any(priced)), estimate_micro(price, need, max(1, expected), 1))


def price_of_tasks_micro(flavor: Flavor, shape: Shape, task_ms: int, tasks: int) -> int:
    """Return the expected price of `tasks` tasks of that runtime on the flavor."""
    need = shape.resources.times(shape.nodes)
    return estimate_micro(flavor.price_for(shape.tariff), need, task_ms, tasks)
