"""Records of use: our own late ones, and those of a provider's accounting.

Both have a key that is theirs for ever. The same key with the same body is the same record; with
another body it is a contradiction, which is told and never resolved by overwriting.
"""

from __future__ import annotations

import hashlib

import msgspec
from msgspec import Struct

_ENCODER = msgspec.msgpack.Encoder()
DIGEST_BYTES = 16
# Ten years; what claims to have run longer is no measurement.
MOST_MS = 10 * 366 * 86_400_000


class UseRecord(Struct, frozen=True, array_like=True, gc=False):
    """The end of one task in one attempt, told after the attempt was settled or by another way.

    Attributes:
        attempt: Attempt key.
        task: Index of the task.
        started_ms: Unix time.
        wall_ms: By a monotonic clock.
        cpu_ms: Consumed; 0 unknown.
    """

    attempt: str
    task: int
    started_ms: int
    wall_ms: int
    cpu_ms: int = 0

    @property
    def key(self) -> str:
        """Return what names the record for ever: a task ends once in an attempt."""
        return f"{self.attempt}/{self.task}"


class ProviderRecord(Struct, frozen=True, array_like=True, gc=False):
    """One line of a provider's accounting. None means that it does not say.

    Attributes:
        line: The provider's own name of it, unique in its series for ever.
        attempt: Our attempt key, found in its tag; empty for none.
        resource: What was measured, such as a job's element, a pod or a machine.
        started_ms: Unix time; 0 unknown.
        ended_ms: Unix time.
        wall_ms: How long it ran.
        core_ms: Cores held × time.
        card_ms: Cards held × time.
        energy_j: Of the machines alone.
        cost_micro: What is charged; negative for a credit.
        currency: Of the cost; empty without one.
        what: The provider's words.
    """

    line: str
    attempt: str
    resource: str
    started_ms: int
    ended_ms: int
    wall_ms: int | None = None
    core_ms: int | None = None
    card_ms: int | None = None
    energy_j: int | None = None
    cost_micro: int | None = None
    currency: str = ""
    what: str = ""


def digest(record: UseRecord | ProviderRecord) -> bytes:
    """Return what two records share only if all their fields are equal."""
    return hashlib.blake2b(_ENCODER.encode(record), digest_size=DIGEST_BYTES).digest()
