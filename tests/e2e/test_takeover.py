"""Two real hubs over one PostgreSQL database: one leads, the other waits, and takes its place."""

import contextlib
import os
import signal
import statistics
import time

import pytest

from fenglin.client import Client, Retry
from fenglin.client.requests import Filter
from fenglin.client.transport import Transport
from fenglin.errors import FenglinError, UnavailableError
from fenglin.testing import HubProcess, LocalSite, TruthDir, hub_file
from fenglin.testing.forks import ForkServer
from fenglin.testing.servers.postgres import PostgresServer, find_postgres

LEASE_S = 2
WITHIN_S = 60
# How often the leader is killed, and how often it is made to stand still, and its lease then.
TAKEOVERS = int(os.environ.get("FENGLIN_TAKEOVERS", "3"))
STANDSTILLS = int(os.environ.get("FENGLIN_STANDSTILLS", "20"))
ROUNDS_LEASE_S = int(os.environ.get("FENGLIN_TAKEOVER_LEASE_S", "2"))
SITES = [LocalSite("ai", cpu=2), LocalSite("general", cpu=2)]


def until(condition, within_s=WITHIN_S):
    end_s = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < end_s, "it did not happen in time"
        time.sleep(0.05)
    return found


class Pair:
    """Two hubs with one database and one shared folder, and what leads."""

    def __init__(self, folder, server, lease_s=LEASE_S):
        self.server = server
        self.url = server.database()
        self.shared = folder / "shared"
        block = f'database = "{self.url}"\nshared = "{self.shared}"\nlease = "{lease_s}s"'
        config = hub_file(SITES, accounts={"default": "1000 CNY"}, hub=block)
        self.hubs = [HubProcess(folder / name, config) for name in ("one", "two")]

    @property
    def token(self):
        return (self.shared / "admin.token").read_text().strip()

    def leader(self):
        """Return the hub that holds the lease; None while nobody does."""
        rows = self.server.sql(
            "SELECT address FROM leader_lease WHERE expires >= clock_timestamp()",
            self.url.rpartition("/")[2],
        )
        return next((hub for hub in self.hubs if rows and hub.url == rows[0][0]), None)

    def epoch(self):
        name = self.url.rpartition("/")[2]
        rows = self.server.sql("SELECT value FROM meta WHERE name = 'epoch'", name)
        return int(rows[0][0]) if rows else 0

    def start(self):
        self.hubs[0].start()
        until(self.leading)
        self.hubs[1].start()
        until(self.handing_on)
        return self

    def handing_on(self):
        """Return whether the second hub has seen who leads: its door opens before that."""
        with contextlib.suppress(FenglinError):
            return self.client(self.hubs[1]).overview().leader
        return False

    def leading(self):
        """Return a hub that leads and answers."""
        hub = self.leader()
        with contextlib.suppress(FenglinError, FileNotFoundError):
            if hub is not None and self.client(hub).overview().leader:
                return hub
        return None

    def client(self, hub, tries=1):
        client = Client(Transport(hub.url, self.token, retry=Retry(tries=tries)))
        hub._clients.append(client)
        return client

    def other(self, hub):
        return self.hubs[1 - self.hubs.index(hub)]


@pytest.fixture(scope="module")
def server():
    if why := find_postgres():
        pytest.skip(why)
    with PostgresServer() as made:
        yield made


@pytest.fixture(scope="module")
def forks():
    with ForkServer() as made:
        yield made


@pytest.fixture
def pair(tmp_path, server):
    made = Pair(tmp_path, server)
    with made.hubs[0], made.hubs[1]:
        yield made.start()


def test_each_answers_and_one_decides(pair):
    leader = pair.leader()
    clients = [pair.client(hub, tries=60) for hub in (leader, pair.other(leader))]
    ids = [client.submit({"name": "x", "command": ["true"]}).id for client in clients]
    for client in clients:
        assert [client.wait(one, WITHIN_S).state for one in ids] == ["succeeded"] * 2
        assert {job.id for job in client.jobs(Filter()).items} == set(ids)
        assert client.ledger_verify().ok
    assert [client.overview().leader for client in clients] == [True, True]
    # In good order the lease is given up, and no epoch is lost over it.
    epoch = pair.epoch()
    assert leader.stop() == 0
    until(pair.leading)
    assert pair.epoch() == epoch + 1


def test_a_killed_leaders_place_is_taken_and_nothing_is_lost_or_done_twice(pair, tmp_path):
    truth = TruthDir(tmp_path / "truth")
    done = {}
    for round_ in range(3):
        leader = until(pair.leading)
        waiting = pair.other(leader)
        asked = pair.client(waiting, tries=60)
        for n in range(4):
            key = f"{round_}-{n}"
            done[key] = asked.submit(truth.job(key, tasks=3, sleep_s=0.3), key=key).id
        until(lambda: truth.runs(done[f"{round_}-0"]))  # noqa: B023 - at once
        leader.kill()
        # Whoever asks meanwhile is told to come again; the same key gives the same job.
        key = f"{round_}-late"
        job = truth.job(key)
        done[key] = pair.client(waiting, tries=60).submit(job, key=key).id
        again = pair.client(waiting, tries=60).submit(job, key=key)
        assert (again.id, again.repeated) == (done[key], True)
        leader.start()
    client = pair.client(until(pair.leading), tries=60)
    states = {key: client.wait(one, WITHIN_S).state for key, one in done.items()}
    assert set(states.values()) == {"succeeded"}
    jobs = client.jobs(Filter()).items
    assert sorted(job.id for job in jobs) == sorted(done.values())
    assert truth.doubles() == []
    assert [run for run in truth.runs() if run.number > 1] == []
    assert client.ledger_verify().ok
    bill = client.ledger_statement("default")
    assert (bill.held_micro, bill.charged_micro) == (0, sum(job.cost_micro for job in jobs))


