"""What a user asked for: the canonical job, after intake and before any decision."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from fenglin.model.reason import Reason
from fenglin.model.states import ComputeClass
from fenglin.quantities.resources import Resources

MAX_TASKS = 10_000_000
MAX_NODES = 100_000
# Priorities reach from -1000 to 1000: what is urgent goes before all that is not.
URGENT_AHEAD = 2_001
DEFAULT_QUEUE = "default"
DEFAULT_ACCOUNT = "default"


class AcceleratorNeed(Struct, frozen=True, order=True, omit_defaults=True):
    """Accelerators of one task, by exact model or by capability. The count is in `Resources`.

    Attributes:
        model: Registry name such as `A100-80`; empty for any.
        memory_bytes: Least memory per card; 0 for any.
        fp16_gflops: Least dense FP16 peak per card, in GFLOPS; 0 for any.
        fp64_gflops: Least FP64 peak per card, in GFLOPS; 0 for any.
        vendor: Maker, or its family such as `ascend`; empty for any.
        domestic: Whether its maker must be a Chinese one.
    """

    model: str = ""
    memory_bytes: int = 0
    fp16_gflops: int = 0
    fp64_gflops: int = 0
    vendor: str = ""
    domestic: bool = False


class AfterCondition(StrEnum):
    """When a dependency is met."""

    OK = "ok"
    ANY = "any"
    FAIL = "fail"


class Dependency(Struct, frozen=True, omit_defaults=True):
    """One job that must end first.

    Attributes:
        job: Public id (`j12`) of the parent.
        condition: Which ending counts.
        per_task: Task i waits for the parent's task i only; both arrays have equal size.
    """

    job: str
    condition: AfterCondition = AfterCondition.OK
    per_task: bool = False


class Topology(StrEnum):
    """How close the nodes of one task (gang) must be to each other."""

    ANY = "any"
    BLOCK = "block"


class DataNeed(Struct, frozen=True, order=True, omit_defaults=True):
    """Data that a job reads, wherever it runs.

    Attributes:
        name: Of the dataset.
        size_bytes: Read once per site that takes tasks of the job.
        sites: Sites that hold a copy, sorted; elsewhere it must be brought first.
    """

    name: str
    size_bytes: int
    sites: tuple[str, ...] = ()


class FileInput(Struct, frozen=True, omit_defaults=True):
    """A file brought to the task's working directory: an uploaded blob or a job's artifacts.

    Attributes:
        target: Relative path in the working directory.
        sha256: Content address of an uploaded file; empty when `artifacts_of` is given.
        size_bytes: Size of that file.
        executable: Whether the file gets the execute bit.
        artifacts_of: Public id of a job whose kept artifacts appear under `target`, one folder
            per task index.
    """

    target: str
    sha256: str = ""
    size_bytes: int = 0
    executable: bool = False
    artifacts_of: str = ""


class Retries(Struct, frozen=True, omit_defaults=True):
    """When a failed task is tried again.

    Attributes:
        limit: Most retries of one task after its first try.
        exit_codes: Exit codes that are retried; empty for any non-zero code.
        reasons: Reasons that are retried; empty for all transient ones.
    """

    limit: int = 0
    exit_codes: tuple[int, ...] = ()
    reasons: tuple[Reason, ...] = ()


class Overlap(StrEnum):
    """Whether a second attempt of a task may run while the first's end is not proven."""

    NEVER = "never"
    ALLOW = "allow"


class Mode(StrEnum):
    """How a use is served, and by which prices it is therefore charged."""

    SHARED = "shared"
    EXCLUSIVE = "exclusive"
    URGENT = "urgent"
    SPOT = "spot"


class JobSpec(Struct, frozen=True, omit_defaults=True):
    """A job as submitted; never changed afterwards.

    Attributes:
        name: For people; 1–128 printable characters.
        queue: Admission line.
        account: Who pays.
        priority: Larger starts earlier; -1000…1000.
        tasks: Size of the array, 1 for a plain job.
        concurrency: Most tasks running at once; 0 for no limit.
        resources: Needs of one task (of one node of it when `nodes` > 1).
        accelerator: Which cards `resources.accelerator_milli` counts.
        licences: (name, count) per task, sorted by name.
        nodes: Nodes of one task; all start together (gang).
        command: Argument vector; empty when `script` is given.
        script: Text run by its own `#!` line or /bin/sh.
        env: Sorted (name, value) pairs.
        secrets: Sorted (name of a variable, name of a secret of the account) pairs.
        workdir: Directory in which the task starts; empty for a fresh one of its own.
        image: Container image in which the task runs; empty for the node as it is.
        setup: Script that prepares the environment, once per site and content, before the
            first task there; empty for none.
        files: What is brought before the start.
        artifacts: Globs below the working directory that are kept after success.
        retries: When to try again.
        estimate_ms: The user's expected runtime of one task on a flavor of speed 1; 0 unknown.
        timeout_ms: Hard limit of one task's runtime; 0 for none.
        deadline_ms: Unix time by which it should finish; 0 for none.
        not_before_ms: Unix time before which no task starts; 0 for none.
        after: Parents.
        overlap: See `Overlap`.
        compute_class: Only flavors of this class; None for any.
        sites: Only these sites; empty for any.
        regions: Only sites in these regions (data residency); empty for any.
        require: Sorted (key, value) labels that the site or flavor must carry.
        topology: How close the nodes of a gang must be.
        near: Site whose users it serves; its network distance counts. Empty for nobody's.
        latency_ms: Longest round trip to `near` that is of use; 0 for any.
        data: What it reads, sorted.
        preemptible: Whether it may be interrupted for another job.
        checkpoint_ms: Most work of a task lost when it is interrupted; 0 for all of it.
        labels: Sorted (key, value) pairs.
        mode: How it is served: with others; with whole nodes for itself; before all that is not
            urgent; where it may be interrupted at any time (then `preemptible` is set).
    """

    name: str
    queue: str = DEFAULT_QUEUE
    account: str = DEFAULT_ACCOUNT
    priority: int = 0
    tasks: int = 1
    concurrency: int = 0
    resources: Resources = Resources(cpu_milli=1_000, memory_bytes=2**28)
    accelerator: AcceleratorNeed | None = None
    licences: tuple[tuple[str, int], ...] = ()
    nodes: int = 1
    command: tuple[str, ...] = ()
    script: str = ""
    env: tuple[tuple[str, str], ...] = ()
    workdir: str = ""
    image: str = ""
    setup: str = ""
    files: tuple[FileInput, ...] = ()
    artifacts: tuple[str, ...] = ()
    retries: Retries = Retries()
    estimate_ms: int = 0
    timeout_ms: int = 0
    deadline_ms: int = 0
    not_before_ms: int = 0
    after: tuple[Dependency, ...] = ()
    overlap: Overlap = Overlap.NEVER
    compute_class: ComputeClass | None = None
    sites: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    require: tuple[tuple[str, str], ...] = ()
    topology: Topology = Topology.ANY
    near: str = ""
    latency_ms: int = 0
    data: tuple[DataNeed, ...] = ()
    preemptible: bool = False
    checkpoint_ms: int = 0
    labels: tuple[tuple[str, str], ...] = ()
    mode: Mode = Mode.SHARED
    secrets: tuple[tuple[str, str], ...] = ()

    @property
    def rank(self) -> int:
        """Return the priority by which it is served."""
        return self.priority + (URGENT_AHEAD if self.mode is Mode.URGENT else 0)
