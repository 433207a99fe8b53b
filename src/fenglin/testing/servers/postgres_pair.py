"""A PostgreSQL primary with a standby that has every commit before a client hears of it.

with PostgresPair() as pair:
    url = pair.url(pair.database())
    pair.fail_over()  # kills the primary, promotes the standby
    pair.renew()  # a new standby in the place of the dead primary
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Self

from fenglin.testing.servers.postgres import POLL_S, USER, PostgresServer

if TYPE_CHECKING:
    from types import TracebackType

IN_STEP_WITHIN_S = 60.0
# What a standby calls itself where it is given no other name.
_STANDBY = "walreceiver"
# So that a standby that is made while hubs write finds what was written meanwhile, and that a
# primary soon hears how far it is.
_OPTIONS = ("wal_keep_size=256MB", "wal_receiver_status_interval=1s")


class PostgresPair:
    """Two servers on this machine; gone with the block.

    Attributes:
        primary: What takes writes.
        standby: What follows; None between `fail_over` and `renew`.
    """

    primary: PostgresServer
    standby: PostgresServer | None = None

    def __init__(self) -> None:
        """Start nothing yet; `find_postgres` says whether it can be."""
        self._stack = contextlib.ExitStack()
        self._ports: tuple[int, ...] = ()
        self._count = 0

    def __enter__(self) -> Self:
        """Start both."""
        with contextlib.ExitStack() as stack:
            self._stack = stack
            self.primary = stack.enter_context(PostgresServer(*_OPTIONS))
            self.renew()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop them and remove their folders."""
        # In good order a primary would wait for its standby's word.
        for server in (self.standby, self.primary):
            if server is not None:
                server.stop(kill=True)
        self._stack.close()

    def database(self) -> str:
        """Make a new empty database; return its name."""
        self._count += 1
        name = f"hub{self._count}"
        self.primary.sql(f"CREATE DATABASE {name}")
        return name

    def url(self, database: str) -> str:
        """Return the address of a database at whichever of the two takes writes."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self._ports)
        return f"postgresql://{USER}@{hosts}/{database}?target_session_attrs=read-write"

    def fail_over(self) -> None:
        """Kill the primary as a crash of its machine would, and promote the standby.

        Raises:
            RuntimeError: there is no standby.
            TimeoutError: it does not become a primary.
        """
        if self.standby is None:
            raise RuntimeError("there is no standby; `renew` makes one")
        self.primary.stop(kill=True)
        self.primary, self.standby = self.standby, None
        promoted = self.primary.sql(f"SELECT pg_promote(true, {IN_STEP_WITHIN_S:.0f})")
        if promoted != [(True,)]:
            raise TimeoutError("the standby does not take writes")

    def renew(self) -> None:
        """Give the primary a standby, and let no commit be acknowledged without it.

        Raises:
            TimeoutError: it does not come into step.
        """
        other = next((port for port in self._ports if port != self.primary.port), 0)
        standby = PostgresServer(*_OPTIONS, of=self.primary, port=other)
        self.standby = self._stack.enter_context(standby)
        self._ports = (self.primary.port, self.standby.port)
        # In a file of the primary's own, made after the copy: once promoted, a standby waits for
        # nobody until it is given a standby itself.
        self.primary.set("synchronous_standby_names", _STANDBY)
        end_s = time.monotonic() + IN_STEP_WITHIN_S
        while not self.in_step():
            if time.monotonic() > end_s:
                raise TimeoutError("the standby does not come into step with its primary")
            time.sleep(POLL_S)

    def in_step(self) -> bool:
        """Return whether commits are acknowledged only when the standby has them."""
        rows = self.primary.sql("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'")
        return bool(rows)
