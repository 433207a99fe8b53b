"""The objects of an attempt: a ConfigMap that claims its key, a Secret, and its Jobs. Pure.

Where the server has Indexed Jobs, an array is one Job whose parallelism is the number of slots.
Where it has none, each task is a Job of its own, and the driver makes them as slots fall free.
"""

from __future__ import annotations

import base64
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from fenglin.drivers.kubernetes import names
from fenglin.drivers.kubernetes.names import CONTAINER, END, ROOM
from fenglin.drivers.kubernetes.script import tasks_of
from fenglin.drivers.kubernetes.settings import read_taint
from fenglin.errors import InputError
from fenglin.quantities.taskset import TaskSet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fenglin.drivers.kubernetes.settings import KubernetesSettings
    from fenglin.drivers.kubernetes.views import Claim
    from fenglin.ports.driver import StartOrder

NEVER = 2**31 - 1
EPOCH, TERMS, TEMPLATE, STOP, VOID, PLACED = "epoch", "terms", "template", "stop", "void", "placed"
UNWANTED = "unwanted"


class Mode(StrEnum):
    """How tasks become Jobs.

    SINGLE: one task, one Job.
    TASKS: a Job for each task, made one after another by the driver.
    INDEXED: one Indexed Job; the first failure of a container would end it, so there is none.
    PER_INDEX: one Indexed Job in which each index fails for itself (Kubernetes 1.29).
    """

    SINGLE = "single"
    TASKS = "tasks"
    INDEXED = "indexed"
    PER_INDEX = "per_index"


class Terms(Struct, frozen=True):
    """What must be known of an attempt to go on with it after a restart.

    Attributes:
        tasks: Task set in text form.
        slots: Most tasks at once.
        mode: How they become Jobs.
        log_cap_bytes: Most output kept per task.
        artifacts: Globs.
        artifacts_dir: Where they go, on the hub's machine.
        inputs: Targets that were brought.
    """

    tasks: str
    slots: int
    mode: Mode
    log_cap_bytes: int
    artifacts: tuple[str, ...] = ()
    artifacts_dir: str = ""
    inputs: tuple[str, ...] = ()


def terms_of(claim: Claim) -> Terms | None:
    """Return an attempt's terms; None for one that was forbidden before it came.

    Raises:
        ValueError: somebody has changed them.
    """
    text = claim.data.get(TERMS)
    try:
        return None if text is None else msgspec.json.decode(text, type=Terms)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error


def unwanted_of(claim: Claim) -> TaskSet:
    """Return the tasks that were cancelled one by one.

    Raises:
        ValueError: somebody has changed them.
    """
    ends = claim.data.get(UNWANTED, "").split()
    runs = zip(ends[::2], ends[1::2], strict=True)
    try:
        return TaskSet.parse(",".join(f"{first}-{last}" for first, last in runs))
    except InputError as error:
        raise ValueError(str(error)) from error


def unwanted_text(tasks: TaskSet) -> str:
    """Return tasks as pods read them: the first and the last of each run."""
    return " ".join(f"{start} {stop - 1}" for start, stop in tasks.runs)


def choose_mode(task_count: int, version: tuple[int, int]) -> Mode:
    """Return how an order's tasks become Jobs on a server of that version."""
    if task_count == 1:
        return Mode.SINGLE
    if version >= (1, 29):
        return Mode.PER_INDEX
    return Mode.INDEXED if version >= (1, 24) else Mode.TASKS


def labels(hub: str, site: str, key: str) -> dict[str, str]:
    """Return what tells whose an object is."""
    return {
        names.MANAGED_BY: "fenglin",
        names.HUB: hub,
        names.SITE: names.label_value(site),
        names.ATTEMPT: key,
    }


def claim(key: str, tags: Mapping[str, str], data: Mapping[str, str]) -> dict[str, Any]:
    """Return the ConfigMap that stands for the attempt."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": names.claim_name(key), "labels": dict(tags)},
        "data": dict(data),
    }


def secret(key: str, tags: Mapping[str, str], files: Mapping[str, bytes]) -> dict[str, Any]:
    """Return the Secret with everything that a task is told."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "immutable": True,
        "metadata": {"name": names.claim_name(key), "labels": dict(tags)},
        "data": {name: base64.b64encode(data).decode() for name, data in files.items()},
    }


def template(
    order: StartOrder, mode: Mode, settings: KubernetesSettings, resource: str
) -> dict[str, Any]:
    """Return the Job of an attempt; `of_task` makes one of it for each task where that is wanted.

    Args:
        order: What to run.
        mode: How tasks become Jobs.
        settings: Of the site.
        resource: Extended resource of the flavor's cards; empty for none.
    """
    tags = labels(order.hub, order.site, order.key)
    group = settings.groups[order.flavor]
    queue = group.queue or settings.queue
    spec: dict[str, Any] = {
        "backoffLimit": 0,
        "completions": 1,
        "parallelism": 1,
        "template": {
            "metadata": {"labels": tags, "annotations": _told(order)},
            "spec": _pod(order, mode, settings, resource),
        },
    }
    if mode in {Mode.INDEXED, Mode.PER_INDEX}:
        count = sum(1 for _ in tasks_of(order.tasks))
        spec |= {
            "completionMode": "Indexed",
            "completions": count,
            "parallelism": min(order.slots, count),
        }
    if mode is Mode.PER_INDEX:
        del spec["backoffLimit"]
        spec |= {"backoffLimitPerIndex": 0, "podReplacementPolicy": "Failed"}
    if queue:
        spec["suspend"] = True
        tags = {**tags, names.KUEUE_QUEUE: queue}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": names.claim_name(order.key),
            "labels": tags,
            "annotations": _told(order),
        },
        "spec": spec,
    }


