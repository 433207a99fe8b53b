"""The judge: what must hold, asked of the rows and of the sites themselves, never of the engine.

After each commit the rows that it touched are read and judged; when a payload begins, what else
runs is looked at; `closing.py` holds what is asked when all has come to rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from fenglin.ledger.posting import CURRENCY
from fenglin.model.hours import purse
from fenglin.model.ids import attempt_key, job_id, parse_attempt_key, parse_job_id
from fenglin.model.job import AfterCondition
from fenglin.ports.driver import Presence
from fenglin.quantities.period import parse_period, period_of
from fenglin.quantities.taskset import TaskSet
from fenglin.storage.rows import decode_spec
from fenglin.testing.dst.books import OFFSET_MIN
from fenglin.testing.dst.rules import TRIGGERS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fenglin.ports.driver import Observation
    from fenglin.testing.dst.disk import Disk
    from fenglin.testing.dst.site import Run
    from fenglin.testing.dst.trace import Trace
    from fenglin.testing.dst.virtual import Process

# Use of nodes is counted anew after so many commits.
RECOUNT_EVERY = 64
# The database's pages are searched for secrets after so many: what rows held still stands there.
SEARCH_EVERY = 256
ABSENT_FOR_S = 300.0
# A committed start reaches a site that is well within this time, whatever other sites do.
REACHES_WITHIN_S = 5.0
SITE_FAULT_TRIES = 5
TERMINAL = ("succeeded", "failed", "cancelled")


class ViolationError(Exception):
    """A promise was broken.

    Attributes:
        rule: Its name in the contract, such as `J3`.
    """

    def __init__(self, rule: str, what: str) -> None:
        """Take the rule and what broke it."""
        super().__init__(f"{rule}: {what}")
        self.rule = rule
        self.what = what


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the judge has folded of a ledger up to a moment."""

    balances: dict[tuple[str, str], int]
    open_holds: set[str]
    charged_micro: dict[tuple[str, int], int]
    seq: int
    closed_ms: int


