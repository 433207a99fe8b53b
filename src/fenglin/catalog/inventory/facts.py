"""What is declared of a facility: figures with their evidence, and groups of equal devices."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from fenglin.catalog.device import Grade
from fenglin.model.states import ComputeClass

UNITS = {
    "racks_built": "racks of 2.5 kW",
    "racks_in_use": "racks of 2.5 kW",
    "power_approved": "kW",
    "power_actual": "kW",
    "energy_total": "kWh",
    "energy_it": "kWh",
    "energy_green": "kWh",
    "water": "L",
    "pue": "",
    "grid_factor": "kg CO2/kWh",
    "servers": "servers",
    "storage": "PB",
    "storage_hot": "PB",
    "storage_warm": "PB",
    "storage_cold": "PB",
    "flash_share": "%",
    "exit_bandwidth": "Gbit/s",
    "allocated_card_hours": "card-hours",
    "busy_card_hours": "card-hours",
    "protection_level": "level",
}
"""Figures of a facility, and their units."""

LINK_UNITS = {"latency": "ms", "loss": "%", "bandwidth": "Gbit/s"}
"""Figures of the network from a facility to a place, and their units."""

TEXTS = ("owner", "credit_code", "hub", "cluster", "coordinates", "filing_number")
"""What is said of a facility in words."""


class Status(StrEnum):
    """Where a facility stands in its life."""

    PLANNED = "planned"
    BUILDING = "building"
    IN_USE = "in_use"
    RETIRED = "retired"


class Fact(Struct, frozen=True, kw_only=True):
    """One figure and its evidence.

    Attributes:
        milli: Value in thousandths of its unit.
        grade: How good the evidence is.
        date: Of the document.
        document: Where it stands.
    """

    milli: int
    grade: Grade
    date: str
    document: str


class Group(Struct, frozen=True, kw_only=True):
    """Equal devices of a facility.

    Attributes:
        name: Unique in the facility.
        compute_class: To which total it belongs.
        device: Name in the device registry.
        count: Devices.
        nodes: Machines that hold them.
        sellable: Of them, for sale.
        reserved: Of them, kept back.
        stated: Precision → stated peak of all of them, in TFLOPS or TOPS.
        measured: Precision → what a test reached on one of them.
    """

    name: str
    compute_class: ComputeClass
    device: str
    count: Fact
    nodes: Fact | None = None
    sellable: Fact | None = None
    reserved: Fact | None = None
    stated: dict[str, Fact] = {}
    measured: dict[str, Fact] = {}

    def figures(self) -> dict[str, Fact]:
        """Return all figures by their keys in a declaration."""
        found = {
            "count": self.count,
            "nodes": self.nodes,
            "sellable": self.sellable,
            "reserved": self.reserved,
        }
        known = {key: fact for key, fact in found.items() if fact is not None}
        measured = {f"measured_{key}": fact for key, fact in self.measured.items()}
        return {**known, **self.stated, **measured}


class Facility(Struct, frozen=True, kw_only=True):
    """One data centre, as its operator declares it.

    Attributes:
        name: Unique in the hub.
        sites: Sites of the pool that stand in it.
        status: Where it stands in its life.
        texts: Of `TEXTS`.
        period: Month of its energy and hours, `YYYY-MM`; empty when it has none.
        period_h: Hours of that month.
        facts: Figures by the keys of `UNITS`.
        groups: Its devices, by name.
        links: Place → figures by the keys of `LINK_UNITS`.
    """

    name: str
    sites: tuple[str, ...] = ()
    status: Status = Status.IN_USE
    texts: dict[str, str] = {}
    period: str = ""
    period_h: int = 0
    facts: dict[str, Fact] = {}
    groups: tuple[Group, ...] = ()
    links: dict[str, dict[str, Fact]] = {}

    def rows(self) -> dict[str, str]:
        """Return all that is said, in words by key, to compare two declarations."""
        found = {"status": str(self.status), "sites": " ".join(self.sites), "period": self.period}
        found |= self.texts
        found |= {key: _words(fact, UNITS[key]) for key, fact in self.facts.items()}
        for group in self.groups:
            head = f"compute.{group.name}"
            found[f"{head}.device"] = group.device
            found[f"{head}.class"] = str(group.compute_class)
            for key, fact in group.figures().items():
                found[f"{head}.{key}"] = _words(fact, "")
        for place, facts in self.links.items():
            for key, fact in facts.items():
                found[f"link.{place}.{key}"] = _words(fact, LINK_UNITS[key])
        return found


def _words(fact: Fact, unit: str) -> str:
    value = f"{fact.milli / 1_000:,.10g}"
    return f"{value} {unit} ({fact.grade})" if unit else f"{value} ({fact.grade})"
