"""Kubernetes `batch/v1` Jobs, indexed ones and those queued by Kueue too."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fenglin.intake.dialects.kubernetes_pod import carry_pod
from fenglin.intake.place import is_label
from fenglin.intake.report import show

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fenglin.intake.dialects.branch import Branch

KUEUE = "kueue.x-k8s.io/"
# What Kubernetes does when a job does not say: `backoffLimit`.
DEFAULT_BACKOFF = 6
_API = re.compile(r"[\w.-]{1,100}(?:/[\w.-]{1,100})?", re.ASCII)
_BESIDE = "of another kind; create it where the job runs, if the job needs it"
_WITHIN_A_LIST = ("CronJob", "JobList", "List", "Pod")
_WRITTEN_BY_THE_SERVER = dict.fromkeys(
    ("creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"),
    "written by the server",
)
_POLICIES = {
    "managedBy": "the hub manages it",
    "manualSelector": "there are no selectors here",
    "podReplacementPolicy": "a task is tried again when its end is proven",
    "selector": "there are no selectors here",
    "ttlSecondsAfterFinished": "ended jobs are kept; nothing of them remains on a site",
}


def recognises(data: Mapping[str, object]) -> bool:
    """Return whether a document is an object of Kubernetes."""
    version = data.get("apiVersion")
    return (
        isinstance(data.get("kind"), str)
        and isinstance(version, str)
        and bool(_API.fullmatch(version))
    )


def convert(root: Branch, name: str) -> None:
    """Put a Job into the draft; note an object of another kind that stands beside it."""
    kind, version = root.word("kind") or "", root.word("apiVersion")
    if kind != "Job" or version not in ("batch/v1", "batch/v1beta1"):
        if kind in _WITHIN_A_LIST:
            hint = "write each job as an object of kind Job, apiVersion batch/v1"
            root.draft.problem(root.place(), "kind", f"{show(kind)} is not taken", hint)
        else:
            root.draft.lost(root.place(), f"kind: {kind[:48]}", _BESIDE)
        return
    spec = root.branch("spec")
    queued = _metadata(root.branch("metadata"), name)
    indexed = _array(spec)
    _limits(spec)
    if spec.truth("suspend"):
        if queued:
            spec.ignored("suspend", "the queue decides when it starts")
        else:
            hint = "remove it, or name a queue in the label kueue.x-k8s.io/queue-name"
            root.draft.problem(spec.place(), "spec.suspend", "a job is not held", hint)
    template = spec.branch("template")
    pod = template.branch("spec")
    _template_metadata(template.branch("metadata"))
    carry_pod(pod, indexed=indexed)
    template.rest()
    spec.rest(ignored=_POLICIES)
    root.rest(ignored={"status": "written by the server"})


def _metadata(metadata: Branch, default: str) -> bool:
    """Set name, labels and queue; return whether Kueue queues the job."""
    name = metadata.word("name")
    prefix = metadata.word("generateName")
    if name is None and prefix:
        name = prefix.rstrip("-")
    metadata.draft.put(("name",), name or default, metadata.place())
    if metadata.word("namespace") not in (None, "default"):
        metadata.lost("namespace", "say account or queue; there are no namespaces here")
    labels = metadata.branch("labels")
    queue = _queue_name(labels)
    annotations = metadata.branch("annotations")
    queue = _queue_name(annotations) or queue
    annotations.rest()
    _labels(labels)
    metadata.rest(ignored=_WRITTEN_BY_THE_SERVER)
    return queue


def _queue_name(labels: Branch) -> bool:
    """Set the queue, and the limit that Kueue knows; return whether there is a queue."""
    queue = labels.word(f"{KUEUE}queue-name")
    if queue is not None:
        labels.put(("queue",), queue, f"{KUEUE}queue-name")
    limit = labels.word(f"{KUEUE}max-exec-time-seconds")
    if limit is not None:
        key = f"{KUEUE}max-exec-time-seconds"
        labels.put(("timeout",), f"{limit}s" if limit.isdecimal() else limit, key)
    if labels.word(f"{KUEUE}priority-class") is not None:
        text = "the value of a class is known to its cluster only; say priority"
        labels.lost(f"{KUEUE}priority-class", text)
    return queue is not None


def _labels(labels: Branch) -> None:
    """Keep the labels that ours can be called."""
    for key in labels:
        value = labels.word(key)
        if value is None:
            continue
        if is_label(key):
            labels.put(("labels", key), value, key)
        else:
            labels.lost(key, "too long a name for a label")


def _template_metadata(metadata: Branch) -> None:
    """Read how close the pods must be; other labels of pods are of no use here."""
    annotations = metadata.branch("annotations")
    if annotations.word(f"{KUEUE}podset-required-topology") is not None:
        annotations.put(("topology",), "block", f"{KUEUE}podset-required-topology")
        text = "topology: block; it counts for the nodes of one task, not for several tasks"
        annotations.approximated(f"{KUEUE}podset-required-topology", text)
    annotations.rest()
    ignored = {"labels": "labels of pods; the job keeps its own", **_WRITTEN_BY_THE_SERVER}
    metadata.rest(ignored={**ignored, "name": "pods have no names here"})


def _array(spec: Branch) -> bool:
    """Set tasks and concurrency; return whether each task must know its index."""
    completions, parallelism = spec.whole("completions"), spec.whole("parallelism")
    indexed = spec.word("completionMode") == "Indexed"
    if parallelism == 0:
        hint = "remove it, or submit the job when it shall start"
        spec.draft.problem(spec.place("parallelism"), "spec.parallelism", "0 starts nothing", hint)
    if completions is None and parallelism and parallelism > 1:
        spec.put(("tasks",), parallelism, "parallelism")
        text = f"{parallelism} tasks, each of which must end well; there is no work queue"
        spec.approximated("parallelism", text)
    elif completions is not None and completions != 1:
        spec.put(("tasks",), completions, "completions")
        if (parallelism or 1) < completions:
            spec.put(("concurrency",), parallelism or 1, "parallelism")
    return indexed


def _limits(spec: Branch) -> None:
    """Set retries and the time limit."""
    per_index, backoff = spec.whole("backoffLimitPerIndex"), spec.whole("backoffLimit")
    several = spec.draft.data.get("tasks", 1) != 1
    if per_index is not None:
        spec.put(("retries",), per_index, "backoffLimitPerIndex")
        if backoff is not None:
            spec.lost("backoffLimit", "failures are counted for each task, not for the whole job")
    else:
        limit = DEFAULT_BACKOFF if backoff is None else backoff
        if limit:
            spec.put(("retries",), min(limit, 100), "backoffLimit")
        if backoff and (several or limit > 100):
            text = f"{min(limit, 100)} more tries of each task, not of all together"
            spec.approximated("backoffLimit", text)
    if spec.whole("maxFailedIndexes") is not None:
        spec.lost("maxFailedIndexes", "all tasks are run, however many fail")
    limit_s = spec.whole("activeDeadlineSeconds")
    if limit_s is not None:
        spec.put(("timeout",), f"{limit_s}s", "activeDeadlineSeconds")
        text = "the limit of each try of a task, not of the whole job from its start"
        spec.approximated("activeDeadlineSeconds", text)
