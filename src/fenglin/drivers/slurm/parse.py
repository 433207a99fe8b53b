"""What Slurm's commands answer, understood. Pure; the formats are the same from 20.x to 26.x.

Parsable formats rather than `--json`: JSON is not there before 21.08 and its fields differ between
22.05 and 24.11 (`job_state` is a word here and a list there), while nothing that the driver needs
is missing from the formats. For 10,000 elements JSON is thirty times as long and costs squeue
thirteen times as much (`bench/slurm_array.py`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from fenglin.catalog.devices import lookup

if TYPE_CHECKING:
    from collections.abc import Mapping

QUEUE_FORMAT = "%F|%K|%j"
ACCOUNT_FORMAT = "JobID,State,NodeList"
ENERGY_FORMAT = "JobID,Partition,End,ElapsedRaw,AllocCPUS,NNodes,ConsumedEnergyRaw,JobName"
WIDTH_FORMAT = "%c|%P"
# Slurm writes what it does not know as the largest numbers there are.
_NO_VALUE_DIGITS = 19
# Free text, which may hold anything, stands last.
NODE_FORMAT = "%N|%P|%a|%T|%c|%m|%G|%f|%E"
# What Slurm prints as array index for the rest of an array whose pending elements are gone.
NO_INDEX = 2**32 - 2
# What a node may be doing and yet take jobs, now or after its present ones.
USABLE = frozenset({"idle", "mixed", "allocated", "completing", "planned", "powered_down"})
UNREACHED = "*"
LONGEST_PROBLEM = 200
LIVE_STATES = frozenset(
    {
        "PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "RESIZING",
        "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SIGNALING", "STAGE_OUT", "RESV_DEL_HOLD",
        "SPECIAL_EXIT", "POWER_UP_NODE", "UPDATE_DB",
    }
)  # fmt: skip
_NO_TIME = frozenset({"Unknown", "None", ""})
_NUMBER = re.compile(r"\d+", re.ASCII)
_FIELD = re.compile(r"(\w+)=(\S*)")
_CARDS = re.compile(r"gpu(?::([^:(]+))?:(\d+)")


class PartNode(Struct, frozen=True):
    """One node as one partition shows it.

    Attributes:
        name: Of the node.
        partition: Of which it is a part.
        up: Whether it takes jobs.
        cards: (type, count) of its GPUs; the type is empty where the cluster does not type them.
        features: Its features.
        problem: Why it takes none: its state, and the reason that an operator gave.
    """

    name: str
    partition: str
    up: bool
    cards: tuple[tuple[str, int], ...] = ()
    features: tuple[str, ...] = ()
    problem: str = ""


class Ended(Struct, frozen=True):
    """How Slurm says that an element of an array stands.

    Attributes:
        state: Base state, such as `NODE_FAIL`.
        ran: Whether it ever had a node.
    """

    state: str
    ran: bool

    @property
    def live(self) -> bool:
        """Whether it may still run."""
        return self.state in LIVE_STATES


def read_licences(text: str) -> dict[str, int]:
    """Return name → number of licences, less those that reservations hold.

    One line each: `LicenseName=matlab Total=10 Used=2 Free=8 Reserved=0 Remote=no`; anything
    else, such as that none are configured, holds none.
    """
    found = {}
    for line in text.splitlines():
        facts = dict(_FIELD.findall(line))
        if "LicenseName" in facts and facts.get("Total", "").isdecimal():
            reserved = facts.get("Reserved", "0")
            held = int(reserved) if reserved.isdecimal() else 0
            found[facts["LicenseName"]] = max(0, int(facts["Total"]) - held)
    return found


def elements(text: str) -> frozenset[int]:
    """Return the array indices in `4-9,12%2`; a job that is no array has element 0.

    Raises:
        ValueError: it is no such list.
    """
    if text in ("N/A", ""):
        return frozenset((0,))
    found: set[int] = set()
    for part in text.strip("[]").partition("%")[0].split(","):
        span, _, step = part.partition(":")
        first, _, last = span.partition("-")
        found.update(range(int(first), int(last or first) + 1, int(step or 1)))
    return frozenset(found)


def read_queue(text: str, prefix: str) -> dict[str, dict[int, set[int]]]:
    """Return job name → array job id → its live elements, for names that start with the prefix.

    Raises:
        ValueError: a line of ours cannot be understood, so the listing proves nothing.
    """
    found: dict[str, dict[int, set[int]]] = {}
    for line in text.splitlines():
        words = line.split("|", 2)
        if len(words) < 3 or not words[2].startswith(prefix):
            continue
        number, index, name = words
        live = found.setdefault(name, {}).setdefault(int(number), set())
        live.update((int(index),) if index.isdecimal() else elements(index))
    return found


def read_nodes(text: str) -> tuple[PartNode, ...]:
    """Return the nodes that `sinfo --Node` prints, one per node and partition.

    Raises:
        ValueError: a line cannot be understood.
    """
    nodes = []
    for line in text.splitlines():
        name, partition, available, state, _, _, gres, features, reason = line.split("|", 8)
        words = () if features == "(null)" else tuple(features.split(","))
        up = available == "up" and is_usable(state)
        nodes.append(
            PartNode(
                name,
                partition.rstrip("*"),
                up,
                read_cards(gres),
                words,
                "" if up else _problem(available, state, reason),
            )
        )
    return tuple(nodes)


def _problem(available: str, state: str, reason: str) -> str:
    """Return why a node takes no jobs, for people."""
    what = state if available == "up" else f"its partition is {available}"
    why = "" if reason in ("none", "(null)", "") else f": {reason}"
    return "".join(c if c.isprintable() else "?" for c in f"{what}{why}")[:LONGEST_PROBLEM]


def is_usable(state: str) -> bool:
    """Return whether a node in that state takes jobs; `*` means that it does not answer."""
    base = state.rstrip("~#!%@^-+$")
    return base.lower() in USABLE and not state.endswith(UNREACHED)


def read_cards(gres: str) -> tuple[tuple[str, int], ...]:
    """Return the (type, count) of the GPUs in a node's GRES, such as `gpu:a100:4(S:0-1)`."""
    return tuple((kind or "", int(count)) for kind, count in _CARDS.findall(gres))


