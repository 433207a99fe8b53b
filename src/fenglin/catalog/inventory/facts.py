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
    "flash_share": "%",
    "exit_bandwidth": "Gbit/s",
    "allocated_card_hours": "card-hours",
    "busy_card_hours": "card-hours",
}
"""Figures of a facility, and their units."""

TEXTS = ("owner", "credit_code", "hub", "cluster", "protection_level", "filing_number")
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
        sellable: Of them, for sale.
        reserved: Of them, kept back.
        stated: Precision → stated peak of all of them, in TFLOPS or TOPS.
        measured: Precision → what a test reached on one of them.
    """

    name: str
    compute_class: ComputeClass
    device: str
    count: Fact
    sellable: Fact | None = None
    reserved: Fact | None = None
    stated: dict[str, Fact] = {}
    measured: dict[str, Fact] = {}


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
    """

    name: str
    sites: tuple[str, ...] = ()
    status: Status = Status.IN_USE
    texts: dict[str, str] = {}
    period: str = ""
    period_h: int = 0
    facts: dict[str, Fact] = {}
    groups: tuple[Group, ...] = ()
