"""The driver contract: what a site must be able to do, and nothing more.

Every optional ability is a one-method Protocol of its own below, asked for by `capability`,
so that a third party's driver stays small. All calls are idempotent by attempt key; all may
raise `DriverError`, whose `effect_unknown` says whether the key must be looked up before a
retry; none blocks the event loop.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from msgspec import Struct

from fenglin.model.allocation import Share, TaskEnd, Usage
from fenglin.model.reason import Reason
from fenglin.model.site import Flavor, Node
from fenglin.quantities.resources import Resources

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

LOG_CAP_BYTES = 4 * 2**20
STOP_GRACE_MS = 10_000


class StagedInput(Struct, frozen=True):
    """A file or folder that must stand in each task's working directory before it starts.

    Attributes:
        target: Relative path in the working directory.
        source: Absolute path on the hub's machine; a folder is brought with all below it.
        executable: Whether the file gets the execute bit.
    """

    target: str
    source: str
    executable: bool = False


class StartOrder(Struct, frozen=True):
    """Everything a site needs to run one attempt of an allocation.

    Attributes:
        key: Attempt key; the site's object carries it and exists at most once.
        epoch: Leader's epoch; a site that has seen a higher one for this key refuses.
        hub: Id of the hub, put on every outside object.
        job: Public job id.
        job_name: For people.
        site: Name of the site.
        flavor: Name of the flavor.
        tasks: Task set in text form, such as `0-99`.
        task_count: Size of the whole array (`FENGLIN_TASK_COUNT`).
        tries: (task index, try number) for tasks whose try number is not 1.
        shares: Slots per node. At most `slots` tasks run at once.
        nodes: Nodes per task (gang); 1 for an ordinary task.
        resources: Needs of one task on one node.
        command: Argument vector; empty when `script` is given.
        script: Text to run.
        env: (name, value) pairs added to the task's environment.
        workdir: Absolute directory to start in; empty for a fresh one per task.
        inputs: What is brought first.
        artifacts: Globs kept after success.
        artifacts_dir: Folder on the hub's machine that receives `<task index>/…`.
        timeout_ms: Hard limit per task; 0 for none.
        grace_ms: Between the polite and the final signal.
        log_cap_bytes: Most output kept per task; the middle of longer output is dropped
            and the number of bytes dropped is noted in its place.
    """

    key: str
    epoch: int
    hub: str
    job: str
    job_name: str
    site: str
    flavor: str
    tasks: str
    task_count: int
    tries: tuple[tuple[int, int], ...]
    shares: tuple[Share, ...]
    nodes: int
    resources: Resources
    command: tuple[str, ...]
    script: str
    env: tuple[tuple[str, str], ...]
    workdir: str
    inputs: tuple[StagedInput, ...]
    artifacts: tuple[str, ...]
    artifacts_dir: str
    timeout_ms: int
    grace_ms: int = STOP_GRACE_MS
    log_cap_bytes: int = LOG_CAP_BYTES

    @property
    def slots(self) -> int:
        """Return how many tasks (gangs, when `nodes` > 1) may run at once."""
        return max(1, sum(share.slots for share in self.shares) // self.nodes)


class Capability(StrEnum):
    """What a driver may be able to do and may leave out; it declares what it can.

    The conformance suite tests what is declared and skips the rest; `fenglin driver list`
    shows it.

    ARRAYS: an order may hold many tasks.
    GANGS: an order may want several nodes per task; they start all or none.
    INPUTS: `StartOrder.inputs` stand in the working directory before a task starts.
    ARTIFACTS: what matches `StartOrder.artifacts` is kept in `artifacts_dir` after success.
    FOLLOW: output can be read while its task runs, not only after.
    FENCE: `start` under an epoch lower than one seen for the key is refused.
    MEMORY_LIMIT: a task that takes more memory than it asked for is ended, MEMORY_EXCEEDED.
    METERS: ends and usage tell CPU time and peak memory.
    """

    ARRAYS = "arrays"
    GANGS = "gangs"
    INPUTS = "inputs"
    ARTIFACTS = "artifacts"
    FOLLOW = "follow"
    FENCE = "fence"
    MEMORY_LIMIT = "memory_limit"
    METERS = "meters"


class Presence(StrEnum):
    """What a site knows of a key.

    ABSENT is said only after a complete, successful listing; UNKNOWN is everything unclear.
    """

    ABSENT = "absent"
    RUNNING = "running"
    ENDED = "ended"
    UNKNOWN = "unknown"


class Observation(Struct, frozen=True):
    """News of one attempt since a cursor.

    Attributes:
        key: Attempt key.
        presence: What the site knows of it.
        ends: Tasks that ended since the cursor, each exactly once over all cursors.
        started: Number of tasks started so far in this attempt.
        first_start_ms: Unix time of the first task's start; 0 while none has started.
        cursor: Opaque position to hand in next time; the hub commits it together with what
            it learned, so that no end is counted twice or missed.
        reason: Why the attempt ended before all its tasks did; None otherwise.
    """

    key: str
    presence: Presence
    ends: tuple[TaskEnd, ...] = ()
    started: int = 0
    first_start_ms: int = 0
    cursor: str = ""
    reason: Reason | None = None


class SiteReport(Struct, frozen=True):
    """What a site is observed to hold.

    Attributes:
        flavors: Observed or, for a site that cannot tell, as configured.
        nodes: Observed nodes with their state.
        licences: (name, count), sorted.
        generation: Changes when the site lost its memory (for a machine: its boot id).
    """

    flavors: tuple[Flavor, ...]
    nodes: tuple[Node, ...]
    licences: tuple[tuple[str, int], ...] = ()
    generation: str = ""


class LogChunk(Struct, frozen=True):
    """A piece of one task's output.

    Attributes:
        data: Raw bytes, not necessarily valid UTF-8.
        next_offset: Where to read on.
        complete: True when the task has ended and no output follows `next_offset`.
    """

    data: bytes
    next_offset: int
    complete: bool


@runtime_checkable
class Driver(Protocol):
    """One site, reached. Built by a `DriverFactory`; used by one hub at a time.

    Attributes:
        kind: Name of the kind of site, as the entry point has it.
        capabilities: What it can do beyond the methods below.
    """

    kind: str
    capabilities: frozenset[Capability]

    async def inventory(self) -> SiteReport:
        """Return what the site holds now. Idempotent; answers within 10 s."""
        ...

    async def start(self, order: StartOrder) -> None:
        """Make the attempt exist, at most once per key.

        A second call with the same key finds the first's object and returns. After `stop` of
        a key that never started, a start of it must not run the payload. Returns when the
        attempt is durable at the site, not when tasks run. Deadline 30 s.

        Raises:
            DriverError: refused (`effect_unknown` False) or unclear (True).
        """
        ...

    async def observe(self, cursors: Mapping[str, str]) -> Sequence[Observation]:
        """Return one observation per key, since that key's cursor (empty: from the start).

        Cost is one pass, not one remote call per key. An attempt whose record cannot be read
        now is UNKNOWN, never ABSENT. Deadline 30 s.
        """
        ...

    async def stop(self, key: str, grace_ms: int) -> None:
        """Ask the attempt to end: polite signal, grace, final signal. Returns at once.

        Idempotent; a key that has ended or never was is no error, and a later start of a
        never-started key will not run. The end itself is learned from `observe`.
        """
        ...

    async def usage(self, key: str) -> Usage:
        """Return the site's own total for an ended attempt, `billed_ms` equal to `wall_ms`.

        Raises:
            DriverError: the site has no record of it.
        """
        ...

    async def read_log(self, key: str, task: int, offset: int, limit: int) -> LogChunk:
        """Return up to `limit` bytes of a task's output from `offset`; empty when none yet."""
        ...

    async def keys(self) -> frozenset[str]:
        """Return all attempt keys the site holds for this hub: a complete listing or an error."""
        ...

    async def forget(self, key: str) -> None:
        """Drop an ended attempt's leftovers except its output. Idempotent."""
        ...

    async def close(self) -> None:
        """Release connections. Never touches running attempts."""
        ...


class DriverContext(Struct, frozen=True):
    """What every driver is given when it is built.

    Attributes:
        hub: Hub id for tags.
        site: Name of the site.
        directory: Folder on the hub's machine that belongs to this site's driver alone.
        wake: Called from any thread when there may be news, so that nothing waits for a poll.
        now_ms: Unix time in milliseconds.
    """

    hub: str
    site: str
    directory: Path
    wake: Callable[[], None]
    now_ms: Callable[[], int]


class DriverFactory(Protocol):
    """What the entry point group `fenglin.drivers` names: builds a driver from configuration."""

    def __call__(self, context: DriverContext, settings: Mapping[str, object]) -> Driver:
        """Check the settings of a `[site.NAME]` block and return the driver.

        Raises:
            InputError: a setting is unknown, missing or wrong; says which and what is allowed.
        """
        ...