class Judge:
    """See the module.

    Attributes:
        broken: The first violation; None while there is none.
        checks: How often each rule was looked at.
        restores: How often an old backup was put in the database's place.
        orphans: Attempts that sites held then and the restored database did not know.
        specs: What stands in rows that somebody has torn.
        ill: Jobs that may be set aside.
        closed_ms: End of the last month that is closed; 0 before.
        search: Looks through the database for what must not stand there.
        on_end: Hears of each attempt that has ended, why, and by which hub.
    """

    def __init__(self, disk: Disk, hub: str, now_s: Callable[[], float], trace: Trace) -> None:
        """Set the triggers."""
        self.broken: ViolationError | None = None
        self.checks: dict[str, int] = {}
        self.credit_micro: dict[str, int] = {}
        self.hard_micro: dict[str, int] = {}
        self.charged_micro: dict[tuple[str, int], int] = {}
        self.closed_ms = 0
        self.specs: dict[int, bytes] = {}
        self.ill: set[int] = set()
        self.balances: dict[tuple[str, str], int] = {}
        self.open_holds: set[str] = set()
        self.restores = 0
        self.orphans: set[str] = set()
        self._epoch = 0
        self._disk = disk
        self._conn = disk.conn
        self._hub = hub
        self._now_s = now_s
        self._trace = trace
        self._seq = 0
        self._commits = 0
        self._running: dict[tuple[str, int], Run] = {}
        self._absent_since_s: dict[str, float] = {}
        self._swept: dict[str, set[str]] = {}
        self._committed: dict[str, tuple[float, str]] = {}
        self.sites: Sequence[str] = ()
        self.epoch_of: Callable[[str], int] = lambda _hub: 0
        self.on_broken: Callable[[], None] = lambda: None
        self.on_close: Callable[[], None] = lambda: None
        self.search: Callable[[str], None] = lambda _when: None
        self.on_end: Callable[[int, str, str], None] = lambda _number, _reason, _hub: None
        self.is_well: Callable[[str], bool] = lambda _site: True
        for statement in TRIGGERS:
            self._conn.execute(statement)

    def complain(self, rule: str, what: str) -> None:
        """Note a violation; the first one ends the run."""
        if self.broken is None:
            self.broken = ViolationError(rule, what)
            self._trace.note("JUDGE", str(self.broken))
            self.on_broken()

    def must(self, rule: str, good: object, what: str | Callable[[], str]) -> None:
        """Note that a rule was looked at, and complain when it does not hold.

        Args:
            rule: Its name.
            good: Whether it holds.
            what: Has broken it, or who can say so where the words cost more than the look.
        """
        self.checks[rule] = self.checks.get(rule, 0) + 1
        if not good:
            self.complain(rule, what if isinstance(what, str) else what())

    def remember(self) -> Remembered:
        """Return what is known of the database, to go with a backup of it."""
        charged = dict(self.charged_micro)
        return Remembered(
            dict(self.balances), set(self.open_holds), charged, self._seq, self.closed_ms
        )

    def go_back(self, known: Remembered, orphans: set[str]) -> None:
        """Judge from now on a database that was restored; it knows nothing of `orphans`."""
        self.balances, self.open_holds = dict(known.balances), set(known.open_holds)
        self.charged_micro = dict(known.charged_micro)
        self._seq, self.closed_ms = known.seq, known.closed_ms
        self._conn.execute("DELETE FROM dst_former")
        self._committed.clear()
        self.orphans |= orphans
        self.restores += 1

    # --- after each commit ----------------------------------------------------------------

    def committed(self, process: Process) -> None:
        """Judge what a commit has changed."""
        conn = self._conn
        self._commits += 1
        leads = self._disk.epoch
        for rule, what in conn.execute("SELECT rule, what FROM dst_wrong").fetchall():
            self.complain(rule, what)
        touched = conn.execute("SELECT kind, number FROM dst_touched").fetchall()
        if touched:
            conn.execute("DELETE FROM dst_touched")
            for rule in ("J5", "A1", "F1"):
                self.checks[rule] = self.checks.get(rule, 0) + len(touched)
            epoch = self.epoch_of(process.name)
            self.must(
                "F1",
                not epoch or epoch == leads,
                lambda: f"{process.name} wrote under epoch {epoch}, {leads} leads: {touched}",
            )
        self.must("F3", leads >= self._epoch, f"epoch {leads} came before")
        self._epoch = leads
        jobs = {number for kind, number in touched if kind == "job"}
        for kind, number in touched:
            if kind == "aside":
                self._aside(number)
            elif kind != "job":
                jobs.add(self._allocation(number, process, new=kind == "new"))
        for number in sorted(jobs):
            self._job(number)
        self._entries()
        if self._commits % RECOUNT_EVERY == 0:
            self.recount()
        if self._commits % SEARCH_EVERY == 0:
            self.search(f"after commit {self._commits}")
        self._trace.note(process.name, f"commit {self._disk.commits}: {touched} to {self._seq}")

    def _aside(self, job: int) -> None:
        """Judge that a job was set aside for what it has, and says so."""
        row = self._conn.execute(
            "SELECT stage, why FROM quarantine WHERE job = ?", (job,)
        ).fetchone()
        good = row is None or (job in self.ill and row[0] and row[1])
        self.must("J9", good, f"j{job} was set aside, and nothing is wrong with it: {row}")

    def _allocation(self, number: int, process: Process, *, new: bool) -> int:
        """Judge one allocation; return its job."""
        row = self._conn.execute(
            "SELECT job, site, attempt, state, reason, nodes, shares FROM allocation"
            " WHERE number = ?",
            (number,),
        ).fetchone()
        job, site, attempt, state, reason, nodes, shares = row
        key = attempt_key(self._hub, number, attempt)
        if new:
            self._committed[key] = (self._now_s(), process.name)
            self._parents(job, number)
            slots = sum(part["slots"] for part in msgspec.json.decode(shares))
            self.must("J10", slots % nodes == 0, f"a{number} holds {slots} slots of {nodes}-gangs")
        if state == "ended":
            self.on_end(number, reason, process.name)
        if state == "ended" and reason == "site_lost":
            since_s = self._absent_since_s.get(key)
            waited_s = self._now_s() - since_s if since_s is not None else 0.0
            self.must(
                "D3",
                waited_s >= ABSENT_FOR_S - 1,
                f"{key} was given up {waited_s:.1f} s after {site} first lacked it",
            )
        return int(job)

    def _parents(self, job: int, number: int) -> None:
        """Judge that whatever a job waits for has happened when its tasks are given a place."""
        spec = decode_spec(self._spec(job))
        for need in spec.after:
            parent = self._conn.execute(
                "SELECT state, succeeded_set FROM job WHERE number = ?", (parse_job_id(need.job),)
            ).fetchone()
            if need.per_task:
                if need.condition is not AfterCondition.OK:
                    continue
                tasks = self._conn.execute(
                    "SELECT tasks_set FROM allocation WHERE number = ?", (number,)
                ).fetchone()[0]
                met = not TaskSet.parse(tasks) - TaskSet.parse(parent[1])
            else:
                met = (
                    parent[0]
                    in {
                        AfterCondition.OK: ("succeeded",),
                        AfterCondition.ANY: TERMINAL,
                        AfterCondition.FAIL: ("failed",),
                    }[need.condition]
                )
            self.must("J10", met, f"a{number} of j{job} starts while {need.job} is {parent[0]}")

    def _job(self, number: int) -> None:
        """Judge that each task of a job is in exactly one place, and that tries are limited."""
        row = self._conn.execute(
            "SELECT tasks, state, pending_set, succeeded_set, failed_set, cancelled_set"
            " FROM job WHERE number = ?",
            (number,),
        ).fetchone()
        parts = [TaskSet.parse(text) for text in row[2:]]
        live = 0
        for tasks, good, bad in self._conn.execute(
            "SELECT tasks_set, succeeded_set, failed_set FROM allocation"
            " WHERE job = ? AND state <> 'ended'",
            (number,),
        ):
            live += 1
            parts.append(TaskSet.parse(tasks) - TaskSet.parse(good) - TaskSet.parse(bad))
        union = TaskSet()
        for part in parts:
            union |= part
        whole = len(union) == row[0] == sum(len(part) for part in parts)
        self.must("J3", whole, lambda: f"tasks of j{number} are lost or doubled: {row} {parts}")
        self.must("J5", not live or row[1] not in TERMINAL, f"j{number} is {row[1]} and lives")
        most = self._conn.execute(
            "SELECT max(tries) FROM task_try WHERE job = ?", (number,)
        ).fetchone()[0]
        if most:
            limit = max(decode_spec(self._spec(number)).retries.limit, SITE_FAULT_TRIES)
            self.must("J8", most <= limit + 1, f"a task of j{number} was tried {most} times")

    def _spec(self, job: int) -> bytes:
        if job in self.specs:
            return self.specs[job]
        row = self._conn.execute("SELECT spec FROM job WHERE number = ?", (job,)).fetchone()
        return bytes(row[0])

    def _entries(self) -> None:
        """Fold what was entered into the ledger, in our own way."""
        for seq, kind, attempt, key, time_ms in self._conn.execute(
            "SELECT seq, kind, attempt, key, time_ms FROM ledger_entry WHERE seq > ? ORDER BY seq",
            (self._seq,),
        ).fetchall():
            self.must("L3", seq == self._seq + 1, f"entry {seq} follows {self._seq}")
            self._seq = seq
            if self.closed_ms:
                good = time_ms >= self.closed_ms
                self.must("L10", good, f"entry {seq} enters a closed month")
            total = 0
            for account, commodity, amount in self._conn.execute(
                "SELECT account, commodity, amount_micro FROM ledger_leg WHERE seq = ?", (seq,)
            ):
                total += amount
                place = (account, commodity)
                self.balances[place] = self.balances.get(place, 0) + amount
                if account.startswith("tenant:"):
                    self._tenant(kind, attempt, place, amount, time_ms)
                elif account.startswith("voucher:"):
                    good = self.balances[place] >= 0
                    self.must("V1", good, f"entry {seq} leaves {account} at {self.balances[place]}")
            self.must("L1", total == 0, f"entry {seq} sums to {total}")
            if kind == "hold":
                self.must("L7", attempt not in self.open_holds, f"{attempt} is held twice")
                self.open_holds.add(attempt)
            elif kind in ("post", "void"):
                self.must("L7", attempt in self.open_holds, f"{attempt} is resolved twice")
                self.open_holds.discard(attempt)
            elif kind == "close":
                self.closed_ms = parse_period(key.partition(":")[2], OFFSET_MIN).to_ms
                self.on_close()

    def _tenant(
        self, kind: str, attempt: str, place: tuple[str, str], amount: int, time_ms: int
    ) -> None:
        """Judge one leg of a tenant: a hold within its means and budget (A4)."""
        account, commodity = place
        name = account.split(":")[1]
        if commodity != CURRENCY:
            name = purse(name, commodity)
        if kind in ("post", "adjust"):
            month = (name, period_of(time_ms, OFFSET_MIN).from_ms)
            self.charged_micro[month] = self.charged_micro.get(month, 0) - amount
        if kind != "hold" or attempt.startswith("metered:"):
            # What is charged by lines was used: nobody asks for means.
            return
        if account.endswith(":available"):
            left = self.balances[place] + self.credit_micro.get(name, 0)
            self.must("A4", left >= 0, f"hold {attempt} leaves {account} at {left}")
        elif name in self.hard_micro:
            month_ms = period_of(time_ms, OFFSET_MIN).from_ms
            used = self.balances[place] + sum(
                charged
                for (whose, in_ms), charged in self.charged_micro.items()
                if whose == name and in_ms >= month_ms
            )
            hard = self.hard_micro[name]
            self.must("A4", used <= hard, f"hold {attempt} takes {name} to {used} of {hard}")

    def recount(self) -> None:
        """Count the use of every node from the live allocations (A3)."""
        used: dict[tuple[str, str], int] = {}
        for site, shares, resources in self._conn.execute(
            "SELECT site, shares, resources FROM allocation WHERE state <> 'ended'"
        ):
            cpu_milli = msgspec.json.decode(resources).get("cpu_milli", 0)
            for part in msgspec.json.decode(shares):
                place = (site, part["node"])
                used[place] = used.get(place, 0) + part["slots"] * cpu_milli
        for site, name, cpu_milli in self._conn.execute(
            "SELECT site, name, cpu_used_milli FROM node"
        ):
            counted = used.get((site, name), 0)
            self.must(
                "A3",
                counted == cpu_milli,
                f"{site}/{name} says {cpu_milli} milli-cores are used, {counted} are",
            )

    # --- at the sites ---------------------------------------------------------------------

    def began(self, run: Run, begun: int) -> None:
        """Judge the begin of a payload."""
        place = (run.job, run.task)
        self.must("D1", begun == 1, f"{run.key} was begun {begun} times")
        other = self._running.get(place)
        alone = other is None or self._unknowable(other) or self._unknowable(run)
        self.must("J3", alone, f"{place} runs as {run.key} and as {other and other.key}")
        self._running[place] = run
        if run.key in self.orphans or (self.restores and not self._stored(run.key)):
            return
        row = self._conn.execute(
            "SELECT state, succeeded_set FROM job WHERE number = ?", (parse_job_id(run.job),)
        ).fetchone()
        self.must("J1", row is not None, f"{run.key} runs for a job that is not stored")
        if row is not None:
            self.must("J5", row[0] not in TERMINAL, f"{place} begins, the job is {row[0]}")
            again = run.task in TaskSet.parse(row[1])
            self.must("J3", not again, f"{place} begins as {run.key} and has succeeded before")

    def _unknowable(self, run: Run) -> bool:
        """Return whether no restored hub can know of it: a hold waits for sites that answer."""
        return run.key in self.orphans and not self.is_well(run.site)

    def _stored(self, key: str) -> bool:
        number = parse_attempt_key(key)[1]
        found = self._conn.execute("SELECT 1 FROM allocation WHERE number = ?", (number,))
        return found.fetchone() is not None

    def ended(self, run: Run) -> None:
        """Take note of a payload's end."""
        if self._running.get((run.job, run.task)) is run:
            del self._running[run.job, run.task]

    def running_of(self, job: int) -> list[Run]:
        """Return what runs of a job at any site."""
        return [run for (name, _), run in self._running.items() if name == job_id(job)]

    def called(self, hub: str, site: str, call: str, key: str) -> None:
        """Judge a call that a hub makes."""
        if call == "keys":
            self._swept.setdefault(hub, set()).add(site)
        if call != "start":
            return
        missing = [one for one in self.sites if one not in self._swept.get(hub, ())]
        self.must("F2", not missing, f"{hub} starts {key} before it has listed {missing}")
        at_s, by = self._committed.pop(key, (0.0, ""))
        if by == hub and self.is_well(site):
            late_s = self._now_s() - at_s
            self.must(
                "D4",
                late_s <= REACHES_WITHIN_S,
                f"{key} was called {late_s:.1f} s after its commit",
            )

    def seen(self, _site: str, observations: Sequence[Observation]) -> None:
        """Take note of what a site has told a hub."""
        now_s = self._now_s()
        for one in observations:
            if one.presence is Presence.ABSENT:
                self._absent_since_s.setdefault(one.key, now_s)
            elif one.presence is not Presence.UNKNOWN:
                self._absent_since_s.pop(one.key, None)
