"""The native job: one table of fields, one function that checks plain data against it.

Every door uses this function: the quick path of the API, the thorough readers of files and of
refused bodies. What differs between them is only where the plain data comes from.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

from fenglin.intake import needs, place, software, things, words
from fenglin.intake.report import show
from fenglin.model.job import (
    MAX_NODES,
    MAX_TASKS,
    Dependency,
    FileInput,
    JobSpec,
    Mode,
    Overlap,
    Topology,
)
from fenglin.model.states import ComputeClass

if TYPE_CHECKING:
    from collections.abc import Callable

    from fenglin.intake.report import Path, Report

MAX_ARGUMENTS = 10_000
MAX_ENV = 1_000
MAX_SECRETS = 16
MAX_PRIORITY = 1_000
# What exec() takes is 2 MiB at the usual stack limit; half of it is left to the site's own.
MAX_START_BYTES = 2**20
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}", re.ASCII)
_SECRET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_TASKS_HINT = "write a number, or {count: 100, concurrency: 10}"

SYNONYMS = {
    "array": "did you mean 'tasks'?",
    "replicas": "did you mean 'tasks'?",
    "parallelism": "did you mean 'concurrency'?",
    "args": "put all arguments into the list 'command'",
    "arguments": "put all arguments into the list 'command'",
    "run": "did you mean 'script'?",
    "cmd": "did you mean 'command'?",
    "environment": "did you mean 'env'?",
    "envs": "did you mean 'env'?",
    "secret": "did you mean 'secrets'?",
    "inputs": "did you mean 'files'?",
    "outputs": "did you mean 'artifacts'?",
    "depends_on": "did you mean 'after'?",
    "dependencies": "did you mean 'after'?",
    "needs": "did you mean 'after'?",
    "partition": "did you mean 'queue'?",
    "walltime": "did you mean 'timeout'?",
    "time": "did you mean 'timeout' (a limit) or 'estimate' (what you expect)?",
    "time_limit": "did you mean 'timeout'?",
    "cwd": "did you mean 'workdir'?",
    "chdir": "did you mean 'workdir'?",
    "begin": "did you mean 'not_before'?",
    "region": "did you mean 'regions', a list?",
    "site": "did you mean 'sites', a list?",
    "constraints": "did you mean 'require'?",
    "node_selector": "did you mean 'require'?",
    "max_latency": "did you mean 'latency'?",
    "datasets": "did you mean 'data'?",
    "preemptable": "did you mean 'preemptible'?",
    "checkpoint_interval": "did you mean 'checkpoint'?",
    "retry": "did you mean 'retries'?",
    "container": "did you mean 'image'?",
    "container_image": "did you mean 'image'?",
    "image_id": "did you mean 'image'?",
    "docker_image": "did you mean 'image'?",
    "install": "did you mean 'setup'?",
    "prolog": "did you mean 'setup'?",
    "tags": "did you mean 'labels'?",
    "cpu": "put it into 'resources'",
    "cpus": "write resources: {cpu: …}",
    "memory": "put it into 'resources'",
    "mem": "write resources: {memory: …}",
    "gpus": "write resources: {accelerators: …}",
    "accelerators": "put it into 'resources'",
    "disk": "put it into 'resources'",
    "licences": "put it into 'resources'",
    "<<": "merge keys are not part of YAML 1.2: write the fields out",
}


def _tasks(value: object, out: dict[str, object], report: Report) -> None:
    """Set `tasks`, and `concurrency` from the mapping form."""
    if type(value) is int and 0 < value <= MAX_TASKS:
        out["tasks"] = value
        return
    path: Path = ("tasks",)
    if type(value) is not dict:
        words.whole(value, path, report, 1, MAX_TASKS)
        return
    entry = cast("dict[str, object]", value)
    for key in entry:
        if key not in ("count", "concurrency"):
            report.unknown((*path, key), ("count", "concurrency"))
    if "count" not in entry:
        report.add(path, "count is missing", _TASKS_HINT)
    else:
        out["tasks"] = words.whole(entry["count"], (*path, "count"), report, 1, MAX_TASKS)
    if "concurrency" in entry:
        _set_concurrency(entry["concurrency"], (*path, "concurrency"), out, report)


def _concurrency(value: object, out: dict[str, object], report: Report) -> None:
    """Set `concurrency`."""
    _set_concurrency(value, ("concurrency",), out, report)


def _set_concurrency(value: object, path: Path, out: dict[str, object], report: Report) -> None:
    """Set `concurrency` once, from either place."""
    if "concurrency" in out:
        report.add(path, "concurrency is given twice", "keep one of the two")
    if value == 0 and type(value) is int:
        report.add(path, "0 would start nothing", "leave it out for no limit")
        return
    out["concurrency"] = words.whole(value, path, report, 1, MAX_TASKS)


def _command(value: object, out: dict[str, object], report: Report) -> None:
    """Set `command`."""
    hint = 'write a list such as ["python3", "run.py"], or use script for shell text'
    found: list[str] = []
    for index, item in enumerate(things.items(value, ("command",), report, MAX_ARGUMENTS, hint)):
        # Ordinary arguments are let through here, without the cost of a path and a call each.
        if type(item) is str and len(item) < 256 and item.isascii() and item.isprintable():
            found.append(item)
            continue
        argument = words.text(item, ("command", index), report)
        if argument is not None:
            found.append(argument)
    if value == [] or (found and not found[0].strip()):
        report.add(("command",), "the command names no program", hint)
    out["command"] = tuple(found)


def _env(value: object, out: dict[str, object], report: Report) -> None:
    """Set `env`."""
    path: Path = ("env",)
    named = _named(value, path, "{THREADS: 4}", "variables", MAX_ENV, report)
    if named is None:
        return
    pairs = []
    for key, item in named.items():
        at = (*path, key)
        _variable(key, at, report)
        word = number_or_text(item, at, report, words.MAX_TEXT - len(key) - 1)
        if word is not None:
            pairs.append((key, word))
    out["env"] = tuple(sorted(pairs))


def _named(
    value: object, path: Path, example: str, things: str, most: int, report: Report
) -> dict[str, object] | None:
    """Return a mapping of at most so many things; None, with a note, for anything else."""
    if type(value) is not dict:
        report.wrong(path, value, "a mapping", f"write for example {example}")
        return None
    if len(value) > most:
        report.add(path, f"{len(value)} {things}", f"at most {most}")
        return None
    return value


def _variable(name: str, at: Path, report: Report) -> None:
    """Note a name that no variable of a job can have."""
    if not _ENV_NAME.fullmatch(name):
        hint = "letters, digits and _, not beginning with a digit"
        report.add(at, f"{show(name)} is not a name of a variable", hint, at_key=True)
    elif name.startswith("FENGLIN_"):
        report.add(at, f"{show(name)} is set by Fenglin", "choose another name", at_key=True)


def _secrets(value: object, out: dict[str, object], report: Report) -> None:
    """Set `secrets`: which variable gets the value of which secret."""
    path: Path = ("secrets",)
    example = "{DB_PASSWORD: db-password}"
    named = _named(value, path, example, "secrets", MAX_SECRETS, report)
    if named is None:
        return
    pairs = []
    for key, name in named.items():
        at = (*path, key)
        _variable(key, at, report)
        if type(name) is not str:
            report.wrong(at, name, "a name", "the value itself is kept by `fenglin secret set`")
        elif not _SECRET_NAME.fullmatch(name):
            # It may be the value, put here by mistake.
            hint = "letters, digits, dots, dashes and _; the value goes to `fenglin secret set`"
            report.add(at, "this is no name of a secret", hint)
        else:
            pairs.append((key, name))
    out["secrets"] = tuple(sorted(pairs))


def number_or_text(value: object, path: Path, report: Report, limit: int) -> str | None:
    """Return a text, or the shortest text of a number."""
    word = number = words.number_word(value)
    if number is None:
        if type(value) in (int, float):
            report.wrong(path, value, "a text or a finite number", "write it in quotes")
            return None
        if value is None:
            report.wrong(path, value, "a text or a number", 'write "" for an empty text')
            return None
        word = words.text(value, path, report, max(0, limit))
    return word


def _workdir(value: object, out: dict[str, object], report: Report) -> None:
    """Set `workdir`, an absolute directory on the site."""
    path: Path = ("workdir",)
    given = words.text(value, path, report, words.MAX_PATH)
    if given is None:
        return
    if words.printable(given, path, report, words.MAX_PATH) is None:
        return
    if not given.startswith("/") or ".." in given.split("/"):
        hint = "write an absolute path without `..`, or leave it out for a fresh directory"
        report.add(path, f"{show(given)} is not an absolute directory", hint)
        return
    out["workdir"] = given


def _overlap(value: object, out: dict[str, object], report: Report) -> None:
    """Set `overlap`."""
    word = things.one_of(value, ("overlap",), report, tuple(Overlap))
    out["overlap"] = Overlap(word) if word else None


def _class(value: object, out: dict[str, object], report: Report) -> None:
    """Set `compute_class`."""
    word = things.one_of(value, ("class",), report, tuple(ComputeClass))
    out["compute_class"] = ComputeClass(word) if word else None


def _topology(value: object, out: dict[str, object], report: Report) -> None:
    """Set `topology`."""
    word = things.one_of(value, ("topology",), report, tuple(Topology))
    out["topology"] = Topology(word) if word else None


def _mode(value: object, out: dict[str, object], report: Report) -> None:
    """Set `mode`."""
    word = things.one_of(value, ("mode",), report, tuple(Mode))
    out["mode"] = Mode(word) if word else None


def _plain(
    attribute: str, key: str, read: Callable[[object, Path, Report], object]
) -> Callable[[object, dict[str, object], Report], None]:
    """Return a setter for a field that is one value."""
    path: Path = (key,)

    def set_it(value: object, out: dict[str, object], report: Report) -> None:
        out[attribute] = read(value, path, report)

    return set_it


def _bounded(key: str, low: int, high: int) -> Callable[[object, dict[str, object], Report], None]:
    """Return a setter for a whole number of a range."""
    return _plain(key, key, lambda value, path, report: words.whole(value, path, report, low, high))


FIELDS: dict[str, Callable[[object, dict[str, object], Report], None]] = {
    "name": _plain("name", "name", words.title),
    "queue": _plain("queue", "queue", words.identifier),
    "account": _plain("account", "account", words.identifier),
    "priority": _bounded("priority", -MAX_PRIORITY, MAX_PRIORITY),
    "tasks": _tasks,
    "concurrency": _concurrency,
    "resources": needs.resources,
    "nodes": _bounded("nodes", 1, MAX_NODES),
    "command": _command,
    "script": software.script,
    "env": _env,
    "secrets": _secrets,
    "workdir": _workdir,
    "image": software.image,
    "setup": software.setup,
    "files": things.files,
    "artifacts": things.artifacts,
    "retries": things.retries,
    "estimate": _plain("estimate_ms", "estimate", words.duration),
    "timeout": _plain("timeout_ms", "timeout", words.duration),
    "deadline": _plain("deadline_ms", "deadline", words.moment),
    "not_before": _plain("not_before_ms", "not_before", words.moment),
    "after": things.after,
    "overlap": _overlap,
    "class": _class,
    "sites": place.sites,
    "regions": place.regions,
    "require": place.pairs("require", "{tier: gold}"),
    "topology": _topology,
    "near": _plain("near", "near", words.identifier),
    "latency": _plain("latency_ms", "latency", words.duration),
    "data": place.data,
    "preemptible": _plain("preemptible", "preemptible", words.truth),
    "checkpoint": _plain("checkpoint_ms", "checkpoint", words.duration),
    "labels": place.pairs("labels", "{project: karst}"),
    "mode": _mode,
}


def check_job(data: object, report: Report) -> JobSpec | None:
    """Return the job that plain data describes, or None with all problems in the report.

    With `report.local` the files that still have to be uploaded are placeholders; such a spec
    only shows that the rest is right.
    """
    if type(data) is not dict:
        hint = "a job is a mapping with name and command or script"
        report.wrong((), data, "a mapping", hint)
        return None
    out: dict[str, object] = {}
    for key, value in data.items():
        setter = FIELDS.get(key)
        if setter is None:
            report.unknown((key,), FIELDS, SYNONYMS)
        else:
            setter(value, out, report)
    if "name" not in data:
        report.add((), "name is missing", "give the job a name for people: name: my-job")
    if ("command" in data) is ("script" in data):
        _one_payload(report, both="command" in data)
    _across(out, report)
    if report.count:
        return None
    return JobSpec(**cast("dict[str, Any]", out))


def _one_payload(report: Report, *, both: bool) -> None:
    """Note that not exactly one of command and script was given."""
    if both:
        report.add(("script",), "command and script together", "keep one of them", at_key=True)
    else:
        report.add((), "it runs nothing", "add command (a list) or script (text)")


def _across(out: dict[str, object], report: Report) -> None:
    """Check what fields say together, and add the parents that `artifacts_of` implies."""
    if "deadline_ms" in out:
        _deadline(out, report)
    if "latency_ms" in out and "near" not in out:
        hint = "add near, the site whose users it serves, or leave latency out"
        report.add(("latency",), "latency says nothing without near", hint, at_key=True)
    if out.get("mode") is Mode.SPOT and not out.setdefault("preemptible", True):
        hint = "leave preemptible out, or choose another mode"
        report.add(("mode",), "what runs as spot may be interrupted", hint, at_key=True)
    if "checkpoint_ms" in out and not out.get("preemptible"):
        hint = "add preemptible: true, or leave checkpoint out"
        what = "checkpoint says nothing of a job that is not preemptible"
        report.add(("checkpoint",), what, hint, at_key=True)
    if "files" in out:
        out["after"] = _implied_parents(out)
    start = cast("tuple[str, ...]", out.get("command", ()))
    env = cast("tuple[tuple[str, str], ...]", out.get("env", ()))
    if "secrets" in out:
        _once(out, report)
    if len(start) > 8 or env:
        used = sum(len(word.encode()) + 9 for word in start)
        used += sum(len(name) + len(word.encode()) + 10 for name, word in env)
        if used > MAX_START_BYTES:
            what = f"command and env need {used} bytes"
            report.add((), what, f"at most {MAX_START_BYTES}; put large data into files")


def _once(out: dict[str, object], report: Report) -> None:
    """Note a variable that has a value and a secret."""
    plain = {name for name, _ in cast("tuple[tuple[str, str], ...]", out.get("env", ()))}
    for name, _ in cast("tuple[tuple[str, str], ...]", out["secrets"]):
        if name in plain:
            report.add(("secrets", name), f"{name} stands in env too", "keep one", at_key=True)


def _deadline(out: dict[str, object], report: Report) -> None:
    """Note a deadline that cannot be kept."""
    deadline_ms = cast("int | None", out["deadline_ms"])
    not_before_ms = cast("int | None", out.get("not_before_ms"))
    if deadline_ms is None:
        return
    if deadline_ms <= report.now_ms:
        report.add(("deadline",), "the deadline has passed", "write a later time")
    elif not_before_ms is not None and deadline_ms <= not_before_ms:
        report.add(("deadline",), "the deadline is not after not_before", "write a later time")


def _implied_parents(out: dict[str, object]) -> tuple[Dependency, ...]:
    """Return `after` with every job whose artifacts are brought; it must end well."""
    parents = cast("tuple[Dependency, ...]", out.get("after", ()))
    listed = {parent.job for parent in parents}
    files = cast("tuple[FileInput, ...]", out["files"])
    jobs = dict.fromkeys(file.artifacts_of for file in files if file.artifacts_of)
    return parents + tuple(Dependency(job) for job in jobs if job not in listed)
