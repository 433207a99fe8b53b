"""Three hubs over a PostgreSQL primary with a standby: kill the leader, then the primary.

Run by `make demo-ha`, on this one machine, in a folder that is removed at the end. Shows how
long nobody could write, and that nothing acknowledged was lost or done twice.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from fenglin.client import Client, Retry
from fenglin.client.requests import Filter
from fenglin.client.transport import Transport
from fenglin.errors import FenglinError, UnavailableError
from fenglin.testing import HubProcess, LocalSite, TruthDir, hub_file, processes
from fenglin.testing.servers.postgres import find_postgres
from fenglin.testing.servers.postgres_pair import PostgresPair

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

T = TypeVar("T")
HUBS = ("one", "two", "three")
SITES = [LocalSite("ai", cpu=2), LocalSite("general", cpu=4)]
JOBS_EACH = 5
ANSWER_WITHIN_S = 60.0
DONE_WITHIN_S = 120.0
LOOK_S = 0.05
_LEADER = "SELECT address FROM leader_lease WHERE expires >= clock_timestamp()"


class Hubs:
    """Three hubs with one database and one shared folder; started again whenever one ends.

    Attributes:
        made: The hubs.
    """

    def __init__(self, folder: Path, pair: PostgresPair) -> None:
        """Write their configuration; start nothing yet."""
        self._folder = folder
        self._pair = pair
        self._name = pair.database()
        self._shared = folder / "shared"
        block = f'database = "{pair.url(self._name)}"\nshared = "{self._shared}"\nlease = "5s"'
        config = hub_file(SITES, accounts={"default": "1000 CNY"}, hub=block)
        self.made = [HubProcess(folder / name, config) for name in HUBS]

    def __enter__(self) -> Self:
        """Start them."""
        self.watch()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End them, and whatever their sites still run."""
        for hub in self.made:
            hub.cleanup()
        processes.kill(self._folder)

    def watch(self) -> None:
        """Start those that do not run, as `Restart=always` would."""
        for hub in self.made:
            if not hub.alive:
                hub.start(ready=False)

    def leader(self) -> HubProcess:
        """Return the hub that holds the lease."""
        end_s = time.monotonic() + ANSWER_WITHIN_S
        while time.monotonic() < end_s:
            rows = self._pair.primary.sql(_LEADER, self._name)
            for hub in self.made:
                if rows and hub.url == rows[0][0]:
                    return hub
            time.sleep(LOOK_S)
        raise UnavailableError("no hub leads", hint="see the log above")

    def ask(self, work: Callable[[Client], T]) -> T:
        """Ask one hub after the other until one has answered."""
        end_s = time.monotonic() + ANSWER_WITHIN_S
        while True:
            for hub in self.made:
                if not (hub.alive and hub.url):
                    continue
                with contextlib.suppress(UnavailableError, FileNotFoundError):
                    token = (self._shared / "admin.token").read_text().strip()
                    with Client(Transport(hub.url, token, retry=Retry(tries=1))) as client:
                        return work(client)
            if time.monotonic() > end_s:
                raise UnavailableError("no hub answers", hint=self.made[0].log())
            time.sleep(LOOK_S)


class Wishes:
    """What was asked for, each under a key of its own, and the id that it got.

    Attributes:
        ids: Of the jobs whose submission was acknowledged, by key.
    """

    def __init__(self, hubs: Hubs, truth: TruthDir) -> None:
        """Nothing was asked for yet."""
        self._hubs = hubs
        self._truth = truth
        self.ids: dict[str, str] = {}

    def more(self) -> None:
        """Submit some jobs, and leave them to run."""
        for _ in range(JOBS_EACH):
            key = f"job-{len(self.ids)}"
            document = self._truth.job(key, tasks=2, sleep_s=1)
            self.ids[key] = self._hubs.ask(lambda c: c.submit(document, key=key).id)  # noqa: B023

    def wait(self) -> list[str]:
        """Wait for all of them; return what is wrong."""
        end_s = time.monotonic() + DONE_WITHIN_S
        states: dict[str, str] = {}
        while time.monotonic() < end_s and set(states.values()) != {"succeeded"}:
            self._hubs.watch()
            jobs = self._hubs.ask(lambda client: client.jobs(Filter()).items)
            states = {job.id: job.state for job in jobs}
            time.sleep(LOOK_S)
        wrong = [f"{key} is lost" for key, one in self.ids.items() if one not in states]
        wrong += [f"{one} has {state}" for one, state in states.items() if state != "succeeded"]
        wrong += [f"{one} was never asked for" for one in set(states) - set(self.ids.values())]
        return wrong + [f"{run.job} ran twice" for run in self._truth.runs() if run.number > 1]


def main() -> int:
    """Show both kinds of takeover; return the exit status."""
    if why := find_postgres(install=False):
        sys.stderr.write(f"error: {why}\n")
        return 1
    with tempfile.TemporaryDirectory(prefix="fenglin-ha-") as name:
        try:
            return show(Path(name))
        except FenglinError as error:
            sys.stderr.write(f"error: {error}\n")
            return error.exit_code
        except KeyboardInterrupt:
            sys.stderr.write("\ninterrupted; everything is stopped and removed\n")
            return 130


def show(folder: Path) -> int:
    """Start everything, kill the leader, kill the primary, and count."""
    with PostgresPair() as pair, Hubs(folder, pair) as hubs:
        wishes = Wishes(hubs, TruthDir(folder / "truth"))
        print(f"PostgreSQL on port {pair.primary.port}, its standby keeps every commit too")
        wishes.more()
        leader = hubs.leader()
        print(f"{len(HUBS)} hubs; hub {leader.folder.name} leads; {JOBS_EACH} jobs submitted")

        leader.kill()
        began_s = time.monotonic()
        wishes.more()
        taken_s = time.monotonic() - began_s
        first = hubs.leader()
        print(f"kill -9 of hub {leader.folder.name}: hub {first.folder.name} leads, and took")
        print(f"  {JOBS_EACH} more jobs within {taken_s:.1f} s of the kill")
        hubs.watch()

        began_s = time.monotonic()
        pair.fail_over()
        print(f"kill -9 of the primary: the standby on port {pair.primary.port} is promoted")
        wishes.more()
        taken_s = time.monotonic() - began_s
        print(
            f"  hub {hubs.leader().folder.name} took {JOBS_EACH} more jobs within {taken_s:.1f} s"
        )

        wrong = wishes.wait()
        check = hubs.ask(lambda client: client.ledger_verify())
        wrong += [] if check.ok else [f"the ledger is damaged: {check.problem}"]
        print("\n".join(wrong) or f"{len(wishes.ids)} of {len(wishes.ids)} jobs ran, each once;")
        if not wrong:
            print(f"  the ledger's {check.entries} entries are verified")
        return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
