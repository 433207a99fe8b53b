"""Kill campaigns: a hub that is killed over and over on one folder, and a judge at the end.

A campaign submits arrays, single jobs, children and jobs to be cancelled through the real
client, each under an idempotency key of its own, and asks again for whatever it got no answer
to. What truly ran is told by the payloads themselves (`fenglin.testing.TruthDir`).
"""

import contextlib
import hashlib
import os
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import pytest

from fenglin.client.requests import Filter
from fenglin.errors import UnavailableError
from fenglin.testing import HubProcess, LocalSite, TruthDir, hub_file
from fenglin.testing.forks import ForkServer
from fenglin.testing.servers.postgres import PostgresServer, find_postgres

CYCLES = int(os.environ.get("FENGLIN_KILL_CYCLES", "10"))
# Far more than a cycle takes on a busy machine; beyond it the point counts as never reached.
CYCLE_WITHIN_S = 60
SETTLE_WITHIN_S = 120
# Of one request, with up to 5 s between two.
PATIENT_TRIES = 30
CREDIT_MICRO = 1_000_000_000
TERMINAL = {"succeeded", "failed", "cancelled"}
SITES = [LocalSite("ai", cpu=1), LocalSite("general", cpu=2), LocalSite("super", cpu=1, speed=2)]

# What a hub passes once in its life, or once each time that it leads.
ONCE = {"c18", "c19", "c20"}
# The same questions that `Campaign` puts to SQLite.
POSTGRES = {
    "live": "SELECT number, state FROM allocation WHERE state <> 'ended'",
    "use": "SELECT site, name FROM node WHERE cpu_used_milli <> 0 OR memory_used_bytes <> 0",
    "holds": "SELECT key FROM ledger_entry AS hold WHERE key LIKE 'hold:%' AND"
    " (SELECT count(*) FROM ledger_entry AS done WHERE done.key IN"
    " ('post:' || substr(hold.key, 6), 'void:' || substr(hold.key, 6))) <> 1",
    "usage": "SELECT number FROM allocation WHERE number NOT IN (SELECT allocation FROM usage)",
}


