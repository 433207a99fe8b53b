"""Every option that is not about the size of the job: carried over, or what is said instead."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fenglin.catalog.devices import lookup
from fenglin.errors import InputError
from fenglin.intake.dialects.sbatch import values
from fenglin.intake.dialects.sbatch.losses import IGNORED, LOST, REFUSED
from fenglin.intake.document import size_text
from fenglin.intake.report import show
from fenglin.model.wishes import label_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from fenglin.intake.dialects.notes import Draft
    from fenglin.intake.dialects.sbatch.options import Given
    from fenglin.intake.dialects.sbatch.shape import Asked, Shape

_FEATURES = re.compile(r"[\w.-]{1,54}(?:&[\w.-]{1,54})*", re.ASCII)
_PARENT = re.compile(r"(j?)(\d{1,18})(_\d+|_\*)?(?:\+\d+)?", re.ASCII)
_CONDITIONS = {"afterok": "ok", "afterany": "any", "afternotok": "fail", "aftercorr": "ok"}
_RETRIES = {"limit": 3, "reasons": ["site_lost", "runner_lost", "node_rebooted"]}
_MAX_PRIORITY = 1_000


@dataclass(slots=True)
class Carried:
    """What the script itself must know of the options.

    Attributes:
        indices: Of the array; None when it is none.
        stdin: File to read from; empty for none.
        nodes: Nodes of the job.
    """

    indices: values.Array | None
    stdin: str
    nodes: int


def carry(asked: Asked, job: Shape) -> Carried:
    """Put every option into the draft, or note what becomes of it."""
    draft = asked.draft
    carried = Carried(None, "", job.nodes)
    for name, option in asked.given.items():
        if name in REFUSED:
            draft.problem(option.place, option.field, *REFUSED[name])
        elif name in LOST:
            draft.lost(option.place, option.field, LOST[name])
        elif name in IGNORED:
            draft.ignored(option.place, option.field, IGNORED[name])
        elif name in _CARRIERS:
            try:
                _CARRIERS[name](option, draft, carried)
            except InputError as error:
                draft.refused(option.place, option.field, error)
    return carried


def _plain(*path: str) -> Callable[[Given, Draft, Carried], None]:
    """Return the carrier of a value that the native field takes as it is."""

    def put(option: Given, draft: Draft, _carried: Carried) -> None:
        draft.put(path, option.value, option.place)

    return put


def _wish(option: Given, draft: Draft, _carried: Carried) -> None:
    """Ask it of a scheduler that knows it."""
    key = label_of(option.name)
    draft.put(("labels", key), option.value, option.place)
    text = (
        f"the label {key}, for Slurm clusters that let the account choose it; elsewhere the job"
        f" runs without. To insist: require {key}"
    )
    draft.approximated(option.place, option.field, text)


def _image(option: Given, draft: Draft, _carried: Carried) -> None:
    """Set the image; `REGISTRY#NAME` is how enroot writes it."""
    name = option.value.removeprefix("docker://").replace("#", "/", 1)
    draft.put(("image",), name, option.place)


def _partition(option: Given, draft: Draft, _carried: Carried) -> None:
    """Make the first partition the queue."""
    first, comma, _ = option.value.partition(",")
    draft.put(("queue",), first, option.place)
    if comma:
        text = f"the queue {show(first)}; a job waits in one queue only"
        draft.approximated(option.place, option.field, text)


def _time(option: Given, draft: Draft, _carried: Carried) -> None:
    """Set the time limit."""
    limit_s = values.time_s(option.value)
    if limit_s:
        draft.put(("timeout",), f"{limit_s}s", option.place)


def _array(option: Given, draft: Draft, carried: Carried) -> None:
    """Set the size of the array, and how many run at once."""
    carried.indices = values.array(option.value)
    size = carried.indices.size
    draft.put(("tasks",), size, option.place)
    if carried.indices.limit:
        draft.put(("concurrency",), min(carried.indices.limit, size), option.place)


def _clusters(option: Given, draft: Draft, _carried: Carried) -> None:
    """Make clusters the sites."""
    names = [name.strip() for name in option.value.split(",")]
    if names != ["all"]:
        draft.put(("sites",), names, option.place)


def _constraint(option: Given, draft: Draft, _carried: Carried) -> None:
    """Make the name of a card the model, and any other feature a label that is required."""
    if not _FEATURES.fullmatch(option.value):
        text = "alternatives and counts of features; say what is needed with require"
        draft.lost(option.place, option.field, text)
        return
    resources = draft.data["resources"]
    for feature in option.value.split("&"):
        device = lookup(feature)
        if device and isinstance(resources, dict) and type(resources.get("accelerators")) is int:
            need = f"{device.key}:{resources['accelerators']}"
            draft.put(("resources", "accelerators"), need, option.place)
            continue
        draft.put(("require", f"feature.{feature.strip('.-_')}"), "true", option.place)
        text = f'only where a site or flavor carries the label feature.{feature}: "true"'
        draft.approximated(option.place, option.field, text)


def _licences(option: Given, draft: Draft, _carried: Carried) -> None:
    """Set licences, `name:count` each."""
    if "|" in option.value:
        draft.lost(option.place, option.field, "alternatives of licences")
        return
    for part in option.value.split(","):
        name, colon, number = part.strip().partition(":" if ":" in part else "=")
        amount = values.count(number) if colon else 1
        draft.put(("resources", "licences", name), amount, option.place)


def _dependency(option: Given, draft: Draft, _carried: Carried) -> None:
    """Set the parents; Slurm's number 12 is our job j12."""
    parents: dict[str, dict[str, object]] = {}
    if "?" in option.value:
        text = "all of the jobs are waited for; Slurm would wait for one of them"
        draft.approximated(option.place, option.field, text)
    for part in re.split(r"[,?]", option.value):
        kind, *jobs = part.strip().split(":")
        kind = kind.lower()
        if kind in ("singleton", "after", "afterburstbuffer", "expand"):
            draft.lost(option.place, option.field, f"{show(kind)}: the job does not wait for it")
            continue
        if kind.lstrip("j").isdecimal():
            kind, jobs = "afterany", [kind]
        if kind not in _CONDITIONS or not jobs:
            hint = "write for example afterok:12 or afterany:12:13"
            raise InputError(f"{show(part)} is not a dependency", hint=hint)
        for job in jobs:
            _parent(kind, job, parents, option, draft)
    if parents:
        listed = [parent["job"] if len(parent) == 1 else parent for parent in parents.values()]
        draft.put(("after",), listed, option.place)


