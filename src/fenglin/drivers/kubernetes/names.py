"""Names, labels and annotations of our objects, and where things stand in a task's container."""

from __future__ import annotations

import re

from fenglin.errors import InputError
from fenglin.model.ids import parse_attempt_key

HUB = "fenglin/hub"
SITE = "fenglin/site"
ATTEMPT = "fenglin/attempt"
TASK = "fenglin/task"
JOB = "fenglin/job"
JOB_NAME = "fenglin/job-name"
MANAGED_BY = "app.kubernetes.io/managed-by"
KUEUE_QUEUE = "kueue.x-k8s.io/queue-name"
COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index"

CONTAINER = "task"
ROOM = "/run/fenglin"
END = "/run/fenglin-end"
# A label's value has at most 63 characters, and so has a Job's name, to which the index is added.
LONGEST = 50
_PLAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", re.ASCII)


def checked_key(key: str, hub: str) -> str:
    """Return an attempt key that may be (part of) a name.

    Raises:
        InputError: it was not made by this hub, or Kubernetes takes no such name.
    """
    if parse_attempt_key(key)[0] != hub or not is_name(key):
        raise InputError(
            f"{key[:80]!r} is no attempt of this hub that Kubernetes can name",
            hint=f"a hub's id is lower-case letters, digits and -, at most {LONGEST} with the rest",
        )
    return key


def is_name(text: str) -> bool:
    """Return whether a text may be part of an object's name and the value of a label."""
    return len(text) <= LONGEST and _PLAIN.fullmatch(text) is not None


def label_value(text: str) -> str:
    """Return a text as the value of a label: what is not allowed in one becomes a dot."""
    kept = re.sub(r"[^A-Za-z0-9_.-]", ".", text, flags=re.ASCII)[:63]
    return kept.strip("_.-")


def claim_name(key: str) -> str:
    """Return the name of an attempt's ConfigMap, its Secret and its one Job."""
    return f"fenglin-{key}"


def task_name(key: str, task: int) -> str:
    """Return the name of the Job of one task, where each task has one."""
    return f"fenglin-{key}-{task}"