@dataclass
class Wish:
    """One thing a user wants, and how far the hub has acknowledged it."""

    key: str
    document: dict
    cancel: bool = False
    content: bytes = b""
    id: str = ""
    cancel_answer: str = ""

    @property
    def sha256(self):
        """Return the address of the file that its tasks read."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass
class Campaign:
    """One data folder and everything that was asked of its hub."""

    folder: object
    seed: int
    forks: ForkServer
    retries: int = 0
    wishes: list[Wish] = field(default_factory=list)
    kills: int = 0
    before_ready: int = 0
    last_before_ready: bool = False
    url: str = ""
    server: PostgresServer | None = None

    def __post_init__(self):
        config = hub_file(SITES, accounts={"default": "1000 CNY"})
        self.hub = HubProcess(self.folder, config, forks=self.forks)
        self.truth = TruthDir(self.folder / "truth")
        self.random = random.Random(self.seed)

    def use_database(self, url, lease="1s"):
        """Let the hub keep its state in PostgreSQL from its next start on."""
        self.url = url
        block = f'database = "{url}"\nlease = "{lease}"'
        self.hub.config.write_text(hub_file(SITES, accounts={"default": "1000 CNY"}, hub=block))

    # --- killing ------------------------------------------------------------------------

    def die_at(self, point):
        """Run one cycle that ends at a crash point; return whether it was reached."""
        # A hub that dies while it starts makes no progress: let it come further next time.
        more = 3 if self.last_before_ready else 0
        turn = 1 if point in ONCE else self.random.randint(1, 3) + more
        self.hub.start(crash_at=f"{point}:{turn}", ready=False)
        if point == "c19":
            self._work_and_stop()
        else:
            self._work_until_dead(upload=point == "c16")
        return self._count_death()

    def die_at_random(self):
        """Run one cycle that ends by a kill at a random moment, also while the hub starts."""
        self.hub.start(ready=False)
        early = self.random.random() < 0.3
        # Over PostgreSQL it answers before the dead one's lease is over, and it leads.
        late_s = 2.5 if self.url else 0.7
        pause_s = self.random.uniform(0.05, 1.0) if early else self.random.uniform(0, late_s)
        if not early:
            self.hub.wait_ready()
        pid = self.hub.pid
        assert pid, self.hub.log()
        timer = threading.Timer(pause_s, os.kill, (pid, signal.SIGKILL))
        timer.start()
        self._work_until_dead()
        timer.join()
        return self._count_death()

    def lose_some(self):
        """Kill some runner or task behind the hub's back, as a machine short of memory would."""
        pids = self.hub.tasks()
        if not pids:
            return 0
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.random.choice(pids), signal.SIGKILL)
        return 1

    def _count_death(self):
        reached = self.hub.wait(CYCLE_WITHIN_S) == -signal.SIGKILL
        self.kills += reached
        if self.hub.alive:
            self.hub.kill()
        return reached

    # --- wishing ------------------------------------------------------------------------

    def begin(self):
        """Start it for the first time, until it has made the first token, and stop it."""
        self.hub.start()
        # Over PostgreSQL the door opens before that.
        end_s = time.monotonic() + CYCLE_WITHIN_S
        while not (self.hub.data / "admin.token").exists() and time.monotonic() < end_s:
            time.sleep(0.02)
        assert self.hub.stop() == 0, self.hub.log()

    def work(self):
        """Ask for more until the hub has taken it."""
        end_s = time.monotonic() + CYCLE_WITHIN_S
        while True:
            client = self.hub.client(tries=1)
            try:
                self.ask_again(client)
                self.ask_more(client)
            except UnavailableError:
                assert self.hub.alive, self.hub.log()
                assert time.monotonic() < end_s, self.hub.log()
                time.sleep(0.05)
            else:
                return
            finally:
                client.close()

    def _work_and_stop(self):
        self.last_before_ready = False
        if self.hub.wait_ready():
            self.work()
            os.kill(self.hub.pid, signal.SIGTERM)

    def _work_until_dead(self, *, upload=False):
        end_s = time.monotonic() + CYCLE_WITHIN_S
        self.last_before_ready = not self.hub.wait_ready()
        self.before_ready += self.last_before_ready
        while self.hub.alive and time.monotonic() < end_s:
            client = self.hub.client(tries=1)
            try:
                self.ask_again(client)
                self.ask_more(client, upload=upload)
            except UnavailableError:
                self.hub.wait(0.1)
            finally:
                client.close()

    def ask_again(self, client):
        """Repeat everything that got no answer."""
        for wish in self.wishes:
            if not wish.id:
                self._ask(client, wish)
            if wish.cancel and not wish.cancel_answer:
                self._cancel(client, wish)

    def ask_more(self, client, *, upload=False):
        """Ask for one of each kind, and wait a little for what becomes of it."""
        if upload or self.random.random() < 0.2:
            # More than a piece.
            self._wish(client, content=f"{self.seed} {len(self.wishes)} ".encode() * 20_000)
        array = self._wish(client, tasks=self.random.randint(2, 6), sleep_s=0.05)
        single = self._wish(client)
        self._wish(client, after=[array.id])
        self._cancel(client, self._wish(client, cancel=True, sleep_s=300))
        stopped = self._wish(client, cancel=True, tasks=2, sleep_s=300, priority=9)
        end_s = time.monotonic() + 3
        while not self.truth.runs(stopped.id) and time.monotonic() < end_s and self.hub.alive:
            time.sleep(0.02)
        self._cancel(client, stopped)
        client.wait(single.id, 1)

    def _wish(self, client, *, cancel=False, content=b"", **shape):
        name = f"w{len(self.wishes)}"
        document = self.truth.job(name, retries=self.retries, **shape)
        wish = Wish(f"{self.seed}-{name}", document, cancel, content)
        if content:
            document["files"] = [{"target": "in", "sha256": wish.sha256, "size": len(content)}]
            document["script"] += f'\n[ "$(sha256sum <in)" = "{wish.sha256}  -" ]'
        self.wishes.append(wish)
        self._ask(client, wish)
        return wish

    def _ask(self, client, wish):
        if wish.content:
            client.put_blob(wish.sha256, wish.content)
        wish.id = client.submit(wish.document, key=wish.key).id

    def _cancel(self, client, wish):
        wish.cancel_answer = client.cancel(wish.id).state

    # --- judging ------------------------------------------------------------------------

    def settle(self):
        """Start for good, ask again, wait for every end; return the client."""
        # Once in each campaign by the command itself.
        self.hub.forks = None
        self.hub.start()
        # Over PostgreSQL it answers before it leads.
        client = self.hub.client(tries=PATIENT_TRIES)
        self.ask_again(client)
        end_s = time.monotonic() + SETTLE_WITHIN_S
        for wish in self.wishes:
            client.wait(wish.id, max(0, end_s - time.monotonic()))
        return client

    def judge(self):
        """Assert every promise, and return the figures of this campaign."""
        client = self.settle()
        jobs = client.jobs(Filter()).items
        doubles = self.truth.doubles()
        runs = self.truth.runs()
        found = {
            "lost": [w.key for w in self.wishes if w.id not in {job.id for job in jobs}],
            "repeated": [n for n, many in Counter(job.name for job in jobs).items() if many > 1],
            "unended": [(job.id, job.state) for job in jobs if job.state not in TERMINAL],
            "wrong end": list(self._wrong_ends({job.id: job for job in jobs})),
            "twice at once": doubles,
            "twice": [run for run in runs if run.number > 1 and not self.retries],
            "wrong runs": list(self._wrong_runs({job.id: job for job in jobs}, runs)),
            "money": list(self._money(client, jobs)),
            "use": [n for n in client.nodes(Filter()).items if n.cpu_used_milli],
        }
        assert self.hub.stop() == 0
        found["alive"] = self.hub.tasks()
        found["database"] = list(self._database())
        assert {what: which for what, which in found.items() if which} == {}
        return {
            "cycles": self.kills,
            "before_ready": self.before_ready,
            "jobs": len(jobs),
            "tasks": sum(job.task_count for job in jobs),
            "runs": len(runs),
            "doubles": len(doubles),
            "lost": len(found["lost"]),
        }

    def _wrong_ends(self, jobs):
        for wish in self.wishes:
            state = jobs[wish.id].state if wish.id in jobs else "missing"
            wanted = {"succeeded"}
            if wish.cancel:
                # A cancel that finds the job ended well leaves it so.
                ended = wish.cancel_answer == "succeeded"
                wanted = {"succeeded"} if ended else {"cancelled"}
            if state not in wanted:
                yield wish.id, state, wish.cancel_answer

    def _wrong_runs(self, jobs, runs):
        """Yield tasks that ran too little or too often, and runs of unknown jobs."""
        whole = Counter((run.job, run.task) for run in runs if run.ended_s)
        every = Counter((run.job, run.task) for run in runs)
        for job in jobs.values():
            for task in ((job.id, index) for index in range(job.task_count)):
                if job.state == "succeeded" and not whole[task]:
                    yield "never whole", task
                if every[task] > 1 + self.retries:
                    yield "too often", task
                if not self.retries and job.state == "succeeded" and every[task] != whole[task]:
                    yield "cut short", task
        yield from (("unknown job", task) for task in every if task[0] not in jobs)

    def _money(self, client, jobs):
        check = client.ledger_verify()
        if not check.ok:
            yield check
        bill = client.ledger_statement("default")
        cost_micro = sum(job.cost_micro for job in jobs)
        if bill.held_micro or bill.charged_micro != cost_micro or not cost_micro:
            yield bill.held_micro, bill.charged_micro, cost_micro
        if bill.closing_micro != CREDIT_MICRO - cost_micro:
            yield bill.closing_micro, CREDIT_MICRO, cost_micro

    def _database(self):
        """Yield what the database itself shows to be unsettled, asked without the hub."""
        with sqlite3.connect(self.hub.data / "fenglin.db") as conn:
            checks = {
                "integrity": "SELECT * FROM pragma_integrity_check WHERE integrity_check <> 'ok'",
                "live": "SELECT number, state FROM allocation WHERE state <> 'ended'",
                "use": "SELECT site, name FROM node WHERE cpu_used_milli OR memory_used_bytes",
                "holds": "SELECT key FROM ledger_entry WHERE key LIKE 'hold:%' AND"
                " (SELECT count(*) FROM ledger_entry AS e WHERE e.key IN"
                " ('post:' || substr(ledger_entry.key, 6), 'void:' || substr(ledger_entry.key, 6))"
                " ) <> 1",
                "usage": "SELECT number FROM allocation WHERE number NOT IN"
                " (SELECT allocation FROM usage)",
            }
            for what, query in checks.items():
                yield from ((what, row) for row in conn.execute(query))
        conn.close()


