"""The primary of the database is killed and its standby promoted; connections break in a commit."""

import contextlib
import os
import random
import socket
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from fenglin.errors import UnavailableError
from fenglin.storage.postgres.connection import PostgresConnection
from fenglin.testing.servers.postgres import find_postgres
from fenglin.testing.servers.postgres_pair import PostgresPair

FAILOVERS = int(os.environ.get("FENGLIN_FAILOVERS", "3"))
WITHIN_S = 90
# Exit code of a hub that cannot know any more what it has written, and is to be started again.
STALE = 6


@pytest.fixture(scope="module")
def pair():
    if why := find_postgres():
        pytest.skip(why)
    with PostgresPair() as made:
        yield made


def test_nothing_acknowledged_is_lost_with_the_primary(campaign, pair, checks, record_property):
    name = pair.database()
    campaign.use_database(pair.url(name), lease="2s")
    campaign._database = lambda: checks(pair.primary, name)
    chance = random.Random(5)
    campaign.hub.start()
    works(campaign, time.monotonic() + WITHIN_S)
    with ThreadPoolExecutor(1) as beside:
        for _ in range(FAILOVERS):
            assert pair.in_step()
            before = len(acknowledged(campaign))
            failing = beside.submit(fail_over, pair, chance.uniform(0.0, 1.0))
            end_s = time.monotonic() + WITHIN_S
            while not failing.done():
                works(campaign, end_s, least=0)
            failing.result()
            works(campaign, end_s)
            assert len(acknowledged(campaign)) > before
            pair.renew()

    assert campaign.hub.stop() == 0
    record_property("kill", {"point": "primary", **campaign.judge(), "cycles": FAILOVERS})


def fail_over(pair, pause_s):
    time.sleep(pause_s)
    pair.fail_over()


def acknowledged(campaign):
    return [wish for wish in campaign.wishes if wish.id]


def works(campaign, end_s, least=1):
    """Ask for more until the hub has done so once, or at least tried."""
    while not (tried(campaign) and asked(campaign)) and least:
        assert time.monotonic() < end_s, campaign.hub.log()
        time.sleep(0.1)


def tried(campaign):
    """Return whether a hub answers; start it again, as whoever watches over it would."""
    if campaign.hub.alive:
        return True
    # It ended as it must when it cannot know what it has written, or when no database takes writes.
    assert campaign.hub.wait(1) == STALE, campaign.hub.log()
    return campaign.hub.start(ready=False).wait_ready()


def asked(campaign):
    try:
        client = campaign.hub.client(tries=1)
    except FileNotFoundError:  # the first leader has not yet made the first token
        return False
    try:
        campaign.ask_again(client)
        campaign.ask_more(client)
    except UnavailableError:
        return False
    else:
        return True
    finally:
        client.close()


# --- a connection that breaks in COMMIT -----------------------------------------------------


class Cutter:
    """A line to a server that breaks at the first COMMIT that comes over it, then lets all pass.

    Args:
        when: `before` the server hears of it, at once `after` it heard, or only once it has
            `answered`.
    """

    def __init__(self, port, when):
        self.when = when
        self.cuts = 0
        self._server = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = ThreadPoolExecutor(16)
        self._threads.submit(self._accept)

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads.shutdown()

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._server)
            mute = threading.Event()
            self._threads.submit(self._speak, near, far, mute)
            self._threads.submit(self._answer, near, far, mute)

    def _speak(self, near, far, mute):
        while said := receive(near):
            if b"COMMIT\0" in said and not self.cuts:
                self.cuts += 1
                if self.when == "answered":
                    mute.set()
                    far.sendall(said)
                    return
                if self.when == "after":
                    far.sendall(said)
                break
            far.sendall(said)
        hang_up(near, far)

    def _answer(self, near, far, mute):
        while said := receive(far):
            if mute.is_set():
                break
            near.sendall(said)
        hang_up(near, far)


def receive(end):
    try:
        return end.recv(65536)
    except OSError:
        return b""


def hang_up(*ends):
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


@pytest.fixture
def cut_line(pair):
    made = []

    def make(when):
        made.append(Cutter(pair.primary.port, when))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def table(pair):
    name = pair.database()
    pair.primary.sql("CREATE TABLE thing (a INT)", name)
    pair.primary.sql("CREATE TABLE commit_mark (writer TEXT PRIMARY KEY, number BIGINT)", name)
    return name


def write(line, name, *, earlier):
    """Write a row over a line that breaks in COMMIT; return whether it counts as done."""
    conn = PostgresConnection(f"postgresql://hub@127.0.0.1:{line.port}/{name}")
    try:
        for n in range(earlier):
            line.cuts = 1
            conn.execute("BEGIN")
            conn.execute("INSERT INTO thing VALUES (?)", (n,))
            conn.execute("COMMIT")
        line.cuts = 0
        conn.execute("BEGIN")
        conn.execute("INSERT INTO thing VALUES (?)", (99,))
        try:
            conn.execute("COMMIT")
        except sqlite3.OperationalError:
            return False
        return True
    finally:
        conn.close()


@pytest.mark.parametrize("earlier", [0, 2])
@pytest.mark.parametrize("when", ["before", "after", "answered"])
def test_a_cut_at_commit_is_told_from_a_commit(when, earlier, cut_line, table, pair):
    line = cut_line(when)
    believed = write(line, table, earlier=earlier)
    there = pair.primary.sql("SELECT a FROM thing WHERE a = 99", table) == [(99,)]
    assert line.cuts == 1
    assert believed == there
    # A server may do what it heard last from a client that is gone, or not.
    assert when == "after" or there == (when == "answered")


def test_a_commit_that_waits_for_the_standby_is_waited_for(cut_line, table, pair):
    """It is on its way without us: neither done nor undone, until the standby has it."""
    line = cut_line("after")
    with ThreadPoolExecutor(1) as beside:
        pair.primary.set("synchronous_standby_names", "nobody")
        try:
            writing = beside.submit(write, line, table, earlier=0)
            waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            end_s = time.monotonic() + WITHIN_S
            while not pair.primary.sql(waits):
                assert time.monotonic() < end_s
                time.sleep(0.02)
            time.sleep(1)
            assert not writing.done()
        finally:
            pair.primary.set("synchronous_standby_names", "walreceiver")
        assert writing.result(WITHIN_S)
    assert pair.primary.sql("SELECT a FROM thing", table) == [(99,)]
