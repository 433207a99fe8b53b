"""How many nodes, copies, cores, bytes and cards a script asks for, all for one node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from fenglin.errors import InputError
from fenglin.intake.dialects.devices import card_model
from fenglin.intake.dialects.notes import NOWHERE
from fenglin.intake.dialects.sbatch import values
from fenglin.intake.document import size_text
from fenglin.intake.report import show

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fenglin.intake.dialects.notes import Draft
    from fenglin.intake.dialects.sbatch.options import Given
    from fenglin.intake.report import Place

Value = TypeVar("Value")
_MIB = 2**20
# What a core gets when the script does not say; on a cluster the site's own default would count.
DEFAULT_BYTES_PER_CORE = 2 * 2**30
MEMORY = ("mem", "mem-per-cpu", "mem-per-gpu")
CARDS = ("gres", "gpus-per-node", "gpus-per-task", "gpus")


@dataclass(frozen=True, slots=True)
class Shape:
    """What one job of Slurm is, in numbers.

    Attributes:
        nodes: Nodes of the job.
        copies: Tasks in Slurm's sense, over all nodes: what `srun` starts.
        copies_per_node: The most of them on one node.
        cores_per_copy: As asked; 0 when not asked.
        cores: Cores of one node.
        memory_bytes: Memory of one node.
        cards: Accelerators of one node.
    """

    nodes: int
    copies: int
    copies_per_node: int
    cores_per_copy: int
    cores: int
    memory_bytes: int
    cards: int


class Asked:
    """The options of a script, the last of each name, read with care."""

    def __init__(self, given: Mapping[str, Given], draft: Draft) -> None:
        """Take the options that count."""
        self.given = given
        self.draft = draft

    def read(self, name: str, parse: Callable[[str], Value]) -> Value | None:
        """Return the value of an option; None when it is not there or wrong."""
        option = self.given.get(name)
        if option is None:
            return None
        try:
            return parse(option.value)
        except InputError as error:
            self.draft.refused(option.place, option.field, error)
            return None

    def place(self, *names: str) -> Place:
        """Return where the first of some options stands."""
        for name in names:
            if name in self.given:
                return self.given[name].place
        return NOWHERE


def shape(asked: Asked) -> Shape:
    """Return the shape of a job, put it into the draft, and note what is not exact."""
    nodes, copies, per_node = _spread(asked)
    cards = _cards(asked, nodes, per_node)
    cores_per_copy = asked.read("cpus-per-task", values.count) or 0
    cores = per_node * max(1, cores_per_copy)
    per_card = asked.read("cpus-per-gpu", values.count)
    cores = max(cores, (per_card or 0) * cards, asked.read("mincpus", values.count) or 0)
    memory_bytes = _memory(asked, cores, cards)
    draft = asked.draft
    cores_at = asked.place("cpus-per-task", "cpus-per-gpu", "ntasks-per-node", "ntasks", "mincpus")
    draft.put(("resources", "cpu"), cores, cores_at)
    draft.put(("resources", "memory"), size_text(memory_bytes), asked.place(*MEMORY))
    if nodes > 1:
        draft.put(("nodes",), nodes, asked.place("nodes", "ntasks"))
        draft.approximated(
            asked.place("nodes", "ntasks"),
            "--nodes" if "nodes" in asked.given else "--ntasks",
            f"the script runs on each of the {nodes} nodes at the same time, not only on the "
            "first; SLURM_NODEID tells them apart, and srun starts the copies of its own node",
        )
    return Shape(nodes, copies, per_node, cores_per_copy, cores, memory_bytes, cards)


def _spread(asked: Asked) -> tuple[int, int, int]:
    """Return nodes, copies, and copies on one node."""
    given, draft = asked.given, asked.draft
    span = asked.read("nodes", values.node_range)
    copies = asked.read("ntasks", values.count)
    per_node = asked.read("ntasks-per-node", values.count)
    nodes = span[0] if span else 1
    if span and span[1] > span[0]:
        text = f"{span[0]} nodes, the least of the range"
        draft.approximated(given["nodes"].place, "--nodes", text)
    if span is None and copies and per_node:
        nodes = -(-copies // per_node)
    elif span is None and copies and copies > 1:
        text = f"all {copies} on one node; Slurm may spread them: say --nodes to have several"
        draft.approximated(given["ntasks"].place, "--ntasks", text)
    elif copies and per_node and copies > nodes * per_node:
        text = f"{copies} tasks do not fit, {per_node} on each of {nodes}; sbatch ignores it too"
        draft.ignored(given["ntasks-per-node"].place, "--ntasks-per-node", text)
    if copies is None:
        copies = nodes * (per_node or 1)
    return nodes, copies, -(-copies // nodes)


def _memory(asked: Asked, cores: int, cards: int) -> int:
    """Return the memory of one node."""
    draft = asked.draft
    for name, times in zip(MEMORY, (1, cores, cards), strict=True):
        if name not in asked.given:
            continue
        each = asked.read(name, values.memory_bytes)
        if each == 0:
            text = "all memory of a node; here memory is then not counted at all"
            draft.approximated(asked.place(name), f"--{name}", text)
        elif each and not times:
            draft.lost(asked.place(name), f"--{name}", "the job asks for no cards")
            break
        return max(_MIB, each * times) if each else 0
    amount = cores * DEFAULT_BYTES_PER_CORE
    text = f"not said; {amount // 2**30} GiB are asked for, 2 GiB per core"
    draft.approximated(NOWHERE, "--mem", text)
    return amount


def _cards(asked: Asked, nodes: int, per_node: int) -> int:
    """Return the cards of one node; of several requests the largest counts."""
    draft = asked.draft
    found: dict[str, values.Cards] = {}
    generic = _generic(asked)
    if generic:
        found["gres"] = generic
    for name, times, parts in (
        ("gpus-per-node", 1, 1),
        ("gpus-per-task", per_node, 1),
        ("gpus", 1, nodes),
    ):
        each = asked.read(name, values.cards)
        if each and each.number:
            if each.number * times % parts:
                text = f"{-(-each.number // parts)} on each of {nodes} nodes"
                draft.approximated(asked.place(name), f"--{name}", text)
            found[name] = values.Cards(each.model, -(-each.number * times // parts))
    if not found:
        return 0
    most = max(one.number for one in found.values())
    name = next(name for name, one in found.items() if one.number == most)
    for other, one in found.items():
        if one.number != most:
            text = f"{one.number} per node here, {most} by --{name}: {most} are asked for"
            draft.approximated(asked.place(other), f"--{other}", text)
    models = dict.fromkeys(one.model for one in found.values() if one.model)
    _put_cards(asked, name, most, list(models))
    return most


def _put_cards(asked: Asked, name: str, count: int, models: list[str]) -> None:
    """Ask for cards, of a model when one is named in any option or as a constraint."""
    draft, place = asked.draft, asked.place(name)
    for other in models[1:]:
        text = f"cards of two models; only {show(models[0])} is asked for, not {show(other)}"
        draft.lost(place, f"--{name}", text)
    need: object = count
    if models:
        model, narrower = card_model(models[0])
        if not model:
            draft.lost(place, f"--{name}", f"{show(models[0])} is not the name of a card")
        else:
            need = f"{model}:{count}"
        if narrower:
            draft.approximated(place, f"--{name}", f"{show(models[0])} is taken as {model}")
    draft.put(("resources", "accelerators"), need, place)


def _generic(asked: Asked) -> values.Cards | None:
    """Return the cards that --gres asks for, and note the rest of it."""
    option = asked.given.get("gres")
    if option is None or option.value.lower() == "none":
        return None
    draft = asked.draft
    found: values.Cards | None = None
    for part in option.value.split(","):
        kind, _, rest = part.strip().removeprefix("gres/").removeprefix("gres:").partition(":")
        try:
            each = values.cards(rest or "1")
        except InputError as error:
            if kind in ("gpu", "shard", "mps"):
                draft.refused(option.place, option.field, error)
                continue
            each = values.Cards("", 0)
        if kind == "shard":
            draft.approximated(option.place, option.field, "a shard of a card: a whole card")
            each = values.Cards(each.model, 1)
        elif kind == "mps":
            draft.approximated(option.place, option.field, "a share by MPS: a whole card")
            each = values.Cards(each.model, 1)
        elif kind != "gpu":
            text = f"{show(kind)} is no card; say what it means with require or licences"
            draft.lost(option.place, option.field, text)
            continue
        if found and found.model != each.model:
            text = f"cards of two kinds; only the first is asked for, not {show(part)}"
            draft.lost(option.place, option.field, text)
            continue
        found = values.Cards(each.model, each.number + (found.number if found else 0))
    return found if found and found.number else None