def test_without_a_leader_reads_are_served_and_writes_are_not(pair):
    leader = pair.leader()
    waiting = pair.other(leader)
    job = pair.client(leader).submit({"name": "x", "command": ["true"]}).id
    pair.client(leader).wait(job, WITHIN_S)
    os.kill(leader.pid, signal.SIGKILL)
    leader.wait(10)
    # Keep the waiting hub from the lease: somebody else has it, and is nowhere.
    pair.server.sql(
        "UPDATE leader_lease SET holder = 'x', address = '', term = term + 1,"
        " expires = clock_timestamp() + interval '1 hour'",
        pair.url.rpartition("/")[2],
    )
    client = pair.client(waiting)
    until(lambda: not refused(client))
    assert client.job(job).state == "succeeded"
    assert [one.id for one in client.jobs(Filter()).items] == [job]
    with pytest.raises(UnavailableError, match="no hub leads"):
        client.submit({"name": "y", "command": ["true"]})
    with pytest.raises(UnavailableError, match="no hub leads"):
        client.sites(Filter())


def refused(client):
    with contextlib.suppress(UnavailableError):
        client.jobs(Filter())
        return False
    return True


def test_a_leader_that_stood_still_past_its_lease_writes_nothing_and_ends(pair, tmp_path):
    truth = TruthDir(tmp_path / "truth")
    asleep = until(pair.leading)
    other = pair.other(asleep)
    before = pair.epoch()
    running = pair.client(asleep).submit(truth.job("r", tasks=2, sleep_s=4)).id
    until(lambda: truth.runs(running))
    os.kill(asleep.pid, signal.SIGSTOP)
    # A request to who stands still would only hang.
    until(lambda: pair.leader() is other)
    until(pair.leading)
    assert pair.epoch() == before + 1
    os.kill(asleep.pid, signal.SIGCONT)
    # Its own door may still take a request: the write is refused, whatever it believes.
    with contextlib.suppress(FenglinError):
        answer = pair.client(asleep).submit(truth.job("late"), key="late")
        assert answer.id in {job.id for job in pair.client(other).jobs(Filter()).items}
    assert asleep.wait(WITHIN_S) == 6
    assert "stale_epoch" in asleep.log() or "lease" in asleep.log()
    client = pair.client(other)
    assert client.wait(running, WITHIN_S).state == "succeeded"
    assert [run for run in truth.runs(running) if run.number > 1] == []
    assert client.ledger_verify().ok
    assert pair.epoch() == before + 1


@pytest.mark.parametrize(("how", "rounds"), [("kill", TAKEOVERS), ("stop", STANDSTILLS)])
@pytest.mark.timeout(300 + 60 * (TAKEOVERS + STANDSTILLS))
def test_one_takeover_after_the_other(how, rounds, tmp_path, server, forks, record_property):
    truth = TruthDir(tmp_path / "truth")
    made = Pair(tmp_path, server, ROUNDS_LEASE_S)
    # Each of them starts some twenty times.
    for hub in made.hubs:
        hub.forks = forks
    done, taken_s = {}, []
    with made.hubs[0], made.hubs[1]:
        made.start()
        for n in range(rounds):
            leader = until(made.leading)
            other = made.other(leader)
            until(lambda: other.url)  # noqa: B023 - at once
            wish(made.client(other, tries=60), truth, f"{n}-before", done)
            term = made.epoch()
            os.kill(leader.pid, signal.SIGKILL if how == "kill" else signal.SIGSTOP)
            began_s = time.monotonic()
            until(lambda: tried(made, other, truth, f"{n}-after", done))  # noqa: B023 - at once
            taken_s.append(time.monotonic() - began_s)
            until(lambda: made.leader() is other)  # noqa: B023 - at once
            assert made.epoch() == term + 1
            if how == "stop":
                os.kill(leader.pid, signal.SIGCONT)
                assert leader.wait(WITHIN_S) == 6
            else:
                leader.wait(10)
            leader.start(ready=False)
        client = made.client(until(made.leading), tries=60)
        states = {key: client.wait(one, WITHIN_S).state for key, one in done.items()}
        assert len(states) == 2 * rounds
        assert set(states.values()) == {"succeeded"}
        assert truth.doubles() == []
        runs = truth.runs()
        assert sorted(run.job for run in runs) == sorted(done.values())
        assert client.ledger_verify().ok
        assert client.ledger_statement("default").held_micro == 0
    middle_s, most_s = statistics.median(taken_s), max(taken_s)
    record_property(
        "takeover",
        f"{how}: {rounds} takeovers, lease {ROUNDS_LEASE_S} s, from the signal to the next"
        f" acknowledged write p50 {middle_s:.2f} s, max {most_s:.2f} s",
    )


def wish(client, truth, key, done):
    done[key] = client.submit(truth.job(key), key=key).id


def tried(made, hub, truth, key, done):
    """Return whether a hub has taken a job."""
    with contextlib.suppress(UnavailableError):
        wish(made.client(hub), truth, key, done)
    return key in done
