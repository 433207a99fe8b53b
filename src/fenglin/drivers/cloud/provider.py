"""What this room needs of a cloud: four calls, all synchronous, made in worker threads."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from fenglin.errors import DriverError
from fenglin.model.reason import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 15.0
# Tags on every instance, by which it is found again.
TAG_HUB = "fenglin-hub"
TAG_SITE = "fenglin-site"
TAG_NODE = "fenglin-node"
TAG_PURCHASE = "fenglin-purchase"


class Life(StrEnum):
    """How far an instance is. FAILED is one that never came up; it may still be there."""

    PENDING = "pending"
    RUNNING = "running"
    FAILED = "failed"
    GONE = "gone"


class Machine(Struct, frozen=True):
    """What one instance of a type holds.

    Attributes:
        name: The provider's name of the type.
        cpu_milli: Its virtual cores.
        memory_bytes: Its memory.
        disk_bytes: Disk that comes with it; 0 when that is not the type's to say.
        cards: Number of its accelerators.
        card: What the provider calls their model; empty for none or unknown.
        card_memory_gib: Memory of one; 0 unknown.
    """

    name: str
    cpu_milli: int
    memory_bytes: int
    disk_bytes: int = 0
    cards: int = 0
    card: str = ""
    card_memory_gib: int = 0


class Wanted(Struct, frozen=True):
    """An instance to be bought; the same for each repetition.

    Attributes:
        token: Made from hub, site, node and purchase number.
        node: Name of the node that it is to be.
        number: Number of the purchase at its site.
        machine: Type.
        spot: Whether it may be taken back, for a lower price.
        most_per_hour: Most to be paid for it in the provider's currency, when spot; empty for
            the provider's own limit.
        user_data: For cloud-init.
    """

    token: str
    node: str
    number: int
    machine: str
    spot: bool
    most_per_hour: str
    user_data: str


class Instance(Struct, frozen=True):
    """One instance that carries our tags.

    Attributes:
        id: The provider's id.
        number: Purchase that it was made for; 0 when its tag says nothing.
        life: How far it is.
        address: Where SSH reaches it; empty while it has none.
        launched_ms: Unix time from which it is charged; 0 unknown.
        reason: Why it is gone or has failed.
        said: The provider's words for that.
    """

    id: str
    number: int
    life: Life
    address: str = ""
    launched_ms: int = 0
    reason: Reason | None = None
    said: str = ""


class Provider(Protocol):
    """One region of one provider.

    Attributes:
        repeatable: Whether `buy` may be repeated with the same token at any time. Where it may
            not, a listing tells first whether the former call was carried out.
    """

    repeatable: bool

    def machines(self, names: Sequence[str]) -> dict[str, Machine]:
        """Return the types of these names; those that do not exist are left out.

        Raises:
            DriverError: the provider cannot be asked.
        """
        ...

    def buy(self, wanted: Wanted) -> str:
        """Buy an instance and return its id.

        Raises:
            DriverError: refused for certain, with a `reason`; or unclear.
        """
        ...

    def instances(self) -> list[Instance]:
        """Return all instances with the tags of this hub and site: complete, or an error.

        Raises:
            DriverError: the listing is not complete.
        """
        ...

    def release(self, instance: str) -> None:
        """Give an instance back; one that is gone is no error.

        Raises:
            DriverError: it is not certain that the provider has heard it.
        """
        ...


def refused(what: str, where: str, reason: Reason, hint: str = "") -> DriverError:
    """Return the error for a purchase that was certainly not made."""
    return DriverError(what[:500], where=where, hint=hint, reason=reason.value)


def unclear(what: str, where: str) -> DriverError:
    """Return the error for a call that may have been carried out."""
    return DriverError(
        what[:500], where=where, hint="it is looked up and tried again by itself",
        effect_unknown=True,
    )  # fmt: skip
