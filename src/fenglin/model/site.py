"""What exists: sites, their flavors and nodes, as declared in the configuration and observed."""

from __future__ import annotations

from msgspec import Struct

from fenglin.model.states import ComputeClass, PlacementKind, SiteState
from fenglin.quantities.resources import Resources


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
    """

    version: int = 1
    currency: str = "CNY"
    core_hour_micro: int = 0
    memory_gib_hour_micro: int = 0
    card_hour_micro: int = 0
    task_minimum_ms: int = 0
    task_minimum_micro: int = 0


class Flavor(Struct, frozen=True, omit_defaults=True):
    """A class of equal nodes of one site.

    Attributes:
        name: Unique within the site.
        compute_class: 通算, 智算 or 超算.
        node: Capacity of one node.
        speed_milli: Speed against the reference core, thousandths: 1000 runs a task in its
            estimate, 2000 in half of it.
        accelerator: Registry name of its cards; empty for none.
        price: What a use costs.
        note: For people, such as `a share of one machine`.
    """

    name: str
    compute_class: ComputeClass
    node: Resources
    speed_milli: int = 1_000
    accelerator: str = ""
    price: Price = Price()
    note: str = ""


class Node(Struct, frozen=True, omit_defaults=True):
    """One machine (or a share of one) of a flavor.

    Attributes:
        name: Unique within the site.
        flavor: Name of its flavor.
        up: False when the driver observes it as unusable.
    """

    name: str
    flavor: str
    up: bool = True


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
    """

    name: str
    weight: int = 1_000
    quota: Resources | None = None
    cohort: str = ""
