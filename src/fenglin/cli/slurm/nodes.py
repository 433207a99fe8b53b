"""Nodes as sinfo shows them: once for each queue, told apart by what is shown of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fenglin.cli.slurm.format import Field
from fenglin.client.requests import Filter
from fenglin.errors import InputError
from fenglin.model.job import DEFAULT_QUEUE
from fenglin.model.states import SiteState
from fenglin.wire.views import NodeView, SiteView

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fenglin.cli.slurm.format import Layout
    from fenglin.client import Client

# Compact name and long one.
STATES = {
    "idle": "idle", "mix": "mixed", "alloc": "allocated", "down": "down", "drain": "drained",
    "drng": "draining",
}  # fmt: skip
_BUSY = {"mix", "alloc", "drng"}


class Group(NamedTuple):
    """Nodes of one queue of which everything that is shown is equal.

    Attributes:
        queue: Name of the queue.
        site: Where they are.
        state: Compact name.
        nodes: At least one.
    """

    queue: str
    site: SiteView
    state: str
    nodes: tuple[NodeView, ...]

    @property
    def first(self) -> NodeView:
        """One of them."""
        return self.nodes[0]

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Nodes that are busy, idle, out of use, and all."""
        states = [node_state(self.site, node) for node in self.nodes]
        busy, idle = sum(one in _BUSY for one in states), states.count("idle")
        return busy, idle, len(states) - busy - idle, len(states)

    @property
    def cores(self) -> tuple[int, int, int, int]:
        """Cores that are used, free, out of use, and all; begun ones count as used."""
        used = sum(-(-node.cpu_used_milli // 1_000) for node in self.nodes)
        whole = sum(node.cpu_milli // 1_000 for node in self.nodes)
        out = sum(
            node.cpu_milli // 1_000 - -(-node.cpu_used_milli // 1_000)
            for node in self.nodes
            if node_state(self.site, node) in {"down", "drain", "drng"}
        )
        return used, max(0, whole - used - out), max(0, out), whole


def node_state(site: SiteView, node: NodeView) -> str:
    """Return the compact name of a node's state."""
    used = node.cpu_used_milli or node.accelerator_used_milli
    if site.state == SiteState.DOWN or not node.up:
        return "down"
    if site.state == SiteState.DRAINED:
        return "drng" if used else "drain"
    return "idle" if not used else "alloc" if node.cpu_used_milli >= node.cpu_milli else "mix"


def groups(client: Client) -> list[Group]:
    """Return each node of the pool for each queue."""
    sites = {site.name: site for site in client.sites(Filter()).items}
    queues = sorted(queue.name for queue in client.queues(Filter()).items)
    nodes = [node for node in client.nodes(Filter()).items if node.site in sites]
    return [
        Group(queue, sites[node.site], node_state(sites[node.site], node), (node,))
        for queue in queues
        for node in nodes
    ]


def merged(rows: Iterable[Group], layout: Layout) -> list[Group]:
    """Return the rows with those made one that look alike but for sums and lists."""
    found: dict[tuple[str, ...], Group] = {}
    apart = [cell.field for cell in layout.cells if cell.field.name not in _SUMS]
    for row in rows:
        key = (row.queue, *(field.get(row) for field in apart))
        earlier = found.get(key)
        found[key] = earlier._replace(nodes=earlier.nodes + row.nodes) if earlier else row
    return list(found.values())


def parse_node_states(words: Sequence[str]) -> frozenset[str]:
    """Return the compact names of states given by compact or long name.

    Raises:
        InputError: a word is no state.
    """
    by_any = {**{name: name for name in STATES}, **{long: name for name, long in STATES.items()}}
    found = set()
    for word in words:
        name = by_any.get(word.lower())
        if name is None and word.lower() != "all":
            raise InputError(f"Bad state name {word[:32]!r}", hint="known are " + ", ".join(by_any))
        found |= {name} if name else set(STATES)
    return frozenset(found)


def _slashes(numbers: Iterable[int]) -> str:
    return "/".join(map(str, numbers))


def _cards(row: Group) -> str:
    count = row.first.accelerator_milli // 1_000
    return f"gpu:{count}" if count else "(null)"


def _partition(row: Group) -> str:
    return row.queue + ("*" if row.queue == DEFAULT_QUEUE else "")


_SUMS = {"nodes", "nodelist", "nodeaiot", "nodeai", "cpusstate"}
FIELDS = (
    Field("P", "partition", "PARTITION", _partition),
    Field("R", "partitionname", "PARTITION", lambda row: row.queue),
    Field("a", "available", "AVAIL", lambda row: "up"),  # noqa: ARG005 - a queue is always open
    Field("l", "time", "TIMELIMIT", lambda row: "infinite"),  # noqa: ARG005 - no queue has one
    Field("D", "nodes", "NODES", lambda row: str(len(row.nodes))),
    Field("t", "statecompact", "STATE", lambda row: row.state),
    Field("T", "statelong", "STATE", lambda row: STATES[row.state]),
    Field("N", "nodelist", "NODELIST", lambda row: ",".join(node.name for node in row.nodes)),
    Field("F", "nodeaiot", "NODES(A/I/O/T)", lambda row: _slashes(row.counts)),
    Field("A", "nodeai", "NODES(A/I)", lambda row: _slashes(row.counts[:2])),
    Field("C", "cpusstate", "CPUS(A/I/O/T)", lambda row: _slashes(row.cores)),
    Field("c", "cpus", "CPUS", lambda row: str(row.first.cpu_milli // 1_000)),
    Field("m", "memory", "MEMORY", lambda row: str(row.first.memory_bytes // 2**20)),
    Field("d", "disk", "TMP_DISK", lambda row: str(row.first.disk_bytes // 2**20)),
    Field("G", "gres", "GRES", _cards),
    Field("f", "features", "AVAIL_FEATURES", lambda row: row.first.flavor),
    Field("E", "reason", "REASON", lambda row: row.site.state_reason or "none"),
    Field("V", "cluster", "CLUSTER", lambda row: row.site.name),
)
