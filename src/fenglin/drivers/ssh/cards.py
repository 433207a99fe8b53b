"""Cards of a host as its makers' tools tell of them, by the names of our registry.

Formats, as their makers document them: `nvidia-smi --query-gpu=… --format=csv` prints a row per
card; `npu-smi info` a table whose rows come in pairs, a chip per pair; `rocm-smi --json` and
`hy-smi --json` an object with one member `cardN` per card.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from msgspec import Struct

from fenglin.catalog.devices import lookup

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MIB = 2**20
_GIB = 2**30
# What confines a process to its cards, by vendor.
_VARIABLES = {
    "NVIDIA": "CUDA_VISIBLE_DEVICES",
    "Huawei": "ASCEND_RT_VISIBLE_DEVICES",
    "AMD": "HIP_VISIBLE_DEVICES",
    "Hygon": "HIP_VISIBLE_DEVICES",
}
# `| 0     910B3               | OK            | 93.2        46                0    / 0  |`
_NPU_HEAD = re.compile(r"\|\s*(\d+)\s+(\S+)\s*\|\s*(\S+)\s*\|")
# `| 0                         | 0000:C1:00.0  | 0           0    / 0          3340 / 65536 |`
_NPU_CHIP = re.compile(r"\|\s*(\d+)(?:\s+\d+)?\s*\|\s*[0-9A-Fa-f]{4}:[0-9A-Fa-f:.]+\s*\|(.*)\|")
_USED_TOTAL = re.compile(r"(\d+)\s*/\s*(\d+)")
_PRODUCT = ("Card Series", "Card series", "Card Model", "Card model", "Product Name")
_VRAM = ("VRAM Total Memory (B)", "VRAM Total Memory(B)")


class Card(Struct, frozen=True):
    """One card of a host.

    Attributes:
        number: As the maker's runtime counts it.
        name: As the tool prints it.
        model: Name in our registry; empty when it is not there.
        memory_bytes: Its memory; 0 unknown.
    """

    number: int
    name: str
    model: str
    memory_bytes: int = 0


def cards_variable(accelerator: str) -> str:
    """Return the variable that confines a process to its cards; empty when none is known."""
    device = lookup(accelerator)
    return _VARIABLES.get(device.vendor, "") if device is not None else ""


def read_cards(tools: Mapping[str, str]) -> list[Card]:
    """Return all cards that the tools tell of; a text that is not understood tells of none."""
    parsers: dict[str, Callable[[str], list[Card]]] = {
        "nvidia-smi": _nvidia,
        "npu-smi": _npu,
        "hy-smi": _rocm,
        "rocm-smi": _rocm,
    }
    found = {name: read(tools[name]) for name, read in parsers.items() if name in tools}
    if found.get("hy-smi"):
        found.pop("rocm-smi", None)  # Hygon's toolkit has both, and both tell of the same cards
    return [card for cards in found.values() for card in cards]


def _card(number: int, name: str, memory_bytes: int, prefix: str = "") -> Card:
    """Return a card with its registry name, told apart by memory where a name leaves it open."""
    size_gib = -(-memory_bytes // _GIB)
    for spelling in (prefix + name, f"{prefix}{name}-{size_gib}", name):
        device = lookup(spelling)
        if device is not None:
            return Card(number, name, device.key, memory_bytes)
    return Card(number, name, "", memory_bytes)


def _nvidia(text: str) -> list[Card]:
    cards = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) == 3 and cells[0].isdecimal():
            memory_bytes = int(cells[2]) * MIB if cells[2].isdecimal() else 0
            cards.append(_card(int(cells[0]), cells[1], memory_bytes))
    return cards


def _npu(text: str) -> list[Card]:
    """Read the table; chips that are not `OK` are left out, the numbers go on counting."""
    cards: list[Card] = []
    name, health, number = "", "", 0
    for line in text.splitlines():
        chip = _NPU_CHIP.match(line)
        if chip and name:
            totals = [int(total) for _, total in _USED_TOTAL.findall(chip[2])]
            # DDR and HBM stand side by side; the card's memory is the larger of the two.
            memory_bytes = max(totals, default=0) * MIB
            if health == "OK":
                model = re.sub(r"(?<=\d[A-Z])\d$", "", name)  # 910B3 is a bin of the 910B
                card = _card(number, name, memory_bytes)
                known = card if card.model else _card(number, model, memory_bytes, "Ascend")
                cards.append(Card(number, name, known.model, memory_bytes))
            number += 1
            continue
        head = _NPU_HEAD.match(line)
        if head:
            name, health = head[2], head[3]
    return cards


def _rocm(text: str) -> list[Card]:
    try:
        told = json.loads(text or "{}")
    except ValueError:
        return []
    cards = []
    for key, facts in sorted(told.items()) if isinstance(told, dict) else ():
        match = re.fullmatch(r"card(\d+)", key)
        if match is None or not isinstance(facts, dict):
            continue
        name = next((str(facts[k]) for k in _PRODUCT if facts.get(k)), "")
        memory = next((str(facts[k]) for k in _VRAM if facts.get(k)), "")
        cards.append(_card(int(match[1]), name, int(memory) if memory.isdecimal() else 0))
    return sorted(cards, key=lambda card: card.number)