def card_type(accelerator: str, kinds: frozenset[str]) -> str:
    """Return how a cluster spells a model of the registry; empty where it has no types.

    Raises:
        LookupError: it has typed cards, and none is that model.
    """
    wanted = lookup(accelerator)
    for kind in sorted(kinds):
        device = lookup(kind)
        same = kind.casefold() == accelerator.casefold()
        if same or (device is not None and device == wanted):
            return kind
    if kinds - {""}:
        raise LookupError(accelerator)
    return ""


def read_states(text: str) -> tuple[dict[int, Ended], Ended | None]:
    """Return element → state from `scontrol --oneliner show job ARRAY`, and that of the rest.

    The rest are elements that never started and were cancelled together: depending on the
    version Slurm prints their range, or no index at all.
    """
    known: dict[int, Ended] = {}
    rest: Ended | None = None
    for line in text.splitlines():
        fields: dict[str, str] = {}
        # Free texts such as the command come later in the line and may hold what looks alike.
        for name, value in _FIELD.findall(line):
            fields.setdefault(name, value)
        if "JobState" not in fields:
            continue
        nodes = fields.get("NodeList", "")
        seen = Ended(fields["JobState"], ran=nodes not in ("", "(null)"))
        index = fields.get("ArrayTaskId", "0")
        try:
            indices = elements(index)
        except ValueError:
            indices = frozenset((NO_INDEX,))
        if NO_INDEX in indices:
            rest = seen
        else:
            known.update(dict.fromkeys(indices, seen))
    return known, rest


def read_accounts(text: str) -> tuple[dict[int, Ended], Ended | None]:
    """Return element → state from `sacct --allocations`, and that of elements told together.

    `17_4` is an element, `17_[5-9%2]` those that never started; a job that is no array is `17`.
    """
    known: dict[int, Ended] = {}
    rest: Ended | None = None
    for line in text.splitlines():
        words = line.split("|")
        if len(words) != 3 or not words[1]:
            continue
        # As in `CANCELLED by 1000`.
        state = words[1].split()[0].rstrip("+")
        seen = Ended(state, ran=words[2] not in ("", "None assigned"))
        index = words[0].partition("_")[2] or "0"
        try:
            known.update(dict.fromkeys(elements(index), seen))
        except ValueError:
            rest = seen
    return known, rest


def read_widths(text: str) -> dict[str, int]:
    """Return partition → most CPUs of a node of it, as `sinfo --Node` prints them."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        cpus, _, partition = line.strip().partition("|")
        name = partition.rstrip("*")
        if cpus.isdecimal():
            found[name] = max(int(cpus), found.get(name, 0))
    return found


def read_energy(text: str, names: Mapping[int, str], widest: Mapping[str, int]) -> dict[int, int]:
    """Return job id → joules from what `sacct` prints; of arrays and such, of all parts together.

    Slurm meters nodes, and tells a job all that its nodes took: that is the job's own only if it
    had them for itself (https://slurm.schedmd.com/sacct.html, ConsumedEnergy). It had them if it
    held as many CPUs as its nodes can have at most. A job of which one part that ran is not told,
    runs still or shared its nodes is left out.

    A part that has steps tells of its energy in these alone. They lie over one another, so one is
    taken that lasts as long as the job, on all its nodes: `extern`, or `batch` on a single node.

    Args:
        text: What sacct printed.
        names: Job id → name of the jobs that are meant.
        widest: See `read_widths`.
    """
    rows = [words for line in text.splitlines() if len(words := line.split("|", 7)) == 8]
    steps = {words[0]: _joules(words[6]) for words in rows if "." in words[0]}
    found: dict[int, int] = {}
    unknown: set[int] = set()
    for job, partition, end, ran_s, cpus, nodes, told, name in rows:
        number = _NUMBER.match(job)
        if "." in job or number is None or names.get(int(number[0])) != name:
            continue
        if end not in _NO_TIME and ran_s == "0":
            continue
        joules = _joules(told) or steps.get(f"{job}.extern", 0)
        if nodes == "1":
            joules = joules or steps.get(f"{job}.batch", 0)
        most = int(nodes) * widest.get(partition, 0) if nodes.isdecimal() else 0
        alone = cpus.isdecimal() and 0 < most <= int(cpus)
        if end in _NO_TIME or not (alone and joules):
            unknown.add(int(number[0]))
        else:
            found[int(number[0])] = found.get(int(number[0]), 0) + joules
    return {number: joules for number, joules in found.items() if number not in unknown}


def _joules(text: str) -> int:
    """Return what was measured; 0 where nothing was, which Slurm has three ways to write."""
    return int(text) if text.isdecimal() and len(text) < _NO_VALUE_DIGITS else 0


def read_config(text: str) -> dict[str, str]:
    """Return the `Name = value` lines of `scontrol show config`."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}
