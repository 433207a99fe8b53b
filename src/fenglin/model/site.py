"""What exists: sites, their flavors and nodes, as declared in the configuration and observed."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from fenglin.model.states import ComputeClass, PlacementKind, SiteState
from fenglin.quantities.resources import Resources


class Tiered(Struct, frozen=True, omit_defaults=True):
    """Prices of one unit that an account pays for what it uses beyond so many of them.

    Attributes:
        item: Which unit, such as `core_hour`.
        counter: Names the item of the book whose use is added up, whatever its version.
        steps: (units above which it holds, price of one unit), rising; what lies below the
            first costs the price itself.
        yearly: Whether use is added up by the year; else by the month.
        offset_min: Minutes by which the calendar of these periods is ahead of UTC.
    """

    item: str
    counter: str
    steps: tuple[tuple[int, int], ...]
    yearly: bool = False
    offset_min: int = 0


class Price(Struct, frozen=True, omit_defaults=True):
    """Prices of one flavor in one currency, as whole micro-units.

    Attributes:
        version: Number of this version; versions are superseded, never edited.
        currency: ISO 4217 code.
        core_hour_micro: One core for an hour.
        memory_gib_hour_micro: One GiB of memory for an hour.
        card_hour_micro: One accelerator for an hour.
        task_minimum_ms: A task is billed for at least this long.
        task_minimum_micro: A task costs at least this much, whatever it used.
        memory_per_core_bytes: A use counts at least as many cores as its memory fills; 0 off.
        task_micro: A task that ended.
        node_hour_micro: One whole node for an hour.
        node_day_micro: One whole node for 24 hours, by the millisecond.
        node_cpu_milli: Cores of such a node; 0 where nodes have no price.
        book: Versions of the price book that it was put together from, such as `p7`; empty for
            a price of the configuration.
        tiers: Of the items that cost otherwise beyond an amount.
    """

    version: int = 1
    currency: str = "CNY"
    core_hour_micro: int = 0
    memory_gib_hour_micro: int = 0
    card_hour_micro: int = 0
    task_minimum_ms: int = 0
    task_minimum_micro: int = 0
    memory_per_core_bytes: int = 0
    task_micro: int = 0
    node_hour_micro: int = 0
    node_day_micro: int = 0
    node_cpu_milli: int = 0
    book: tuple[str, ...] = ()
    tiers: tuple[Tiered, ...] = ()

    @property
    def name(self) -> str:
        """Return by what versions it is known, for the ledger."""
        return "+".join(self.book) or str(self.version)

    @property
    def dearest(self) -> Price:
        """Return what nothing can cost more than, whatever the account has used: for holds."""
        if not self.tiers:
            return self
        most = {
            f"{one.item}_micro": max(
                getattr(self, f"{one.item}_micro"), *(micro for _, micro in one.steps)
            )
            for one in self.tiers
        }
        return replace(self, **most)


class Flavor(Struct, frozen=True, omit_defaults=True):
    """A class of equal nodes of one site.

    Attributes:
        name: Unique within the site.
        compute_class: 通算, 智算 or 超算.
        node: Capacity of one node.
        speed_milli: Speed against the reference core, thousandths: 1000 runs a task in its
            estimate, 2000 in half of it.
        accelerator: Registry name of its cards; empty for none.
        price: What a shared use by an account of no class costs.
        tariffs: (name, price) of other uses, where they cost otherwise; see `tariff_of`.
        note: For people, such as `a share of one machine`.
        power_watts: Draw of one whole node at full load; 0 unknown.
        labels: Sorted (key, value) pairs that jobs may require.
    """

    name: str
    compute_class: ComputeClass
    node: Resources
    speed_milli: int = 1_000
    accelerator: str = ""
    price: Price = Price()
    note: str = ""
    power_watts: int = 0
    labels: tuple[tuple[str, str], ...] = ()
    tariffs: tuple[tuple[str, Price], ...] = ()

    def price_for(self, tariff: str) -> Price:
        """Return what a use costs by that tariff."""
        for name, price in self.tariffs:
            if name == tariff:
                return price
        return self.price


def tariff_of(user_class: str, mode: str) -> str:
    """Return the name of the tariff for a class of user and a service mode; empty for the usual."""
    return f"{user_class}/{mode}" if user_class or mode != "shared" else ""


class Node(Struct, frozen=True, omit_defaults=True):
    """One machine (or a share of one) of a flavor.

    Attributes:
        name: Unique within the site.
        flavor: Name of its flavor.
        up: False when the driver observes it as unusable.
        block: Nodes of one block are close to each other (one switch); empty for unknown.
    """

    name: str
    flavor: str
    up: bool = True
    block: str = ""


class Link(Struct, frozen=True, omit_defaults=True):
    """The network from a site to another one, as measured or declared.

    Attributes:
        site: The other site.
        latency_us: Round trip.
        bandwidth_mbit_s: What one transfer gets; 0 unknown.
        egress_gib_micro: Price of a GiB that leaves this site for the other.
    """

    site: str
    latency_us: int = 0
    bandwidth_mbit_s: int = 0
    egress_gib_micro: int = 0


class Site(Struct, frozen=True, omit_defaults=True):
    """One pooled system of one provider.

    Attributes:
        name: Unique in the pool.
        provider: Who owns it.
        driver: Kind of driver that reaches it.
        placement: Who picks the node.
        flavors: Classes of nodes.
        nodes: The nodes (for a delegated site: one entry per flavor's partition is enough).
        licences: (name, count) that the site offers, sorted.
        region: Where it stands, such as `cn-guizhou`; empty for undeclared.
        labels: Sorted (key, value) pairs that jobs may require.
        carbon_g_kwh: Grid's CO2 per kWh now; 0 unknown.
        pue_milli: Energy of the whole facility per energy of its machines, thousandths.
        links: Network to other sites, by name.
        start_ms: What it costs to begin one allocation, however small; 0 for next to nothing.
        turn_ms: For how long a slot is lost to the site between two tasks; 0 for next to nothing.
        apart: Up to so many nodes each get an allocation of their own, where joining them is
            dearer than to begin several; 0 to join always.
        capabilities: What its driver can do beyond the contract, sorted (`Capability`); None
            for a site whose driver was not asked, which is taken to be able to do anything.
        state: What the operator wants or what is observed.
        state_reason: Why it is not active; empty when it is.
    """

    name: str
    provider: str
    driver: str
    placement: PlacementKind = PlacementKind.NODE
    flavors: tuple[Flavor, ...] = ()
    nodes: tuple[Node, ...] = ()
    licences: tuple[tuple[str, int], ...] = ()
    region: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    carbon_g_kwh: int = 0
    pue_milli: int = 1_000
    links: tuple[Link, ...] = ()
    start_ms: int = 0
    turn_ms: int = 0
    apart: int = 0
    capabilities: tuple[str, ...] | None = None
    state: SiteState = SiteState.ACTIVE
    state_reason: str = ""

    def flavor(self, name: str) -> Flavor:
        """Return the flavor of that name.

        Raises:
            KeyError: there is none.
        """
        for flavor in self.flavors:
            if flavor.name == name:
                return flavor
        raise KeyError(name)


class Queue(Struct, frozen=True, omit_defaults=True):
    """An admission line.

    Attributes:
        name: Unique in the pool.
        weight: Its share against other queues when all want more, thousandths.
        quota: Most it may hold at once per dimension; None for no limit.
        cohort: Group of queues that lend to each other; empty for none.
        parent: Queue above it in the tree, whose share and quota it divides with its
            siblings; empty for one at the top.
        borrow: Most it may hold beyond its quota; None for whatever others leave.
        lend: Most of its quota that others may hold; None for all of it.
    """

    name: str
    weight: int = 1_000
    quota: Resources | None = None
    cohort: str = ""
    parent: str = ""
    borrow: Resources | None = None
    lend: Resources | None = None
