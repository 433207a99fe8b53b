"""What we read of Kubernetes' objects: the few fields that matter, as frozen records."""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias

from msgspec import Struct

from fenglin.drivers.kubernetes.names import ATTEMPT


class Metadata(Struct, frozen=True, rename="camel"):
    """What every object has."""

    name: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None


class Condition(Struct, frozen=True, rename="camel"):
    """One condition of a pod, a Job or a node."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: datetime | None = None


class Waiting(Struct, frozen=True):
    """A container that does not run yet."""

    reason: str = ""
    message: str = ""


class Running(Struct, frozen=True, rename="camel"):
    """A container that runs."""

    started_at: datetime | None = None


class Terminated(Struct, frozen=True, rename="camel"):
    """A container that has ended; `message` is what it wrote to its termination log."""

    exit_code: int = 0
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None


class ContainerState(Struct, frozen=True):
    """Exactly one of the three, or none while nothing is known."""

    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(Struct, frozen=True):
    """State of one container."""

    name: str = ""
    state: ContainerState = ContainerState()


class PodStatus(Struct, frozen=True, rename="camel"):
    """State of a pod."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()


class PodSpec(Struct, frozen=True, rename="camel"):
    """Of a pod's specification, what changes."""

    node_name: str = ""
    active_deadline_seconds: int | None = None


class Pod(Struct, frozen=True):
    """A pod of ours."""

    metadata: Metadata = Metadata()
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class JobSpec(Struct, frozen=True, rename="camel"):
    """Of a Job's specification, what changes."""

    parallelism: int = 1
    backoff_limit: int = 6
    suspend: bool = False


class JobStatus(Struct, frozen=True):
    """State of a Job."""

    active: int = 0
    succeeded: int = 0
    failed: int = 0
    conditions: tuple[Condition, ...] = ()


class Job(Struct, frozen=True):
    """A Job of ours."""

    metadata: Metadata = Metadata()
    spec: JobSpec = JobSpec()
    status: JobStatus = JobStatus()

    @property
    def over(self) -> bool:
        """Whether it makes no more pods by itself."""
        ends = {"Complete", "Failed"}
        return any(c.type in ends and c.status == "True" for c in self.status.conditions)


class Claim(Struct, frozen=True):
    """The ConfigMap that stands for an attempt."""

    metadata: Metadata = Metadata()
    data: dict[str, str] = {}


class Taint(Struct, frozen=True):
    """What keeps pods off a node."""

    key: str = ""
    value: str = ""
    effect: str = ""


class NodeSpec(Struct, frozen=True):
    """Of a node's specification, what concerns us."""

    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()


class NodeStatus(Struct, frozen=True):
    """State of a node."""

    allocatable: dict[str, str] = {}
    conditions: tuple[Condition, ...] = ()


class Node(Struct, frozen=True):
    """A node of the cluster."""

    metadata: Metadata = Metadata()
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class Named(Struct, frozen=True):
    """An object of which only the metadata is asked for."""

    metadata: Metadata = Metadata()


Kept: TypeAlias = Pod | Job | Claim


def attempt_of(kept: Kept | Named) -> str:
    """Return the key of the attempt that an object belongs to; empty for none."""
    return kept.metadata.labels.get(ATTEMPT, "")


def unix_ms(moment: datetime | None) -> int:
    """Return Unix time in milliseconds; 0 for none."""
    return 0 if moment is None else round(moment.timestamp() * 1_000)
