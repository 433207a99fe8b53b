"""Who leads: one row with a holder, a term and an end by the database's clock.

The lease elects; what protects is the epoch that each write checks (`commits.check_epoch`).
A new leader first takes the lease, then raises the epoch in a transaction that asks for the
lease again: who slept between the two finds that another has it, and raises nothing.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from fenglin.errors import StaleEpochError, UnavailableError
from fenglin.ports.crashpoint import crash_point
from fenglin.storage.failures import translate
from fenglin.storage.postgres.connection import PostgresConnection

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
CHANNEL = "fenglin_leader"
# Parts of a lease: how often it is renewed, and how often others look whether it is over.
RENEWALS = 4
LOOKS = 10

_TAKE = f"""\
UPDATE leader_lease SET holder = $1, address = $2, term = term + 1,
    expires = clock_timestamp() + $3 * interval '1 millisecond'
WHERE expires < clock_timestamp() RETURNING term, pg_notify('{CHANNEL}', $1)"""  # noqa: S608
_RENEW = """\
UPDATE leader_lease SET expires = clock_timestamp() + $3 * interval '1 millisecond'
WHERE holder = $1 AND term = $2"""
_RELEASE = f"""\
UPDATE leader_lease SET expires = '-infinity', address = ''
WHERE holder = $1 AND term = $2 RETURNING pg_notify('{CHANNEL}', '')"""  # noqa: S608
_LEADER = "SELECT address FROM leader_lease WHERE expires >= clock_timestamp()"
# Sessions of the leader that was: it may stand still inside a transaction, holding locks.
_CUT = """\
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'fenglin ' || $1"""


@dataclass(frozen=True, slots=True)
class Term:
    """A hub's right to lead, until another takes it.

    Attributes:
        holder: The hub's process, by a name that no other ever has.
        number: Rises with each change of the leader.
    """

    holder: str
    number: int

    def holds(self, conn: PostgresConnection) -> bool:
        """Return whether nobody has taken it since; keeps them from it in this transaction."""
        row = conn.raw(
            "SELECT 1 FROM leader_lease WHERE holder = $1 AND term = $2 FOR SHARE",
            (self.holder, self.number),
        ).fetchone()
        return row is not None


class Lease:
    """One hub's hand on the lease, with a thread and a connection of its own.

    Its methods block; whoever has an event loop calls them on a thread.
    """

    def __init__(self, url: str, holder: str, address: str, ttl_ms: int) -> None:
        """Take who and where this hub is, and how long a lease holds without renewal."""
        self._url = url
        self._holder = holder
        self._address = address
        self._ttl_ms = ttl_ms
        self._conn: PostgresConnection | None = None
        self._lock = threading.Lock()
        self._over = threading.Event()

    def take(self) -> Term | None:
        """Take the lease if it is free; return None when another hub has it.

        Raises:
            UnavailableError: the database is away.
        """

        def work(conn: PostgresConnection) -> Term | None:
            (before,) = conn.raw("SELECT holder FROM leader_lease").fetchone() or ("",)
            row = conn.raw(_TAKE, (self._holder, self._address, self._ttl_ms)).fetchone()
            if row is None:
                return None
            if before:
                conn.raw(_CUT, (before,))
            return Term(self._holder, int(row[0]))

        return self._with(work)

    def wait(self) -> None:
        """Wait until it is time to look again: a part of the lease, or less when it is given up.

        Raises:
            UnavailableError: the database is away.
        """
        self._with(lambda conn: conn.heard(CHANNEL, self._ttl_ms / 1_000 / LOOKS))

    def leader(self) -> str:
        """Return the address of the hub that leads; empty for none.

        Raises:
            UnavailableError: the database is away.
        """

        def work(conn: PostgresConnection) -> str:
            row = conn.raw(_LEADER).fetchone()
            return str(row[0]) if row else ""

        return self._with(work)

    def keep(self, term: Term, problem: Callable[[str], None]) -> None:
        """Renew the lease until `release`.

        Args:
            term: What is renewed.
            problem: Hears of each time that the database was away; it is tried again.

        Raises:
            StaleEpochError: another hub has taken it.
        """
        while not self._over.wait(self._ttl_ms / 1_000 / RENEWALS):
            try:
                self.renew(term)
            except StaleEpochError:
                raise
            except UnavailableError as error:
                problem(str(error))

    def renew(self, term: Term) -> None:
        """Prolong the lease; one that has ended too, if nobody has taken it.

        Raises:
            StaleEpochError: another hub has taken it.
            UnavailableError: the database is away.
        """
        values = (term.holder, term.number, self._ttl_ms)
        if not self._with(lambda conn: conn.raw(_RENEW, values).rowcount):
            raise StaleEpochError(
                f"term {term.number} is over: another hub has taken the lease",
                hint="start this hub again; it will wait for its turn",
            )
        crash_point("c13")

    def release(self, term: Term) -> None:
        """Give the lease up, so that another hub need not wait for its end."""
        self._over.set()
        with contextlib.suppress(UnavailableError):
            self._with(lambda conn: conn.raw(_RELEASE, (term.holder, term.number)))

    def close(self) -> None:
        """Let go of the connection; a lease that is held ends by itself."""
        self._over.set()
        with self._lock:
            if self._conn is not None:
                self._conn.close()

    def _with(self, work: Callable[[PostgresConnection], T]) -> T:
        with self._lock:
            try:
                if self._conn is None or self._conn.closed:
                    self._conn = PostgresConnection(self._url, name=f"lease of {self._holder}")
                return work(self._conn)
            except sqlite3.Error as error:
                raise translate(error, "lease") from error
