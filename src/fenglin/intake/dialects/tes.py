"""GA4GH's Task Execution Service, version 1.1: one task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.intake.dialects.shell import command_line, quote
from fenglin.intake.place import is_label
from fenglin.intake.report import show

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fenglin.intake.dialects.branch import Branch

_LOST = {
    "inputs": "not copied; bring files with `files`, or reach data where the job runs",
    "outputs": "not copied; say artifacts, or write where the job runs",
    "volumes": "the executors share the task's working directory",
}
_IGNORED = {
    **dict.fromkeys(("id", "state", "logs", "creation_time"), "written by the server"),
    "description": "for people; say it in labels",
}
_LOST_OF_RESOURCES = {
    "zones": "say regions or sites, by their names here",
    "backend_parameters": "settings of one server",
    "backend_parameters_strict": "settings of one server",
}


def recognises(data: Mapping[str, object]) -> bool:
    """Return whether a document is a task of TES."""
    return isinstance(data.get("executors"), list) and not {"command", "script"} & set(data)


def convert(root: Branch, name: str) -> None:
    """Put a task into the draft."""
    root.draft.put(("name",), root.word("name") or name, root.place("name"))
    _resources(root.branch("resources"))
    tags = root.branch("tags")
    for key in tags:
        value = tags.word(key)
        if value is not None and is_label(key):
            tags.put(("labels", key), value, key)
        elif value is not None:
            tags.lost(key, "not a name of a label")
    place = root.place("executors")
    executors = root.branches("executors")
    if not executors:
        hint = "say executors, each with a command"
        root.draft.nothing_to_run(place, "executors", "it runs nothing", hint)
    elif len(executors) == 1 and not {"stdin", "stdout", "stderr"} & set(executors[0]):
        _alone(executors[0])
    else:
        _one_image(executors)
        steps = "".join(_step(executor) for executor in executors)
        root.draft.put(("script",), f"#!/bin/sh\n{steps}", place)
    root.rest(_LOST, _IGNORED)


def _resources(resources: Branch) -> None:
    """Set cores, memory, disk; TES counts powers of 1000."""
    cores = resources.take("cpu_cores")
    if cores is not None:
        resources.put(("resources", "cpu"), cores, "cpu_cores")
    for key, ours in (("ram_gb", "memory"), ("disk_gb", "disk")):
        amount = resources.take(key)
        if type(amount) in (int, float):
            resources.put(("resources", ours), f"{amount}GB", key)
        elif amount is not None:
            resources.wrong(key, amount, "a number of GB")
    if resources.truth("preemptible"):
        resources.put(("preemptible",), value=True, key="preemptible")
    resources.rest(_LOST_OF_RESOURCES)


def _alone(executor: Branch) -> None:
    """Make the only executor the command."""
    words = executor.words("command")
    executor.put(("command",), words, "command")
    workdir = executor.word("workdir")
    if workdir is not None:
        executor.put(("workdir",), workdir, "workdir")
    for key, value in executor.pairs("env").items():
        executor.draft.put(("env", key), value, executor.place("env", key))
    image = executor.word("image")
    if image is not None:
        executor.put(("image",), image, "image")
    executor.take("ignore_error")
    executor.rest()


def _one_image(executors: list[Branch]) -> None:
    """Set the image of the first of several executors; the task has one."""
    first = executors[0].word("image")
    if first is not None:
        executors[0].put(("image",), first, "image")
    for other in executors[1:]:
        image = other.word("image")
        if image is not None and image != first:
            other.lost("image", f"the steps of a task run in one image, {show(first or 'none')}")


def _step(executor: Branch) -> str:
    """Return the shell text of one of several executors; it ends the task when it fails."""
    words = executor.words("command")
    if not words:
        what = "it names no program"
        executor.draft.problem(executor.place(), executor.name("command"), what)
    env = executor.pairs("env")
    line = command_line(words)
    if env:
        line = "env " + command_line(f"{key}={value}" for key, value in env.items()) + f" {line}"
    for key, sign in (("stdin", "<"), ("stdout", ">"), ("stderr", "2>")):
        target = executor.word(key)
        if target is not None:
            line += f" {sign} {quote(target)}"
    workdir = executor.word("workdir")
    if workdir is not None:
        line = f"cd {quote(workdir)} && {line}"
    ignored = executor.truth("ignore_error")
    executor.rest()
    return f"({line}){' || :' if ignored else ' || exit'}\n"
