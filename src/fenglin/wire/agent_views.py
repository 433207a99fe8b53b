"""What a site's agent and its hub say to each other, and which versions of it work together.

Fields that one side does not know are ignored, kinds of orders are answered as unsupported: so
neither has to be changed at the same time as the other.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Raw, Struct

from fenglin.errors import ConflictError
from fenglin.model.site import Flavor, Node

PROTOCOL = 1
OLDER = 2
NEWER = 1
POLL_S = 20.0
MOST_ORDERS = 64
UNSUPPORTED = "unsupported"

Short = Annotated[str, Meta(max_length=128)]
Name = Annotated[str, Meta(min_length=1, max_length=64)]


class Hello(Struct, frozen=True):
    """The agent's first words on a new connection.

    Attributes:
        protocol: The newest that it speaks.
        agent: Its own id, kept in its folder; a second agent of a site has another.
        version: Of its program, for people.
        driver: Kind of driver that it runs, for people.
    """

    protocol: int
    agent: Name
    version: Short = ""
    driver: Short = ""


class Welcome(Struct, frozen=True):
    """The hub's answer to a hello.

    Attributes:
        protocol: What both speak from here on.
        hub: Id of the hub.
        epoch: Its leader's epoch.
        session: To be given with every later request.
        box: Changes when the hub was restarted: orders of another box are numbered anew.
        flavors: What the hub's configuration declares of the site.
        nodes: The same.
        licences: The same.
        poll_s: How long the hub holds a request for orders open.
    """

    protocol: int
    hub: str
    epoch: int
    session: str
    box: str
    flavors: tuple[Flavor, ...] = ()
    nodes: tuple[Node, ...] = ()
    licences: tuple[tuple[str, int], ...] = ()
    poll_s: float = POLL_S


class OrdersAsk(Struct, frozen=True):
    """Asks for orders, and waits for some.

    Attributes:
        session: Of the welcome.
        after: Number of the last order that has arrived; what follows it is sent, again if need be.
    """

    session: Name
    after: int = 0


class Order(Struct, frozen=True):
    """One call of the site's driver.

    Attributes:
        id: Rises within a box.
        kind: Which call.
        body: Its arguments.
    """

    id: int
    kind: str
    body: Raw


class Orders(Struct, frozen=True):
    """Orders, in the order in which the hub gave them.

    Attributes:
        hub: Id of the hub.
        epoch: Of the leader that gives them; an agent that has seen a higher one refuses.
        orders: At most `MOST_ORDERS`.
    """

    hub: str
    epoch: int
    orders: tuple[Order, ...]


class Fault(Struct, frozen=True):
    """Why an order failed.

    Attributes:
        code: Of the exception tree, or `unsupported`.
        what: One sentence.
        where: The place.
        hint: What to do.
        effect_unknown: Whether it may have had its effect nevertheless.
        reason: What a refusal amounts to.
    """

    code: str
    what: str
    where: str = ""
    hint: str = ""
    effect_unknown: bool = False
    reason: str = ""


class Answer(Struct, frozen=True):
    """What came of an order: a body, or a fault."""

    id: int
    body: Raw = Raw(b"null")
    fault: Fault | None = None


class Answers(Struct, frozen=True):
    """Answers of an agent.

    Attributes:
        session: Of the welcome.
        answers: To orders, in any order.
        news: Whether the driver has something to tell that nobody has asked for yet.
    """

    session: Name
    answers: tuple[Answer, ...] = ()
    news: bool = False


def agree(own: int, other: int, *, agent: bool) -> int:
    """Return the protocol that both sides speak.

    Args:
        own: Number N of this side.
        other: Number of the other side; N−2 to N+1 are accepted.
        agent: Whether this side is the agent.

    Raises:
        ConflictError: the two are too far apart; says which to upgrade.
    """
    if own - OLDER <= other <= own + NEWER and other >= 1:
        return min(own, other)
    mine, theirs = ("agent", "hub") if agent else ("hub", "agent")
    old = theirs if other < own else mine
    raise ConflictError(
        f"the {theirs} speaks protocol {other}, this {mine} {max(1, own - OLDER)} to {own + NEWER}",
        where="protocol",
        hint=f"upgrade the {old}",
    )
