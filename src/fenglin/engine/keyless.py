"""Jobs whose secrets cannot be opened, since the hub's keys lack theirs: they wait for the key.

A key file that is not mounted, not readable or half edited is the operators' to mend, and no fault
of any job: a start that it stops costs no try. Which jobs wait is found out by a start, so after a
restart of the hub it is found out again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import structlog

from fenglin.errors import FenglinError, KeyMissingError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from fenglin.engine.pool import Pool
    from fenglin.model.job import JobSpec
    from fenglin.ports.store import JobRecord
    from fenglin.ports.vault import Vault
    from fenglin.snapshot.builder import JobRow

# A job starts at most this long after its key is there, and a moment for the plan.
LOOK_S = 2.0

_log = structlog.get_logger("fenglin.keyless")


class Wanted(NamedTuple):
    """The secrets that some jobs are given: they are opened together or not at all.

    Attributes:
        account: Whose they are.
        secrets: (variable, name) of each.
    """

    account: str
    secrets: tuple[tuple[str, str], ...]


class Lack(NamedTuple):
    """Why secrets cannot be opened.

    Attributes:
        key: Id of the key that is missing.
        why: In words that every member of the account may read.
    """

    key: str
    why: str


class Keyless:
    """Who waits for a key; nothing of it shows to the planner."""

    def __init__(self) -> None:
        """Nobody waits."""
        self._lacks: dict[Wanted, Lack] = {}
        self.withheld: dict[int, Lack] = {}
        """Jobs that the newest picture did not show."""

    def put_off(self, spec: JobSpec, lack: Lack) -> None:
        """Let all jobs with these secrets wait."""
        wanted = _wanted(spec)
        if self._lacks.get(wanted) != lack:
            _log.error("secret_key_missing", key=lack.key, why=lack.why)
        self._lacks[wanted] = lack

    def shows_all(self) -> bool:
        """Return whether no key is missing, in which case no job is withheld any more."""
        if self._lacks:
            return False
        self.withheld = {}
        return True

    def shown(self, rows: Sequence[JobRow], jobs: Mapping[int, JobRecord]) -> Sequence[JobRow]:
        """Return the rows to plan with: none whose secrets cannot be opened."""
        if self.shows_all():
            return rows
        shown, withheld = [], {}
        for row in rows:
            lack = self._lacks.get(_wanted(jobs[row.number].spec)) if row.number in jobs else None
            if lack is None:
                shown.append(row)
            else:
                withheld[row.number] = lack
        self.withheld = withheld
        return shown

    def waits(self) -> dict[str, int]:
        """Return for how many jobs each missing key is waited for, by key."""
        keys = [lack.key for lack in self.withheld.values()]
        return {key: keys.count(key) for key in sorted(set(keys))}

    async def look(self, vault: Vault, jobs: Iterable[JobRecord]) -> bool:
        """Let those go whose secrets can be opened now, or cannot for another reason.

        Args:
            vault: Opens secrets.
            jobs: All that have not ended; for others nothing is waited.

        Returns:
            Whether somebody was let go.
        """
        if not self._lacks:
            return False
        alive = {_wanted(job.spec) for job in jobs if job.pending}
        before = dict(self._lacks)
        for wanted in before:
            if wanted not in alive or not await self._lacking(vault, wanted):
                del self._lacks[wanted]
        return self._lacks.keys() != before.keys()

    async def _lacking(self, vault: Vault, wanted: Wanted) -> bool:
        try:
            await vault.open(*wanted)
        except KeyMissingError as error:
            self._lacks[wanted] = Lack(error.key, error.what)
        except UnavailableError:
            # The store cannot be asked; nothing is known anew.
            return True
        except (FenglinError, OSError):
            # The next start says what is wrong, and counts.
            return False
        else:
            return False
        return True


async def watch(pool: Pool, vault: Vault, replan: Callable[[], None]) -> None:
    """Look for keys again and again, as long as jobs wait for some; never returns."""
    while True:
        await asyncio.sleep(LOOK_S)
        if await pool.keyless.look(vault, list(pool.jobs.values())):
            replan()


def _wanted(spec: JobSpec) -> Wanted:
    return Wanted(spec.account, spec.secrets)