def _parent(
    kind: str, job: str, parents: dict[str, dict[str, object]], option: Given, draft: Draft
) -> None:
    """Add one parent."""
    match = _PARENT.fullmatch(job)
    if match is None:
        raise InputError(f"{show(job)} is no job", hint="write for example afterok:12")
    name = f"j{int(match[2])}"
    entry: dict[str, object] = {"job": name}
    if _CONDITIONS[kind] != "ok":
        entry["condition"] = _CONDITIONS[kind]
    if kind == "aftercorr":
        entry["per_task"] = True
    if match[3]:
        text = f"all tasks of {name} are waited for, not one"
        draft.approximated(option.place, option.field, text)
    elif not match[1]:
        draft.approximated(option.place, option.field, f"{show(job)} is taken as the job {name}")
    if parents.setdefault(name, entry) != entry:
        text = f"{name} stands here twice; the first condition counts"
        draft.approximated(option.place, option.field, text)


def _moment(key: str) -> Callable[[Given, Draft, Carried], None]:
    """Return the carrier of a time."""

    def put(option: Given, draft: Draft, _carried: Carried) -> None:
        moment_ms, local = values.later_ms(option.value, draft.now_ms)
        moment = datetime.fromtimestamp(moment_ms // 1_000, UTC)
        draft.put((key,), moment.isoformat().replace("+00:00", "Z"), option.place)
        if local:
            text = f"{moment.astimezone().isoformat()}, as local time of this machine"
            draft.approximated(option.place, option.field, text)

    return put


def _chdir(option: Given, draft: Draft, _carried: Carried) -> None:
    """Set the working directory when it is absolute."""
    if "%" in option.value or not option.value.startswith("/"):
        text = "no absolute path as it stands; the job starts in a fresh directory"
        draft.lost(option.place, option.field, text)
        return
    draft.put(("workdir",), option.value, option.place)


def _nice(option: Given, draft: Draft, _carried: Carried) -> None:
    """Lower the priority."""
    negative = option.value.startswith("-")
    amount = values.count(option.value.removeprefix("-") or "100", 0)
    priority = min(amount, _MAX_PRIORITY) * (1 if negative else -1)
    draft.put(("priority",), priority, option.place)
    draft.approximated(option.place, option.field, f"priority {priority}; other scales differ")


def _requeue(option: Given, draft: Draft, _carried: Carried) -> None:
    """Try again when the node or the site is lost."""
    draft.put(("retries",), dict(_RETRIES), option.place)
    draft.approximated(option.place, option.field, "at most 3 more tries after a lost node or site")


def _export(option: Given, draft: Draft, _carried: Carried) -> None:
    """Set the variables that have values; those of the submitter's shell stay there."""
    for part in option.value.split(","):
        name, equals, value = part.strip().partition("=")
        if equals:
            draft.put(("env", name), value, option.place)
        elif name.upper() in ("ALL", "NIL"):
            text = "the variables of your shell are not sent; give them as NAME=value"
            draft.lost(option.place, option.field, text)
        elif name.upper() != "NONE" and name:
            text = f"its value is not known here: write {name[:64]}=value"
            draft.lost(option.place, option.field, text)


def _switches(option: Given, draft: Draft, carried: Carried) -> None:
    """Keep the nodes together."""
    number, at, _ = option.value.partition("@")
    if option.name == "switches" and (values.count(number) > 1 or at):
        draft.lost(option.place, option.field, "a number of switches, or a wait for them")
    elif carried.nodes > 1:
        draft.put(("topology",), "block", option.place)
        draft.approximated(option.place, option.field, "all nodes in one block")
    else:
        draft.ignored(option.place, option.field, "the job has one node")


def _disk(option: Given, draft: Draft, _carried: Carried) -> None:
    """Set scratch space."""
    amount = values.memory_bytes(option.value)
    draft.put(("resources", "disk"), size_text(max(amount, 2**20) if amount else 0), option.place)


def _input(option: Given, draft: Draft, carried: Carried) -> None:
    """Read from a file where the job runs."""
    if "%" in option.value:
        draft.lost(option.place, option.field, "a pattern; there is nothing to read from")
    elif option.value != "/dev/null":
        carried.stdin = option.value


def _mail(option: Given, draft: Draft, _carried: Carried) -> None:
    """Say that no mail is sent, where one is wanted."""
    if option.value.upper() == "NONE":
        draft.ignored(option.place, option.field, "no mail is asked for, and none is sent")
    else:
        draft.lost(option.place, option.field, LOST["mail-user"])


def _streams(option: Given, draft: Draft, _carried: Carried) -> None:
    """Say where output goes."""
    text = f"no file {show(option.value)}: the hub keeps the output, see `fenglin job logs`"
    if option.name == "error":
        text = "one log with the standard output, in order; see `fenglin job logs`"
    draft.approximated(option.place, option.field, text)


_CARRIERS: dict[str, Callable[[Given, Draft, Carried], None]] = {
    "job-name": _plain("name"),
    "account": _plain("account"),
    "comment": _plain("labels", "comment"),
    "wckey": _plain("labels", "wckey"),
    "qos": _wish,
    "reservation": _wish,
    "container-image": _image,
    "partition": _partition,
    "time": _time,
    "array": _array,
    "clusters": _clusters,
    "constraint": _constraint,
    "licenses": _licences,
    "dependency": _dependency,
    "begin": _moment("not_before"),
    "deadline": _moment("deadline"),
    "chdir": _chdir,
    "nice": _nice,
    "requeue": _requeue,
    "export": _export,
    "switches": _switches,
    "contiguous": _switches,
    "tmp": _disk,
    "input": _input,
    "output": _streams,
    "error": _streams,
    "mail-type": _mail,
}
