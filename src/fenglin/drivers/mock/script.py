"""What goes wrong, for whom and how often; and how long tasks take."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from msgspec import Struct

from fenglin.model.reason import Reason
from fenglin.ports.driver import StartOrder


class Fault(StrEnum):
    """One way in which a site misbehaves.

    START_REFUSED: `start` fails, nothing happened.
    ANSWER_LOST: `start` takes effect and fails as unclear.
    CALL_LOST: `start` fails as unclear and nothing happened.
    HANG: the call waits until `release()`.
    UNKNOWN: `observe` says UNKNOWN of the key.
    UNREACHABLE: any call fails as unclear, without effect.
    RUNNER_LOST: the attempt ends at that observation; tasks that ran are lost.
    FORGOTTEN: the site loses the attempt altogether; its generation changes.
    NODE_DOWN: `inventory` tells nodes as down; the rule's `key` is the beginning of their names.

    Three are breaches of the contract, which a hub must survive all the same:

    ABSENT: `observe` says ABSENT of a key that is there, as a site that lists before it wrote.
    REPEATED: `observe` ignores the cursor and tells everything again.
    STOP_LOST: `stop` succeeds without effect.
    """

    START_REFUSED = "start_refused"
    ANSWER_LOST = "answer_lost"
    CALL_LOST = "call_lost"
    HANG = "hang"
    UNKNOWN = "unknown"
    ABSENT = "absent"
    REPEATED = "repeated"
    UNREACHABLE = "unreachable"
    STOP_LOST = "stop_lost"
    RUNNER_LOST = "runner_lost"
    FORGOTTEN = "forgotten"
    NODE_DOWN = "node_down"


class Rule(Struct):
    """A fault and when it strikes.

    Attributes:
        fault: What goes wrong.
        key: Only attempts whose key begins so; empty for all. `inventory`, `observe` as a whole
            and `keys` are called without a key.
        times: How often; negative for always. Counted down as it strikes.
    """

    fault: Fault
    key: str = ""
    times: int = 1

    def strikes(self, faults: tuple[Fault, ...], key: str) -> bool:
        """Return whether the rule applies now, counting it down if so."""
        if self.fault not in faults or not self.times or not key.startswith(self.key):
            return False
        if self.times > 0:
            self.times -= 1
        return True


class Outcome(Struct, frozen=True):
    """How one task goes.

    Attributes:
        wall_ms: Its runtime.
        exit_code: Its exit status.
        reason: Why it failed; by default EXIT_CODE for a non-zero status.
        output: What it wrote, to be read once it has ended; None for `task INDEX`.
    """

    wall_ms: int
    exit_code: int = 0
    reason: Reason | None = None
    output: bytes | None = None


# (order, task index) → how that task goes.
Behaviour = Callable[[StartOrder, int], Outcome]
