"""From what traces ask for to what the packer sees."""

from __future__ import annotations

from functools import lru_cache

from fenglin.catalog.devices import lookup
from fenglin.model.job import MAX_NODES, AcceleratorNeed
from fenglin.quantities.resources import Resources
from fenglin.simulator.readers.cells import BadCell
from fenglin.simulator.trace import Findings
from fenglin.snapshot.snapshot import Shape

GIB = 2**30
# Equal needs give the same object, so that a long trace holds each of its shapes once.
_KEPT_SHAPES = 16_384
# So that a file of made-up names does not fill the memory.
_NAMED_DEVICES = 32
# Of bytes or thousandths: sums over a pool stay far from the end of 64 bits.
MAX_AMOUNT = 2**50
UNREASONABLE = "needs of no reasonable size"


@lru_cache(maxsize=_KEPT_SHAPES)
def shape(
    *,
    cpu_milli: int = 0,
    memory_bytes: int = 0,
    disk_bytes: int = 0,
    accelerator_milli: int = 0,
    model: str = "",
    nodes: int = 1,
) -> Shape:
    """Return the needs of one task, per node.

    Raises:
        BadCell: it asks for nothing, or for more than can be.
    """
    resources = Resources(cpu_milli, memory_bytes, disk_bytes, accelerator_milli)
    if not any(resources.values()):
        raise BadCell("it asks for nothing")
    if not reasonable(resources, nodes):
        raise BadCell(UNREASONABLE)
    need = AcceleratorNeed(model=model) if model and accelerator_milli else None
    return Shape(resources=resources, nodes=nodes, accelerator=need)


def reasonable(resources: Resources, nodes: int) -> bool:
    """Return whether a job could ask for it."""
    amounts = resources.values()
    return min(amounts) >= 0 and max(amounts) <= MAX_AMOUNT and 0 < nodes <= MAX_NODES


@lru_cache(maxsize=_KEPT_SHAPES)
def spread(amount: int, per_node: int) -> tuple[int, int]:
    """Return (nodes, amount on each): the fewest nodes that share the amount evenly.

    Nothing is rounded: 12 cards of 8 a node are 2 × 6, and 11 are 11 × 1.

    Args:
        amount: Processors or cards, 0 or more.
        per_node: Most on one node; 0 for no bound, which is one node.

    Raises:
        BadCell: that would be more nodes than a job may have.
    """
    if amount <= per_node or not per_node:
        return 1, amount
    nodes = -(-amount // per_node)
    while nodes <= MAX_NODES and amount % nodes:
        nodes += 1
    if nodes > MAX_NODES:
        raise BadCell(UNREASONABLE)
    return nodes, amount // nodes


def shares(amount: int, nodes: int, what: str, line: int, findings: Findings) -> int:
    """Return what each of some nodes holds of an amount; round up, and say so, where uneven."""
    if amount % nodes:
        findings.add(f"{what} that its nodes cannot share evenly", [line], "rounded up")
    return -(-amount // nodes)


def model_key(name: str, line: int, findings: Findings) -> str:
    """Return the registry's name of a device; empty, and noted, when the registry lacks it."""
    if not name:
        return ""
    device = lookup(name)
    if device is None:
        what = f"the device {name[:40]} is not in the registry"
        if what not in findings.found and len(findings.found) >= _NAMED_DEVICES:
            what = "one more device that is not in the registry"
        findings.add(what, [line], "taken without a model")
        return ""
    return device.key
