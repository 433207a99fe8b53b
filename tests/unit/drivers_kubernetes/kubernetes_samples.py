"""Orders, settings and pods for the tests of this room."""

from datetime import UTC, datetime

from fenglin.drivers.kubernetes import names
from fenglin.drivers.kubernetes.settings import read_settings
from fenglin.drivers.kubernetes.views import (
    Condition,
    ContainerState,
    ContainerStatus,
    Metadata,
    Pod,
    PodSpec,
    PodStatus,
    Running,
    Terminated,
    Waiting,
)
from fenglin.model.allocation import Share
from fenglin.model.site import Flavor, Node
from fenglin.model.states import ComputeClass
from fenglin.ports.driver import StartOrder
from fenglin.quantities.resources import Resources

GIB = 2**30
FLAVORS = (
    Flavor("cpu", ComputeClass.GENERAL, Resources(8_000, 8 * GIB)),
    Flavor("gpu", ComputeClass.AI, Resources(8_000, 8 * GIB, 0, 2_000), accelerator="H800"),
)
NODES = (Node("cpu-0", "cpu"), Node("cpu-1", "cpu"), Node("gpu-0", "gpu"))
START = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
END = datetime(2026, 1, 1, 12, 0, 5, tzinfo=UTC)
START_MS = round(START.timestamp() * 1_000)


def settings(**given):
    plain = {"flavors": FLAVORS, "nodes": NODES, "namespace": "fenglin", "image": "debian:12"}
    return read_settings({**plain, **given}, "site.k")


def order(**fields):
    plain = {
        "key": "h1-a1-1", "epoch": 1, "hub": "h1", "job": "j1", "job_name": "n", "site": "k",
        "flavor": "cpu", "tasks": "0", "task_count": 1, "tries": (),
        "shares": (Share("cpu-0", 4),), "nodes": 1, "resources": Resources(500, GIB),
        "command": ("true",), "script": "", "env": (), "workdir": "", "inputs": (),
        "artifacts": (), "artifacts_dir": "", "timeout_ms": 0,
    }  # fmt: skip
    return StartOrder(**{**plain, **fields})


def pod(state=None, *, phase="Running", uid="u1", task="0", place=None, **status):
    """Return a pod whose container is in a state."""
    labels = {names.ATTEMPT: "h1-a1-1", names.TASK: task}
    annotations = {} if place is None else {names.COMPLETION_INDEX: str(place)}
    containers = () if state is None else (ContainerStatus(names.CONTAINER, state),)
    spec = PodSpec(status.pop("node", "node0"))
    return Pod(
        Metadata(f"p-{uid}", uid, "1", labels, annotations, START),
        spec,
        PodStatus(phase, container_statuses=containers, **status),
    )


def running():
    return ContainerState(running=Running(START))


def ended(message, code=0, reason=""):
    return ContainerState(terminated=Terminated(code, reason, message, START, END))


def waiting(reason):
    return ContainerState(waiting=Waiting(reason))


def unschedulable():
    return Condition("PodScheduled", "False", "Unschedulable", "0/1 nodes", START)
