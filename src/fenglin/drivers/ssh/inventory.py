"""What hosts are observed to be, beside what the configuration declares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from fenglin.catalog.devices import lookup
from fenglin.drivers.ssh.cards import Card, read_cards
from fenglin.runner.containers import NONE
from fenglin.runner.host.container import AUTO, RUNTIMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.model.site import Flavor

_MILLI = 1_000
# The kernel and the firmware keep some of the memory that was bought.
_MEMORY_PERCENT = 90


class NodeFacts(Struct, frozen=True, omit_defaults=True):
    """One node as it was last seen.

    Attributes:
        node: Its name.
        host: How its host is reached.
        problem: Why no work goes there; empty when it may.
        remarks: Where it is less than declared and work goes there all the same.
        cores, memory_bytes, disk_bytes, disk_free_bytes: Of the machine; the disk is that of
            the setting `root`.
        cards: Its cards.
        kernel, hostname, boot: As the machine says.
        memory: Id of the folder of attempts there; another one means that it was lost.
        containers: Container runtimes that are installed.
        seen_ms: Unix time.
    """

    node: str
    host: str
    problem: str = ""
    remarks: tuple[str, ...] = ()
    cores: int = 0
    memory_bytes: int = 0
    disk_bytes: int = 0
    disk_free_bytes: int = 0
    cards: tuple[Card, ...] = ()
    kernel: str = ""
    hostname: str = ""
    boot: str = ""
    memory: str = ""
    containers: tuple[str, ...] = ()
    seen_ms: int = 0


def judge(node: str, host: str, flavor: Flavor, told: dict[str, Any], now_ms: int) -> NodeFacts:
    """Return a node's facts, with what is wrong.

    Cards that are missing or are of another model make a node unusable: tasks would fail on it.
    Fewer cores, memory or disk than declared may be meant so and are only remarked on.

    Raises:
        KeyError, TypeError, ValueError: the host told something else than was asked.
    """
    cards = tuple(read_cards({str(k): str(v) for k, v in dict(told["tools"]).items()}))
    cores, memory_bytes = int(told["cores"]), int(told["memory_bytes"])
    disk_bytes = int(told["disk_bytes"])
    want = flavor.node
    remarks = []
    if cores * _MILLI < want.cpu_milli:
        remarks.append(f"{cores} cores, {want.cpu_milli / _MILLI:g} declared")
    if memory_bytes < want.memory_bytes * _MEMORY_PERCENT // 100:
        remarks.append(f"{memory_bytes} bytes of memory, {want.memory_bytes} declared")
    if disk_bytes < want.disk_bytes:
        remarks.append(f"{disk_bytes} bytes of disk, {want.disk_bytes} declared")
    return NodeFacts(
        node=node,
        host=host,
        problem=_cards_problem(flavor, cards, dict(told["tools"])),
        remarks=tuple(remarks),
        cores=cores,
        memory_bytes=memory_bytes,
        disk_bytes=disk_bytes,
        disk_free_bytes=int(told["disk_free_bytes"]),
        cards=cards,
        kernel=str(told["kernel"])[:100],
        hostname=str(told["hostname"])[:100],
        boot=str(told["boot"])[:100],
        memory=str(told["memory"])[:100],
        containers=tuple(name for name in RUNTIMES if name in list(told.get("containers", ()))),
        seen_ms=now_ms,
    )


def run_images(hosts: Sequence[NodeFacts], wanted: str) -> bool:
    """Return whether every host that can be used has the runtime that the site is set to."""
    if wanted == NONE:
        return False
    return all(
        wanted in host.containers if wanted != AUTO else host.containers
        for host in hosts
        if not host.problem
    )


def _cards_problem(flavor: Flavor, cards: tuple[Card, ...], tools: dict[str, Any]) -> str:
    """Return what is wrong with a node's cards.

    A model of which no tool that we can read tells is taken on trust, as is a flavor without
    cards: a host may have more than it lends.
    """
    wanted = -(-flavor.node.accelerator_milli // _MILLI)
    if not wanted or not tools:
        return ""
    device = lookup(flavor.accelerator)
    fitting = [card for card in cards if device is not None and card.model == device.key]
    fitting = fitting or [card for card in cards if not card.model]
    if len(fitting) < wanted:
        names = ", ".join(sorted({card.name for card in cards})) or "none"
        return (
            f"{len(fitting)} of {wanted} cards {flavor.accelerator} are there "
            f"({len(cards)} cards in all: {names})"
        )
    return ""
