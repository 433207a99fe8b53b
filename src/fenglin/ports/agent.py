"""Sites that dial in: what the hub's rooms may ask of such a site's mailbox, and of each other.

A driver whose site is reached by its agent has a `mailbox`. Its calls wait there as orders until
the agent fetches and answers them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from msgspec import Struct
from msgspec.structs import replace

from fenglin.model.secret import Secret
from fenglin.model.site import Node
from fenglin.ports.driver import StartOrder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from fenglin.ports.hub import Principal
    from fenglin.wire.agent_views import Answers, Hello, Order, Orders, OrdersAsk, Welcome


class InputFile(Struct, frozen=True):
    """One file of a start's inputs.

    Attributes:
        target: Relative path in the working directory.
        digest: SHA-256 of its content, by which the agent fetches it; empty when it is gone.
        executable: Whether it gets the execute bit.
    """

    target: str
    digest: str
    executable: bool = False


class StartAsk(Struct, frozen=True):
    """Arguments of `start`; the order's own inputs and paths of the hub are left out.

    Attributes:
        order: The order.
        inputs: Its inputs.
        secrets: (name, value) pairs, which stand in no order.
    """

    order: StartOrder
    inputs: tuple[InputFile, ...] = ()
    secrets: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, order: StartOrder, inputs: tuple[InputFile, ...]) -> StartAsk:
        """Return what an agent is sent."""
        secrets = tuple((name, secret.reveal()) for name, secret in order.secrets)
        return cls(replace(order, inputs=(), artifacts_dir="", secrets=()), inputs, secrets)

    def whole(self) -> StartAsk:
        """Return it with the secrets in the order, as a driver takes them."""
        secrets = tuple((name, Secret(value)) for name, value in self.secrets)
        return StartAsk(replace(self.order, secrets=secrets), self.inputs)

    def __repr__(self) -> str:
        """Return what may stand in a log."""
        return f"StartAsk({self.order.key})"


class ObserveAsk(Struct, frozen=True):
    """Arguments of `observe`."""

    cursors: dict[str, str]


class KeyAsk(Struct, frozen=True):
    """Arguments of calls about one attempt; `grace_ms` is that of `stop`."""

    key: str
    grace_ms: int = 0


class TasksAsk(Struct, frozen=True):
    """Arguments of `stop_tasks`; `tasks` in text form."""

    key: str
    tasks: str
    grace_ms: int


class LogAsk(Struct, frozen=True):
    """Arguments of `read_log`."""

    key: str
    task: int
    offset: int
    limit: int


class Told(Struct, frozen=True):
    """Answer to `inventory`; words instead of our enumeration, since an agent may be newer."""

    nodes: tuple[Node, ...]
    licences: tuple[tuple[str, int], ...] = ()
    generation: str = ""
    capabilities: tuple[str, ...] = ()


class Mailbox(Protocol):
    """One site's orders, on their way to its agent."""

    box: str

    def hello(self, hello: Hello) -> str:
        """Return a new session.

        Raises:
            UnavailableError: another agent speaks for the site.
        """
        ...

    async def orders(self, ask: OrdersAsk, wait_s: float) -> tuple[Order, ...]:
        """Return the orders after a number, or none when none came in time.

        Raises:
            ConflictError: the session is over.
        """
        ...

    def take(self, answers: Answers) -> None:
        """Take answers.

        Raises:
            ConflictError: the session is over.
        """
        ...

    async def input(self, key: str, digest: str) -> Path:
        """Return where an input of an attempt lies.

        Raises:
            NotFoundError: the attempt has no such input.
        """
        ...

    async def keep(
        self, place: tuple[str, int, str], chunks: AsyncIterator[bytes], *, executable: bool
    ) -> int:
        """Keep a file that a task (key, index, path) left; return its size.

        Raises:
            NotFoundError: there is no such attempt.
            InputError: the path leads elsewhere.
        """
        ...


@runtime_checkable
class HasMailbox(Protocol):
    """A driver whose site dials in."""

    mailbox: Mailbox


class AgentDesk(Protocol):
    """The room of agents. Who speaks for another site finds none; see `model.role.Role.AGENT`."""

    async def hello(self, site: str, hello: Hello, who: Principal) -> Welcome:
        """Begin a session.

        Raises:
            ConflictError: the two speak no common protocol.
        """
        ...

    async def orders(self, site: str, ask: OrdersAsk, who: Principal) -> Orders:
        """Wait for orders."""
        ...

    def take(self, site: str, answers: Answers, who: Principal) -> None:
        """Take answers."""
        ...

    def mailbox(self, site: str, who: Principal) -> Mailbox:
        """Return a site's mailbox, for its files.

        Raises:
            NotFoundError: there is none, or it is not the caller's.
        """
        ...