def of_task(job: dict[str, Any], key: str, task: int) -> dict[str, Any]:
    """Return the Job of one task."""
    mark = {names.TASK: str(task)}
    meta, spec = job["metadata"], job["spec"]
    inner = spec["template"]
    pod = inner["spec"]
    (container,) = pod["containers"]
    container = {**container, "command": [*container["command"], str(task)]}
    return {
        **job,
        "metadata": {
            **meta,
            "name": names.task_name(key, task),
            "labels": {**meta["labels"], **mark},
        },
        "spec": {
            **spec,
            "template": {
                "metadata": {
                    **inner["metadata"],
                    "labels": {**inner["metadata"]["labels"], **mark},
                },
                "spec": {**pod, "containers": [container]},
            },
        },
    }


def _told(order: StartOrder) -> dict[str, str]:
    """Return annotations for people; a name may be any text but no control character."""
    shown = "".join(c for c in order.job_name if c.isprintable())
    return {names.JOB: order.job, names.JOB_NAME: shown[:1_000]}


def _pod(
    order: StartOrder, mode: Mode, settings: KubernetesSettings, resource: str
) -> dict[str, Any]:
    group = settings.groups[order.flavor]
    user: dict[str, Any] = {"runAsUser": settings.run_as} if settings.run_as >= 0 else {}
    user |= {"runAsNonRoot": True} if settings.non_root else {}
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": max(1, -(-order.grace_ms // 1_000)),
        "securityContext": {**user, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": _volumes(order, settings),
        "containers": [_container(order, mode, settings, resource)],
    }
    if group.selector:
        pod["nodeSelector"] = dict(group.selector)
    if group.tolerations:
        pod["tolerations"] = [_toleration(text) for text in group.tolerations]
    if settings.service_account:
        pod["serviceAccountName"] = settings.service_account
    if settings.pull_secret:
        pod["imagePullSecrets"] = [{"name": settings.pull_secret}]
    return pod


def _container(
    order: StartOrder, mode: Mode, settings: KubernetesSettings, resource: str
) -> dict[str, Any]:
    amounts = _amounts(order, resource)
    # An Indexed Job tells each pod its place; `of_task` adds the task of a Job of its own.
    which = [str(next(tasks_of(order.tasks)))] if mode is Mode.SINGLE else []
    mounts: list[dict[str, Any]] = [
        {"name": "job", "mountPath": f"{ROOM}/job", "readOnly": True},
        {"name": "wish", "mountPath": f"{ROOM}/wish", "readOnly": True},
        {"name": "state", "mountPath": f"{ROOM}/state"},
    ]
    if settings.shared_dir is None:
        mounts.append({"name": "work", "mountPath": f"{ROOM}/scratch"})
    else:
        base = shared_path(order.hub, order.site, order.key)
        mounts += [
            {"name": "work", "mountPath": f"{ROOM}/scratch", "subPath": f"{base}/scratch"},
            {"name": "work", "mountPath": f"{ROOM}/in", "subPath": f"{base}/in", "readOnly": True},
        ]
    return {
        "name": CONTAINER,
        "image": order.image or settings.image,
        "command": ["/bin/sh", f"{ROOM}/job/run", *which],
        "resources": {"requests": amounts, "limits": amounts},
        "terminationMessagePath": END,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }


def _volumes(order: StartOrder, settings: KubernetesSettings) -> list[dict[str, Any]]:
    name = names.claim_name(order.key)
    work: dict[str, Any] = {"emptyDir": {}}
    if settings.shared_dir is not None:
        work = {"persistentVolumeClaim": {"claimName": settings.shared_claim}}
    items = [{"key": word, "path": word} for word in (STOP, UNWANTED)]
    wish = {"name": name, "optional": True, "items": items}
    return [
        {"name": "job", "secret": {"secretName": name, "defaultMode": 0o555}},
        {"name": "wish", "configMap": wish},
        {"name": "state", "emptyDir": {}},
        {"name": "work", **work},
    ]


def shared_path(hub: str, site: str, key: str) -> str:
    """Return where the files of an attempt are on the shared claim."""
    return f"{hub}/{names.label_value(site)}/{key}"


def _amounts(order: StartOrder, resource: str) -> dict[str, str]:
    """Return what one task is given: asked for and no more, so that it is evicted last."""
    need = order.resources
    amounts = {"cpu": f"{max(1, need.cpu_milli)}m", "memory": str(max(2**20, need.memory_bytes))}
    if need.disk_bytes:
        amounts["ephemeral-storage"] = str(need.disk_bytes)
    if need.accelerator_milli:
        amounts[resource] = str(-(-need.accelerator_milli // 1_000))
    return amounts


def _toleration(text: str) -> dict[str, str]:
    taint = read_taint(text)
    match = {"operator": "Equal", "value": taint.value} if taint.value else {"operator": "Exists"}
    return {"key": taint.key, **match, **({"effect": taint.effect} if taint.effect else {})}
