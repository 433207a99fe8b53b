"""The driver contract: what a site must be able to do, and nothing more.

What holds for every call:

- It is idempotent by attempt key: made twice, also at the same time and by another process of
  the same hub, it has the effect of one.
- It may raise `DriverError`. `effect_unknown` says whether the effect may have happened
  nevertheless; then the hub looks the key up before it tries again. A time-out is unknown.
- It may be cancelled at any await: the hub does that when the call's deadline has passed. A
  cancelled call may have had its effect, and leaves nothing behind that holds up the next.
- It never blocks the event loop. The latencies below are what the hub plans with, the
  deadlines what it enforces; one slow site holds up no other.
- Many calls may be under way at once, at most 16 of them starts, stops and forgets.

What a driver may be able to do beyond that it declares by `capabilities`: an order that needs
what is not declared is refused. Abilities with a call of their own are one-method Protocols at
the end of this file; the hub asks `capabilities`, never the type.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from fenglin.model.allocation import Share, TaskEnd, Usage
from fenglin.model.reason import Reason
from fenglin.model.secret import Secret
from fenglin.model.site import Flavor, Node
from fenglin.model.wishes import SchedulerWish
from fenglin.quantities.resources import Resources

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from fenglin.ports.charge import Charge
    from fenglin.quantities.taskset import TaskSet

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
        image: Container image in which the tasks run; empty for the node as it is.
        setup: Script that prepares the environment before the first task, once per site and
            content; empty for none.
        licences: (name, count) that each task holds while it runs, sorted.
        account: Of the hub, who pays.
        wishes: What the job asks of the site's own scheduler, by name.
        secrets: (name, value) pairs added to the task's environment and to nothing else: no
            command line, log, listing or error may show a value, no file that others can read
            may hold it, and none may outlive the attempt. Given with each `start` of the key.
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
    image: str = ""
    setup: str = ""
    licences: tuple[tuple[str, int], ...] = ()
    account: str = ""
    wishes: tuple[SchedulerWish, ...] = ()
    secrets: tuple[tuple[str, Secret], ...] = ()

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
    IMAGES: `StartOrder.image` is what the tasks run in.
    SETUP: `StartOrder.setup` has run, once per site and content, before a task starts.
    INPUTS: `StartOrder.inputs` stand in the working directory before a task starts.
    ARTIFACTS: what matches `StartOrder.artifacts` is kept in `artifacts_dir` after success.
    FOLLOW: output can be read while its task runs, not only after.
    FENCE: `start` under an epoch lower than one seen for the key is refused.
    MEMORY_LIMIT: a task that takes more memory than it asked for is ended, MEMORY_EXCEEDED.
    METERS: ends and usage tell CPU time and peak memory.
    STOP_TASKS: single tasks can be ended, see `StopsTasks`.
    SIGNAL: running tasks can be sent a signal, see `Signals`.
    SUSPEND: running attempts can be paused, see `Suspends`.
    PROVISION: the site buys and returns nodes on demand, see `Provisions`.
    FORWARD: a port of a running task can be reached, see `Forwards`.
    COSTS: the site tells what it charges, see `ReportsCosts`.
    ENERGY: the site's own meters tell what attempts took, see `ports.energy`.
    SECRETS: `StartOrder.secrets` reach the tasks and nobody else.
    """

    ARRAYS = "arrays"
    GANGS = "gangs"
    IMAGES = "images"
    SETUP = "setup"
    INPUTS = "inputs"
    ARTIFACTS = "artifacts"
    FOLLOW = "follow"
    FENCE = "fence"
    MEMORY_LIMIT = "memory_limit"
    METERS = "meters"
    STOP_TASKS = "stop_tasks"
    SIGNAL = "signal"
    SUSPEND = "suspend"
    PROVISION = "provision"
    FORWARD = "forward"
    COSTS = "costs"
    ENERGY = "energy"
    SECRETS = "secrets"


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
        capabilities: What of the declared the site as it is can do, where only asking it tells
            (a host may have no container runtime); None for all of it.
    """

    flavors: tuple[Flavor, ...]
    nodes: tuple[Node, ...]
    licences: tuple[tuple[str, int], ...] = ()
    generation: str = ""
    capabilities: frozenset[Capability] | None = None


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


class Driver(Protocol):
    """One site, reached. Built by a `DriverFactory`; used by one hub at a time.

    Attributes:
        kind: Name of the kind of site, as the entry point has it.
        capabilities: What it can do beyond the methods below. Constant.
    """

    kind: str
    capabilities: frozenset[Capability]

    async def inventory(self) -> SiteReport:
        """Return what the site holds now. Changes nothing.

        Expected within 1 s; the hub's deadline is 10 s. A node that is drained, down or gone is
        told with `up` False or not at all. The answer is for the site as it is: a cached one is
        not older than a minute.

        Raises:
            DriverError: the site cannot be asked; the hub keeps what it knew and shows since when.
        """
        ...

    async def start(self, order: StartOrder) -> None:
        """Make the attempt exist, at most once per key.

        Returns when the attempt is durable at the site (it outlives driver, hub and connection),
        not when tasks run. Expected within 1 s; the hub's deadline is 30 s.

        Idempotence: a second call with the same key finds the first's object and returns,
        whether that is queued, runs or has ended. Already gone: after `stop` of a key that never
        started, a start of it runs nothing and `observe` says ENDED with CANCELLED. After
        `forget` the hub never starts the key again.

        Raises:
            DriverError: refused for certain, nothing exists (`effect_unknown` False): the hub
                goes elsewhere at once. Or unclear (True): the hub looks the key up.
        """
        ...

    async def observe(self, cursors: Mapping[str, str]) -> Sequence[Observation]:
        """Return one observation per key, since that key's cursor (empty: from the start).

        Changes nothing. Expected within 1 s for 10,000 keys, since it is one pass or one remote
        listing for all of them, never a call per key; the hub's deadline is 30 s.

        Idempotence: from the same cursor the same ends follow, in the same order, also after a
        restart of the hub; over a chain of cursors each end is told exactly once. A cursor that
        is not understood makes its key UNKNOWN. Already gone: a key that a complete, successful
        listing lacks is ABSENT; one that cannot be read now is UNKNOWN. An ended attempt stays
        ENDED until `forget`.

        Raises:
            DriverError: nothing can be told of any key; the hub takes it as UNKNOWN of each.
        """
        ...

    async def stop(self, key: str, grace_ms: int) -> None:
        """Ask the attempt to end: polite signal (SIGTERM), grace, final signal (SIGKILL).

        Returns when the wish is durable at the site; the end itself is learned from `observe`,
        as CANCELLED. Expected within 1 s; the hub's deadline is 30 s, after which it asks again
        until the site has heard it.

        Idempotence: a second stop changes nothing, but for a shorter grace if the site can.
        Already gone: a key that has ended keeps the end it had; one that never was is no error,
        and a later start of it will not run.

        Raises:
            DriverError: it is not certain that the site has heard it.
        """
        ...

    async def usage(self, key: str) -> Usage:
        """Return the site's own total for an ended attempt, `billed_ms` equal to `wall_ms`.

        Changes nothing; the same answer until `forget`, and after it where the site keeps
        records. Expected within 1 s; a site whose accounting lags says so by an error.

        Raises:
            DriverError: the site has no record of it (yet). Never an empty usage instead.
        """
        ...

    async def read_log(self, key: str, task: int, offset: int, limit: int) -> LogChunk:
        """Return up to `limit` bytes of a task's output from `offset`; empty when none yet.

        Changes nothing. Expected within 100 ms: people watch. With FOLLOW a running task's
        output is told as it grows, else all of it after its end. Already gone: a key or a task
        without output is an empty chunk; output stays readable after `forget`.

        Raises:
            DriverError: output may be there and cannot be read now.
        """
        ...

    async def keys(self) -> frozenset[str]:
        """Return all attempt keys the site holds for this hub: a complete listing or an error.

        Changes nothing. Holds every key from the return of its `start` (or its `stop`, for one
        that was forbidden) until its `forget`, and only keys that carry this hub's tag. Expected
        within 1 s, and one listing call per 10,000 keys; the hub's deadline is 30 s.

        Raises:
            DriverError: the listing is not complete. Part of one is never returned.
        """
        ...

    async def forget(self, key: str) -> None:
        """Drop an ended attempt's leftovers except its output.

        Expected within 1 s. Idempotent; a key that is gone is no error.

        Raises:
            DriverError: it still runs (nothing was dropped), or the site cannot be asked.
        """
        ...

    async def close(self) -> None:
        """Release connections. Never touches attempts. Idempotent; within 5 s, never raises."""
        ...


class StopsTasks(Protocol):
    """Capability STOP_TASKS: some tasks of an attempt can be ended while the others go on."""

    async def stop_tasks(self, key: str, tasks: TaskSet, grace_ms: int) -> None:
        """End these tasks: polite signal, grace, final signal; those that wait never begin.

        Returns when the wish is durable at the site; the ends are learned from `observe`, as
        CANCELLED, without runtime for a task that had not begun. All other tasks go on, and the
        attempt ends as if these had ended by themselves. Asked only of a key whose start was
        answered, again until it is heard. Expected within 1 s; the hub's deadline is 30 s.

        Idempotent; later calls add to it. Already gone: an ended task, or a key, is no error.

        Raises:
            DriverError: it is not certain that the site has heard it.
        """
        ...


class Signals(Protocol):
    """Capability SIGNAL: a task can be told to save its state before it is evicted."""

    async def signal(self, key: str, number: int) -> None:
        """Send a signal to the processes of all tasks of the attempt that run now.

        Returns when it is sent, not when it has acted. Each call sends one. Already gone: an
        ended or unknown key is no error.

        Raises:
            DriverError: it is not certain that it was sent.
        """
        ...


class Suspends(Protocol):
    """Capability SUSPEND: an attempt can be paused in place, keeping its memory."""

    async def suspend(self, key: str, *, paused: bool) -> None:
        """Pause the attempt's running tasks, or let them go on.

        Idempotent: it states a wish. A paused attempt is RUNNING to `observe`, and `stop` ends
        it. Already gone: an ended or unknown key is no error.

        Raises:
            DriverError: it is not certain that the site has heard it.
        """
        ...


class Provisions(Protocol):
    """Capability PROVISION: nodes are bought when they are wanted and returned when idle."""

    async def provision(self, flavor: str, nodes: int) -> None:
        """Want a flavor to have this many nodes, those included that run attempts now.

        Idempotent: it states a wish, not a difference, and returns when the wish is durable.
        Nodes show in `inventory` when they are usable. Nodes that run an attempt are not
        returned before it has ended.

        Raises:
            DriverError: refused for certain, such as by a quota or a price ceiling, or unclear.
        """
        ...


class Forwards(Protocol):
    """Capability FORWARD: a service inside a running task can be reached."""

    async def forward(self, key: str, task: int, port: int) -> tuple[StreamReader, StreamWriter]:
        """Connect to a TCP port on the node where a task runs; one connection per call.

        Raises:
            DriverError: the task does not run now, or nothing listens there.
        """
        ...


class ReportsCosts(Protocol):
    """Capability COSTS: the provider's own bill can be read, to be reconciled with ours."""

    async def charges(self, since_ms: int, until_ms: int) -> Sequence[Charge]:
        """Return all lines that end in [since, until), in order of their end, then of their id.

        Changes nothing. Lines may still come for a time that was asked for already: providers
        bill late.

        Raises:
            DriverError: the list is not complete.
        """
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

        The site is not asked: a hub starts while its sites are down, and reaches them later.

        Raises:
            InputError: a setting is unknown, missing or wrong; says which and what is allowed.
        """
        ...
