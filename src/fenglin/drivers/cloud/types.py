"""What a provider's type of machine is in our words, and whether it holds what a flavor says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from fenglin.catalog.devices import lookup
from fenglin.quantities.resources import Resources

if TYPE_CHECKING:
    from fenglin.drivers.cloud.provider import Machine
    from fenglin.model.site import Flavor

_MILLI = 1_000


def card_of(machine: Machine) -> str:
    """Return the registry's name of a machine's cards; empty when it has none or does not know.

    Providers leave the memory out of the name (`A100`): with it the model is certain.
    """
    if not machine.cards or not machine.card:
        return ""
    sized = lookup(f"{machine.card}-{machine.card_memory_gib}") if machine.card_memory_gib else None
    device = sized or lookup(machine.card)
    return device.key if device is not None else ""


def judge(flavor: Flavor, machine: Machine | None, name: str) -> str:
    """Return why a machine cannot be a node of the flavor; empty when it can."""
    if machine is None:
        return f"there is no type {name}"
    want = flavor.node
    wanted_cards = -(-want.accelerator_milli // _MILLI)
    card = card_of(machine)
    device = lookup(flavor.accelerator)
    if want.cpu_milli > machine.cpu_milli:
        return (
            f"{name} has {machine.cpu_milli / _MILLI:g} cores, {want.cpu_milli / _MILLI:g} declared"
        )
    if want.memory_bytes > machine.memory_bytes:
        return f"{name} has {machine.memory_bytes} bytes of memory, {want.memory_bytes} declared"
    if wanted_cards > machine.cards:
        return f"{name} has {machine.cards} cards, {wanted_cards} declared"
    if wanted_cards and card and device is not None and card != device.key:
        return f"{name} has cards {card}, {device.key} declared"
    return ""


def observed(flavor: Flavor, machine: Machine | None) -> Flavor:
    """Return the flavor with the size that the provider tells of; the disk is as declared."""
    if machine is None:
        return flavor
    card = card_of(machine) or flavor.accelerator
    cards = machine.cards if card else 0
    node = Resources(
        machine.cpu_milli, machine.memory_bytes, flavor.node.disk_bytes, cards * _MILLI
    )
    return replace(flavor, node=node, accelerator=card if cards else "")
