"""SkyPilot's task YAML."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fenglin.catalog.devices import lookup
from fenglin.intake.dialects.branch import Branch, number
from fenglin.intake.dialects.devices import card_model
from fenglin.intake.dialects.local import bring
from fenglin.intake.dialects.shell import quote
from fenglin.intake.report import describe, show

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEYS = {"run", "setup", "envs", "num_nodes", "file_mounts", "workdir", "secrets", "service"}
_NATIVE = {"command", "script", "commands", "executors", "tasks"}
_AMOUNT = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)(\+|x\+?)?", re.ASCII)
_SIZE = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*([KMGTP]?)(?:i?B)?(\+)?", re.IGNORECASE | re.ASCII)
_UNITS = {"": "GiB", "K": "KiB", "M": "MiB", "G": "GiB", "T": "TiB", "P": "PiB"}
_LOST = {
    "secrets": "not sent: everyone who may see the job would see them",
    "pool": "there are no pools of workers",
    "volumes": "not mounted",
    "volume_mounts": "not mounted",
    "inputs": "not used to place the job; say data",
    "outputs": "not used to place the job; say artifacts",
    "config": "settings of SkyPilot",
}
_LOST_OF_RESOURCES = {
    "accelerator_args": "settings of one kind of card",
    "cloud": "say sites, the names of those that may run it",
    "disk_tier": "kinds of disk are the site's",
    "image_id": "only images of containers, docker:NAME, are taken; machines are the site's",
    "instance_type": "say what is needed: cpu, memory, accelerators",
    "local_disk": "kinds of disk are the site's",
    "max_hourly_cost": "prices are weighed by the policy of the hub",
    "network_tier": "kinds of network are the site's",
    "ports": "no ports are opened",
    "zone": "say regions or sites",
}
_IGNORED_OF_RESOURCES = {"autostop": "machines are given back when they are not needed"}
_VARIABLES = """\
export SKYPILOT_TASK_ID="sky-$FENGLIN_JOB_ID-$FENGLIN_TASK_INDEX"
export SKYPILOT_NUM_NODES="$FENGLIN_NODE_COUNT" SKYPILOT_NODE_RANK="$FENGLIN_NODE_RANK"
export SKYPILOT_NODE_IPS="$(echo "${FENGLIN_NODES:-$FENGLIN_NODE}" | tr , '\\n')"
"""


def recognises(data: Mapping[str, object]) -> bool:
    """Return whether a document is a task of SkyPilot."""
    resources = data.get("resources")
    typical = isinstance(resources, dict) and {"any_of", "ordered", "infra", "use_spot"} & set(
        resources
    )
    return not _NATIVE & set(data) and ("run" in data or "setup" in data or bool(typical))


def head(root: Branch) -> bool:
    """Take a first document that names the pipeline whose tasks the others are."""
    if "name" not in root:
        return False
    root.take("name")
    if root.word("execution") == "parallel":
        what = "a group of tasks that run at the same time"
        hint = "write them as the nodes of one task, or submit each alone"
        root.draft.problem(root.place(), "execution", what, hint)
    root.rest()
    return True


def convert(root: Branch, name: str) -> None:
    """Put a task into the draft."""
    draft = root.draft
    draft.put(("name",), root.word("name") or name, root.place("name"))
    nodes = root.whole("num_nodes")
    if nodes is not None and nodes != 1:
        root.put(("nodes",), nodes, "num_nodes")
    if "service" in root:
        hint = "Fenglin runs jobs that end; remove service, or run it elsewhere"
        draft.problem(root.place("service"), "service", "a service that never ends", hint)
        root.take("service")
    cards = _resources(root.branch("resources"))
    variables = root.branch("envs")
    for variable in variables:
        value = variables.word(variable)
        if value is None:
            at, field = variables.place(variable), variables.name(variable)
            draft.problem(at, field, "it has no value", "write one; there is no --env here")
        else:
            variables.put(("env", variable), value, variable)
    _script(root, cards)
    _files(root)
    root.rest(_LOST)


def _files(root: Branch) -> None:
    """Bring the working directory, and what of `file_mounts` goes into it."""
    workdir = root.take("workdir")
    if type(workdir) is str:
        bring(root, "workdir", workdir, ".")
    elif workdir is not None:
        root.lost("workdir", "no repository is fetched; name a folder of your machine")
    mounts = root.branch("file_mounts")
    for target in mounts:
        source = mounts.take(target)
        if type(source) is str:
            bring(mounts, target, source, target)
        else:
            mounts.lost(target, "buckets are not mounted; reach the data where the job runs")


def _script(root: Branch, cards: int) -> None:
    """Set the script: variables, setup, run."""
    setup, run = root.word("setup"), root.word("run")
    if not (run or "").strip():
        hint = "say run, the commands of the task"
        root.draft.nothing_to_run(root.place(), "run", "it runs nothing", hint)
        return
    text = f"#!/bin/bash\n{_VARIABLES}"
    if cards:
        text += f"export SKYPILOT_NUM_GPUS_PER_NODE={cards}\n"
    if setup and setup.strip():
        text += f"bash -c {quote(setup.rstrip() + chr(10))} || exit\n"
        note = "runs before the commands of every try on every node; nothing of it is kept"
        root.approximated("setup", note)
    if "SKYPILOT_NODE_IPS" in (setup or "") + (run or ""):
        note = "SKYPILOT_NODE_IPS holds the names of the nodes, not their addresses"
        root.approximated("run", note)
    root.put(("script",), f"{text}{(run or '').rstrip()}\n", "run")


def _resources(resources: Branch) -> int:
    """Set what a node needs; return how many whole cards."""
    for key in ("any_of", "ordered"):
        if key in resources:
            _alternatives(resources, key)
    _amounts(resources)
    cards = _accelerators(resources)
    _place(resources)
    _image(resources)
    if resources.truth("use_spot"):
        resources.put(("preemptible",), value=True, key="use_spot")
        resources.approximated("use_spot", "preemptible: the hub may interrupt it, too")
    _recovery(resources)
    priority = resources.take("priority")
    if priority is not None:
        resources.put(("priority",), priority, "priority")
    labels = resources.branch("labels")
    for key in labels:
        value = labels.word(key)
        if value is not None:
            labels.put(("labels", key), value, key)
    resources.rest(_LOST_OF_RESOURCES, _IGNORED_OF_RESOURCES)
    return cards


def _alternatives(resources: Branch, key: str) -> None:
    """Take the first alternative; note the others."""
    choices = resources.branches(key)
    for choice in choices[1:]:
        text = "one alternative is asked for, the first"
        resources.draft.lost(choice.place(), choice.name(), text)
    if choices:
        _amounts(choices[0])
        _accelerators(choices[0])
        _place(choices[0])
        _image(choices[0])
        if choices[0].truth("use_spot"):
            choices[0].put(("preemptible",), value=True, key="use_spot")
            choices[0].approximated("use_spot", "preemptible: the hub may interrupt it, too")
        choices[0].rest(_LOST_OF_RESOURCES, _IGNORED_OF_RESOURCES)


def _amounts(resources: Branch) -> None:
    """Set cores, memory and disk; `4+` is what all amounts mean here."""
    cpus = resources.word("cpus")
    match = _AMOUNT.fullmatch(cpus) if cpus else None
    if match and match[2] != "x":
        resources.put(("resources", "cpu"), number(match[1]), "cpus")
    elif cpus is not None:
        resources.wrong("cpus", cpus, "a number of cores such as 4 or 4+")
    memory = resources.word("memory")
    if memory is not None and memory.rstrip("+").endswith("x"):
        resources.lost("memory", "a multiple of the cores; say how many GiB")
    elif memory is not None:
        _size(resources, "memory", memory)
    disk = resources.word("disk_size")
    if disk is not None:
        _size(resources, "disk_size", disk)


def _size(resources: Branch, key: str, text: str) -> None:
    """Set a size in GiB, or in the unit that it has."""
    match = _SIZE.fullmatch(text)
    if match is None:
        resources.wrong(key, text, "a size such as 32, 32+ or 64GB")
        return
    ours = "disk" if key == "disk_size" else key
    resources.put(("resources", ours), f"{match[1]}{_UNITS[match[2].upper()]}", key)


def _accelerators(resources: Branch) -> int:
    """Set the cards; return how many whole ones."""
    value = resources.take("accelerators")
    if value is None:
        return 0
    choices: list[str] = []
    if type(value) is str:
        choices = [value]
    elif type(value) is dict:
        choices = [name if count is None else f"{name}:{count}" for name, count in value.items()]
    elif type(value) is list and all(type(item) is str for item in value):
        choices = value
    else:
        resources.wrong("accelerators", value, "cards such as A100:8, or a list of such")
    if not choices:
        return 0
    name, _, count = choices[0].partition(":")
    model, narrower = card_model(name)
    if not model:
        what = f"{show(name)} is not the name of a card"
        resources.draft.problem(resources.place("accelerators"), "accelerators", what)
        return 0
    if narrower:
        resources.approximated("accelerators", f"{show(name)} is taken as {model}")
    need: object = {"model": model, "count": count} if count else f"{model}:1"
    if count.isdecimal():
        need = f"{model}:{count}"
    if len(choices) > 1:
        need = _generalised(resources, choices, need)
    resources.put(("resources", "accelerators"), need, "accelerators")
    return int(count[:6]) if count.isdecimal() else 1


def _generalised(resources: Branch, choices: list[str], first: object) -> object:
    """Return a need that every choice meets, when there is one; else the first choice."""
    counts = {choice.partition(":")[2] or "1" for choice in choices}
    devices = [lookup(card_model(choice.partition(":")[0])[0]) for choice in choices]
    sizes = [device.memory_gib for device in devices if device and device.memory_gib]
    if len(counts) == 1 and len(sizes) == len(choices):
        least = min(sizes)
        text = f"any card with at least {least} GiB, which all of the choices have"
        resources.approximated("accelerators", text)
        return {"count": number(counts.pop()), "memory": f"{least}GiB"}
    others = ", ".join(choices[1:4])
    resources.lost("accelerators", f"the choice; {show(choices[0])} is asked for, not {others}")
    return first


def _place(resources: Branch) -> None:
    """Set the region, alone or in `infra`."""
    region = resources.word("region")
    if region is not None:
        resources.put(("regions",), [region], "region")
    infra = resources.word("infra")
    if infra is None:
        return
    cloud, _, rest = infra.partition("/")
    where = rest.partition("/")[0]
    if cloud in ("k8s", "kubernetes", "slurm", "ssh"):
        resources.lost("infra", "say sites, the names of those that may run it")
        return
    if where and where != "*":
        resources.put(("regions",), [where], "infra")
    if cloud != "*" or rest.count("/"):
        resources.lost("infra", "only its region is kept; say sites to have one provider")


def _image(resources: Branch) -> None:
    """Set the image of a container; the image of a machine is left, and so noted as lost."""
    value = resources.take("image_id")
    if type(value) is str and value.startswith("docker:"):
        resources.put(("image",), value.removeprefix("docker:").lstrip("/"), "image_id")
    elif value is not None:
        resources.lost("image_id", _LOST_OF_RESOURCES["image_id"])


def _recovery(resources: Branch) -> None:
    """Set retries."""
    value = resources.take("job_recovery")
    if value is None or isinstance(value, str):
        if value:
            resources.lost("job_recovery", "where a task is tried again is planned anew")
        return
    if type(value) is not dict:
        resources.wrong("job_recovery", value, f"a mapping, not {describe(value)}")
        return
    recovery = resources.below("job_recovery", value)
    limit = recovery.whole("max_restarts_on_errors")
    codes = recovery.take("recover_on_exit_codes")
    if limit is not None or codes is not None:
        retries: dict[str, object] = {"limit": 100 if limit is None else limit}
        if codes is not None:
            retries["exit_codes"] = codes if type(codes) is list else [codes]
        resources.put(("retries",), retries, "job_recovery")
    recovery.rest({"strategy": "where a task is tried again is planned anew"})
