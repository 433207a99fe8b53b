"""The pod of a Kubernetes Job: one container's program, variables and needs."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

from fenglin.intake.dialects.devices import card_model
from fenglin.intake.dialects.notes import NOWHERE
from fenglin.intake.dialects.shell import quote
from fenglin.intake.document import size_text
from fenglin.intake.place import is_label
from fenglin.intake.report import show

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fenglin.intake.dialects.branch import Branch

INDEX = "JOB_COMPLETION_INDEX"
# Stands in a word where the index goes; no command may hold a NUL of its own.
_SLOT = "\0"
_QUANTITY = re.compile(r"(\d{1,18}(?:\.\d{0,9})?)(m|k|[MGTPE]i?|Ki|e\d{1,2}|E\d{1,2})?", re.ASCII)
_UNITS = {
    "": Decimal(1), "m": Decimal(1) / 1_000, "k": Decimal(10**3), "M": Decimal(10**6),
    "G": Decimal(10**9), "T": Decimal(10**12), "P": Decimal(10**15), "E": Decimal(10**18),
    "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40),
    "Pi": Decimal(2**50), "Ei": Decimal(2**60),
}  # fmt: skip
_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][\w.-]*)\)")
# Extended resources that are cards, and the model that the name itself tells.
_CARDS = {
    "nvidia.com/gpu": "",
    "amd.com/gpu": "",
    "gpu.intel.com/i915": "",
    "huawei.com/Ascend910": "Ascend910B",
    "huawei.com/Ascend310P": "Ascend310P",
    "cambricon.com/mlu": "",
    "hygon.com/dcu": "",
    "iluvatar.ai/gpu": "",
    "metax-tech.com/gpu": "",
    "mthreads.com/gpu": "",
}
_MIG = "nvidia.com/mig-"
_MODEL_LABELS = (
    "nvidia.com/gpu.product",
    "cloud.google.com/gke-accelerator",
    "accelerator",
    "gpu.nvidia.com/model",
)
_REGION = "topology.kubernetes.io/region"
_LOST_OF_PODS = {
    "affinity": "say what is needed with require, sites or regions",
    "hostNetwork": "networks are the site's",
    "imagePullSecrets": "not known here; log in to the registry on the hosts of a site",
    "initContainers": "one program runs; let it do this first",
    "priorityClassName": "the value of a class is known to its cluster only; say priority",
    "securityContext": "the site decides as whom a task runs",
    "serviceAccountName": "the task has no access to a Kubernetes API",
    "terminationGracePeriodSeconds": "the grace between SIGTERM and SIGKILL is the site's",
    "topologySpreadConstraints": "the planner spreads or packs by its policy",
    "volumes": "not mounted; bring files with `files`, or reach data where the job runs",
}
_IGNORED_OF_PODS = {
    "automountServiceAccountToken": "there is no token here",
    "dnsPolicy": "names are resolved as the site does",
    "enableServiceLinks": "there are no services here",
    "preemptionPolicy": "the policy of the hub decides",
    "schedulerName": "Fenglin schedules it",
    "tolerations": "there are no taints here",
}
_LOST_OF_CONTAINERS = {
    "envFrom": "variables of another object are not known here",
    "lifecycle": "nothing runs before or after the command",
    "securityContext": "the site decides as whom a task runs",
    "volumeMounts": "not mounted; bring files with `files`, or reach data where the job runs",
    "volumeDevices": "not mounted",
}
_IGNORED_OF_CONTAINERS = {
    "imagePullPolicy": "an image is pulled where it is missing",
    "ports": "only information",
    "stdin": "there is no terminal",
    "terminationMessagePath": "see the log",
    "terminationMessagePolicy": "see the log",
    "tty": "there is no terminal",
}


def carry_pod(pod: Branch, *, indexed: bool) -> None:
    """Put the program, its variables and its needs into the draft."""
    containers = pod.branches("containers")
    if not containers:
        hint = "say spec.template.spec.containers, with one container"
        pod.draft.nothing_to_run(pod.place(), pod.name(), "it runs nothing", hint)
    for other in containers[1:]:
        text = "one program runs; the first container is taken"
        pod.draft.lost(other.place(), other.name(), text)
    if containers:
        model = _selector(pod.branch("nodeSelector"))
        _container(containers[0], model, indexed=indexed)
    limit_s = pod.whole("activeDeadlineSeconds")
    if limit_s is not None:
        pod.put(("timeout",), f"{limit_s}s", "activeDeadlineSeconds")
    restart = pod.word("restartPolicy")
    if restart == "Always":
        at, field = pod.place("restartPolicy"), pod.name("restartPolicy")
        pod.draft.problem(at, field, "a job that never ends", "write Never or OnFailure")
    pod.rest(_LOST_OF_PODS, _IGNORED_OF_PODS)


def _selector(selector: Branch) -> str:
    """Require the labels of nodes; return the model of card that one of them tells."""
    model = ""
    for key in selector:
        value = selector.word(key)
        if value is None:
            continue
        if key in _MODEL_LABELS:
            model, narrower = card_model(value)
            if not model:
                selector.lost(key, f"{show(value)} is not the name of a card")
            elif narrower:
                selector.approximated(key, f"{show(value)} is taken as {model}")
        elif key == _REGION:
            selector.put(("regions",), [value], key)
        elif key == "kubernetes.io/hostname":
            selector.lost(key, "a node cannot be named; say what is needed with require")
        elif key == "kubernetes.io/os" and value == "linux":
            selector.ignored(key, "all sites run Linux")
        elif is_label(key):
            selector.put(("require", key), value, key)
        else:
            selector.lost(key, "too long a name for a label")
    return model


def _container(container: Branch, model: str, *, indexed: bool) -> None:
    """Read the one container."""
    resources = container.branch("resources")
    requests, limits = resources.branch("requests"), resources.branch("limits")
    _needs(requests, limits, model)
    requests.rest()
    limits.rest()
    resources.rest()
    env = _env(container)
    workdir = container.word("workingDir")
    if workdir is not None:
        if workdir.startswith("/"):
            container.put(("workdir",), workdir, "workingDir")
        else:
            container.lost("workingDir", "not an absolute path")
    image = container.word("image")
    if image is not None:
        container.put(("image",), image, "image")
    _program(container, env, indexed=indexed)
    container.take("name")
    container.rest(_LOST_OF_CONTAINERS, _IGNORED_OF_CONTAINERS)


def _env(container: Branch) -> dict[str, str]:
    """Set the variables that have values; return them, references among them replaced."""
    found: dict[str, str] = {}
    for entry in container.branches("env"):
        name = entry.word("name") or ""
        if "valueFrom" in entry:
            entry.take("valueFrom")
            entry.lost("valueFrom", f"the value of {show(name)} is known to its cluster only")
        else:
            found[name] = _replaced(entry.word("value") or "", found)
            entry.put(("env", name), found[name], "value")
        entry.rest()
    return found


def _program(container: Branch, env: Mapping[str, str], *, indexed: bool) -> None:
    """Set the command, or for an indexed job a script that knows the index."""
    known = {**env, INDEX: _SLOT} if indexed else env
    command = [_replaced(word, known) for word in container.words("command")]
    arguments = [_replaced(word, known) for word in container.words("args")]
    if not command:
        what = "the image's own entrypoint, which is not known here"
        hint = "say command, the program and its arguments"
        field = container.name("command")
        container.draft.nothing_to_run(container.place(), field, what, hint)
        return
    words = [*command, *arguments]
    if not indexed:
        container.put(("command",), words, "command")
        return
    line = " ".join(_with_index(word) for word in words)
    script = f'#!/bin/sh\nexport {INDEX}="$FENGLIN_TASK_INDEX"\nexec {line}\n'
    container.put(("script",), script, "command")


def _replaced(text: str, env: Mapping[str, str]) -> str:
    """Return a text in which `$(NAME)` is the value of an earlier variable, as Kubernetes does."""

    def value(match: re.Match[str]) -> str:
        if match[1] is None:
            return "$"
        return env.get(match[1], match[0])

    return _REFERENCE.sub(value, text)


def _with_index(word: str) -> str:
    """Return a word for the shell, which puts the index where the slot is."""
    parts = word.split(_SLOT)
    return f'"${INDEX}"'.join(quote(part) if part or len(parts) == 1 else "" for part in parts)


def _needs(requests: Branch, limits: Branch, model: str) -> None:
    """Set resources: what is requested, else the limit."""
    _amount(requests, limits, "cpu", "cpu")
    _amount(requests, limits, "memory", "memory")
    _amount(requests, limits, "ephemeral-storage", "disk")
    asked = False
    for key in dict.fromkeys([*requests, *limits]):
        if key not in _CARDS and not key.startswith(_MIG):
            continue
        where = limits if key in limits else requests
        number = where.whole(key)
        (requests if where is limits else limits).take(key)
        if not number:
            continue
        if asked:
            where.lost(key, "cards of two kinds; only the first is asked for")
            continue
        asked = True
        name = model or _CARDS.get(key, key.removeprefix(_MIG))
        where.put(("resources", "accelerators"), f"{name}:{number}" if name else number, key)


def _amount(requests: Branch, limits: Branch, key: str, ours: str) -> None:
    """Set one amount."""
    where = requests if key in requests else limits
    if key not in where:
        if ours != "disk":
            text = "not said; the default of a native job"
            where.draft.approximated(NOWHERE, f"resources.requests.{key}", text)
        return
    value = where.take(key)
    other = limits.take(key) if where is requests else None
    amount = _quantity(value)
    if amount is None:
        where.wrong(key, value, "a quantity such as 500m, 2 or 4Gi")
        return
    limit = _quantity(other)
    if limit is not None and limit != amount:
        limits.approximated(key, f"the request, {show(str(value))}, is what the task gets")
    if ours == "cpu":
        milli = max(1, int(amount * 1_000))
        where.put(("resources", "cpu"), milli // 1_000 if milli % 1_000 == 0 else f"{milli}m", key)
    else:
        size = int(amount)
        where.put(("resources", ours), size_text(max(size, 2**20) if size else 0), key)


def _quantity(value: object) -> Decimal | None:
    """Return the amount of `500m`, `2`, `1.5Gi` or `1e9`; None when it is none."""
    match = _QUANTITY.fullmatch(str(value)) if type(value) in (str, int, float) else None
    if match is None:
        return None
    unit = match[2] or ""
    if len(unit) > 1 and unit[0] in "eE" and unit[1].isdigit():
        return Decimal(match[1]).scaleb(int(unit[1:]))
    return Decimal(match[1]) * _UNITS[unit]
