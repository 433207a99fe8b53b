"""dstack's tasks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from fenglin.intake.dialects.branch import Branch, number
from fenglin.intake.dialects.devices import card_model
from fenglin.intake.dialects.local import bring
from fenglin.intake.report import show

if TYPE_CHECKING:
    from collections.abc import Mapping

_TYPES = ("task", "service", "dev-environment", "fleet", "volume", "gateway")
_RANGE = re.compile(r"([^.]+(?:\.\d+)?)?(\.\.)?([^.]+(?:\.\d+)?)?")
_SIZE = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*([MGT]?)B?", re.IGNORECASE | re.ASCII)
_UNITS = {"": "GiB", "M": "MiB", "G": "GiB", "T": "TiB"}
_COUNT = re.compile(r"\d{1,4}(?:\.\.(?:\d{1,4})?)?|\.\.\d{1,4}", re.ASCII)
_REASONS = {
    "error": ("exit_code", "signal"),
    "interruption": ("site_lost", "runner_lost", "node_rebooted"),
    "no-capacity": (),
}
_LOST = {
    "docker": "there is no docker in the container",
    "privileged": "a container gets no more rights than its site allows",
    "entrypoint": "the commands run instead of the image's entrypoint",
    "registry_auth": "not sent; log in to the registry on the hosts of a site",
    "python": "the Python of the node is used",
    "nvcc": "the compilers of the node are used",
    "ports": "no ports are opened",
    "volumes": "not mounted",
    "backends": "say sites, the names of those that may run it",
    "availability_zones": "say regions or sites",
    "instance_types": "say what is needed: cpu, memory, accelerators",
    "fleets": "say sites, the names of those that may run it",
    "max_price": "prices are weighed by the policy of the hub",
    "stop_duration": "the grace between SIGTERM and SIGKILL is the site's",
    "utilization_policy": "a job that is idle is not ended",
    "schedule": "a job starts once; say not_before",
    "startup_order": "all nodes of a task start together",
    "stop_criteria": "a task ends when all of its nodes have ended",
    "user": "the site decides as whom a task runs",
    "single_branch": "no repository is fetched",
}
_IGNORED = {
    "creation_policy": "machines are started when needed",
    "idle_duration": "machines are given back when they are not needed",
    "home_dir": "the site's",
}
_VARIABLES = """\
export DSTACK_RUN_NAME={name}
export DSTACK_NODES_NUM="$FENGLIN_NODE_COUNT" DSTACK_NODE_RANK="$FENGLIN_NODE_RANK"
export DSTACK_NODES_IPS="$(echo "${{FENGLIN_NODES:-$FENGLIN_NODE}}" | tr , '\\n')"
export DSTACK_MASTER_NODE_IP="$(echo "$DSTACK_NODES_IPS" | head -n 1)"
export DSTACK_GPUS_PER_NODE={cards} DSTACK_GPUS_NUM=$(({cards} * FENGLIN_NODE_COUNT))
set -e
"""


def recognises(data: Mapping[str, object]) -> bool:
    """Return whether a document is a configuration of dstack."""
    return data.get("type") in _TYPES and not {"command", "script", "executors"} & set(data)


def convert(root: Branch, name: str) -> None:
    """Put a task into the draft."""
    draft = root.draft
    kind = root.word("type")
    if kind != "task":
        hint = "Fenglin runs jobs that end: type: task"
        draft.problem(root.place("type"), "type", f"{show(kind or '')} is not taken", hint)
    given = root.word("name") or name
    draft.put(("name",), given, root.place("name"))
    nodes = root.whole("nodes")
    if nodes is not None and nodes != 1:
        root.put(("nodes",), nodes, "nodes")
    cards = _resources(root.branch("resources"))
    _env(root)
    _when(root)
    _where(root)
    image = root.word("image")
    if image is not None:
        root.put(("image",), image, "image")
    _commands(root, given, cards)
    _files(root)
    root.rest(_LOST, _IGNORED)


def _files(root: Branch) -> None:
    """Bring the folders of `repos` and the entries of `files` to where the commands run."""
    for key, place in (("repos", "."), ("files", "")):
        for item in root.items(key):
            source: object = None
            target: object = None
            if type(item) is str:
                source, _, target = item.partition(":")
                if item.startswith(("http:", "https:", "ssh:", "git@")):
                    source, target = item.replace(":", "://", 1), ""
            elif type(item) is dict:
                source, target = item.get("local_path", item.get("url")), item.get("path")
            if type(source) is str:
                bring(root, key, source, str(target or place))
            else:
                root.wrong(key, item, "a path")


def _commands(root: Branch, name: str, cards: int) -> None:
    """Set the script: variables, then the commands, each of which must end well."""
    commands = root.words("commands")
    if not any(command.strip() for command in commands):
        hint = "say commands, a list of shell commands"
        root.draft.nothing_to_run(root.place(), "commands", "it runs nothing known", hint)
        return
    text = " ".join(commands)
    if "_IPS" in text or "NODE_IP" in text:
        note = "DSTACK_NODES_IPS and DSTACK_MASTER_NODE_IP hold names of nodes, not addresses"
        root.approximated("commands", note)
    shown = re.sub(r"[^\w.-]", "-", name)
    shell = "/bin/bash" if root.word("shell") in ("bash", "/bin/bash") else "/bin/sh"
    lines = "".join(f"{command.rstrip()}\n" for command in commands)
    head = _VARIABLES.format(name=shown, cards=cards)
    root.put(("script",), f"#!{shell}\n{head}{lines}", "commands")


def _env(root: Branch) -> None:
    """Set the variables that have values, from a list or a mapping."""
    value = root.take("env")
    pairs: list[tuple[object, str]] = []
    if type(value) is dict:
        inner = root.below("env", value)
        for key in inner:
            text = inner.word(key)
            if text is not None:
                inner.put(("env", key), text, key)
        inner.rest()
    elif type(value) is list:
        pairs = [(index, str(item)) for index, item in enumerate(value)]
    elif value is not None:
        root.wrong("env", value, "a list or a mapping")
    for index, text in pairs:
        name, equals, given = text.partition("=")
        at = root.place("env", cast("int", index))
        if equals:
            root.draft.put(("env", name), given, at)
        else:
            note = f"the value of {show(name)} is in your shell only: write it as NAME=value"
            root.draft.lost(at, f"env[{index}]", note)


def _when(root: Branch) -> None:
    """Set limits, priority and retries."""
    limit = root.take("max_duration")
    if limit not in (None, "off", False):
        root.put(("timeout",), limit, "max_duration")
    priority = root.take("priority")
    if priority is not None:
        root.put(("priority",), priority, "priority")
    policy = root.word("spot_policy")
    if policy in ("spot", "auto"):
        root.put(("preemptible",), value=True, key="spot_policy")
        root.approximated("spot_policy", "preemptible: the hub may interrupt it, too")
    _retry(root)


def _retry(root: Branch) -> None:
    """Set retries; waiting for capacity is what every job does."""
    value = root.take("retry")
    if value in (None, False):
        return
    events: list[object] = list(_REASONS)
    duration: object = None
    if type(value) is dict:
        inner = root.below("retry", value)
        events = inner.items("on_events") if "on_events" in inner else events
        duration = inner.take("duration")
        inner.rest()
    reasons: list[str] = []
    for event in events:
        if type(event) is str and event in _REASONS:
            reasons += _REASONS[event]
        else:
            root.wrong("retry", event, "one of " + ", ".join(_REASONS))
    if reasons:
        root.put(("retries",), {"limit": 10, "reasons": reasons}, "retry")
        root.approximated("retry", "at most 10 more tries, without a limit of time")
    elif duration is not None:
        root.lost("retry", "the job waits for capacity without a limit of time; say deadline")


def _where(root: Branch) -> None:
    """Set regions and the working directory."""
    regions = root.words("regions")
    if regions:
        root.put(("regions",), regions, "regions")
    folder = root.word("working_dir")
    if folder is not None:
        if folder.startswith("/"):
            root.put(("workdir",), folder, "working_dir")
        elif folder not in (".", ""):
            root.lost("working_dir", "not absolute; the task starts in a fresh directory")


def _resources(resources: Branch) -> int:
    """Set what a node needs: the least of every range; return how many cards."""
    cpu = resources.take("cpu")
    if type(cpu) is dict:
        inner = resources.below("cpu", cpu)
        cpu = inner.take("count")
        inner.rest({"arch": "say class or require"})
    if cpu is not None:
        spelled = str(cpu)
        family, colon, amount = spelled.partition(":")
        if colon:
            resources.lost("cpu", f"the kind {show(family)}; say class or require")
        least = _least(resources, "cpu", amount if colon else spelled)
        if least:
            resources.put(("resources", "cpu"), number(least), "cpu")
    _amount(resources, "memory", "memory", resources.take("memory"))
    disk = resources.take("disk")
    if type(disk) is dict:
        inner = resources.below("disk", disk)
        disk = inner.take("size")
        inner.rest()
    _amount(resources, "disk", "disk", disk)
    cards = _cards(resources, resources.take("gpu"))
    resources.rest({"shm_size": "shared memory is as large as the site allows"})
    return cards


def _least(branch: Branch, key: str, text: str) -> str:
    """Return the lower end of a range, empty when there is none."""
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        branch.wrong(key, text, "an amount or a range such as 4..8")
        return ""
    if match[2] and match[3]:
        branch.approximated(key, f"at least {match[1] or 'any'}; there is no upper bound")
    return (match[1] or "").strip()


def _amount(branch: Branch, key: str, ours: str, value: object) -> None:
    """Set a size in GiB, or in the unit that it has."""
    if value is None:
        return
    least = _least(branch, key, str(value))
    match = _SIZE.fullmatch(least)
    if match:
        branch.put(("resources", ours), f"{match[1]}{_UNITS[match[2].upper()]}", key)
    elif least:
        branch.wrong(key, value, "a size such as 16GB or 16GB..")


def _cards(resources: Branch, value: object) -> int:
    """Set the cards from any of their forms; return how many, 0 for none."""
    names: list[str] = []
    count, memory = "1", ""
    if value is None or value == 0:
        return 0
    if type(value) is dict:
        inner = resources.below("gpu", value)
        given = inner.take("name")
        names = [str(one) for one in given] if type(given) is list else []
        names = [str(given)] if type(given) is str else names
        count = inner.word("count") or "1"
        memory = inner.word("memory") or ""
        inner.rest({"vendor": "say the model", "compute_capability": "say the model"})
    else:
        for part in str(value).split(":"):
            if _COUNT.fullmatch(part):
                count = part
            elif _SIZE.fullmatch(part.partition("..")[0]) or part.startswith(".."):
                memory = part
            elif part.lower() not in ("nvidia", "amd", "google", "intel", "tenstorrent"):
                names = part.split(",")
            else:
                resources.lost("gpu", f"the vendor {show(part)}; say the model")
    return _put_cards(resources, names, _least(resources, "gpu", count), memory)


def _put_cards(resources: Branch, names: list[str], count: str, memory: str) -> int:
    """Ask for cards of a model, or of a size."""
    if not count.isdecimal() or len(count) > 6:
        resources.wrong("gpu", count, "a number of cards")
        return 0
    need: dict[str, object] = {"count": int(count)}
    if names:
        model, narrower = card_model(names[0])
        if not model:
            what = f"{show(names[0])} is not the name of a card"
            resources.draft.problem(resources.place("gpu"), resources.name("gpu"), what)
            return 0
        need["model"] = model
        if len(names) > 1:
            others = ", ".join(names[1:4])
            resources.lost("gpu", f"the choice; {show(names[0])} is asked for, not {others}")
        elif narrower:
            resources.approximated("gpu", f"{show(names[0])} is taken as {model}")
    size = _SIZE.fullmatch(_least(resources, "gpu", memory)) if memory else None
    if size:
        need["memory"] = f"{size[1]}{_UNITS[size[2].upper()]}"
    if int(count):
        resources.put(("resources", "accelerators"), need, "gpu")
    return int(count)