@pytest.fixture(scope="module")
def server():
    """Yield a PostgreSQL server, for all tests of a module."""
    if why := find_postgres():
        pytest.skip(why)
    with PostgresServer() as made:
        yield made


@pytest.fixture
def grown(campaign, server, checks):
    """Yield a campaign whose hub keeps its state in PostgreSQL, in a database of its own."""
    campaign.server = server
    campaign.use_database(server.database())
    campaign._database = lambda: checks(server, campaign.url.rpartition("/")[2])
    yield campaign
    # Before its server goes.
    campaign.hub.cleanup()
    server.drop(campaign.url)


@pytest.fixture
def cycles():
    """Return how often one campaign kills its hub."""
    return CYCLES


@pytest.fixture
def checks():
    """Return what yields what a PostgreSQL database itself shows to be unsettled."""

    def unsettled(server, name):
        return [(what, row) for what, query in POSTGRES.items() for row in server.sql(query, name)]

    return unsettled


@pytest.fixture(scope="session")
def forks():
    """Yield what starts hubs by fork, one for all tests of a worker."""
    with ForkServer() as made:
        yield made


@pytest.fixture
def campaign(tmp_path, request, forks):
    """Yield a campaign with a hub that is not started."""
    seed = sum(request.node.name.encode())
    made = Campaign(tmp_path, seed, forks)
    with made.hub:
        yield made
