"""Calls that change the outside: each after its intent is committed, each answer told as news."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import structlog
from msgspec.structs import replace
from structlog.contextvars import bound_contextvars

from fenglin.engine.news import StartAnswered, StartRefused, StartUnclear
from fenglin.engine.threads import working_for
from fenglin.errors import DriverError, FenglinError, KeyMissingError, NotFoundError
from fenglin.model.ids import attempt_key, job_id
from fenglin.model.reason import Reason
from fenglin.model.secret import redacted
from fenglin.model.wishes import wishes_of
from fenglin.ports.crashpoint import crash_point
from fenglin.ports.driver import STOP_GRACE_MS, StagedInput, StartOrder
from fenglin.quantities.taskset import EMPTY

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from fenglin.engine.news import News
    from fenglin.engine.pool import Pool
    from fenglin.ports.driver import Driver, StopsTasks
    from fenglin.ports.staging import Staging
    from fenglin.ports.store import AllocationRecord, JobRecord
    from fenglin.ports.vault import Vault
    from fenglin.quantities.taskset import TaskSet

START_DEADLINE_S = 30.0
STOP_DEADLINE_S = 30.0
STOP_AGAIN_S = 5.0
MOST_CALLS_PER_SITE = 16

_log = structlog.get_logger("fenglin.effects")


class Effects:
    """Runs driver calls side by side, each site with a cap of its own."""

    def __init__(
        self,
        pool: Pool,
        drivers: Mapping[str, Driver],
        staging: Staging,
        tell: Callable[[News], None],
        vault: Vault | None = None,
    ) -> None:
        """Take what the calls need, where their answers go, and who opens secrets."""
        self._pool = pool
        self._drivers = drivers
        self._staging = staging
        self._tell = tell
        self._vault = vault
        self._gates = {site: asyncio.Semaphore(MOST_CALLS_PER_SITE) for site in drivers}
        self._running: dict[tuple[str, int], asyncio.Task[None]] = {}
        # Allocation → tasks that are to end alone, and those of which the site has heard.
        self._unwanted: dict[int, TaskSet] = {}
        self._heard: dict[int, TaskSet] = {}

    def start(self, record: AllocationRecord, job: JobRecord) -> None:
        """Begin to start an attempt whose intent is committed, unless that is under way."""
        if self._unknown(record.site, record.number):
            return
        self._spawn("start", record.site, record.number, self._start(record, job))

    def stop(self, record: AllocationRecord) -> None:
        """Begin to stop an attempt whose end is wanted, unless that is under way."""
        if self._unknown(record.site, record.number):
            return
        self._spawn("stop", record.site, record.number, self._stop(record))

    def stop_tasks(self, record: AllocationRecord, tasks: TaskSet) -> None:
        """Begin to end some tasks of an attempt, unless the site has heard of all of them."""
        unheard = tasks - self._heard.get(record.number, EMPTY)
        if not unheard or self._unknown(record.site, record.number):
            return
        self._unwanted[record.number] = self._unwanted.get(record.number, EMPTY) | tasks
        self._spawn("stop_tasks", record.site, record.number, self._stop_tasks(record))

    def forget(self, site: str, key: str, allocation: int) -> None:
        """Let the site drop what an ended attempt left behind."""
        self._unwanted.pop(allocation, None)
        self._heard.pop(allocation, None)
        if self._unknown(site, allocation):
            return
        self._spawn("forget", site, allocation, self._forget(site, key))

    async def close(self) -> None:
        """Give up waiting; what was called may have happened, recovery looks it up."""
        for task in list(self._running.values()):
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    def _unknown(self, site: str, allocation: int) -> bool:
        """Return whether a site is no longer configured: its attempts wait until it is again."""
        if site in self._drivers:
            return False
        _log.warning("site_not_configured", site=site, allocation=allocation)
        return True

    def _spawn(self, what: str, site: str, number: int, call: Coroutine[None, None, None]) -> None:
        place = (what, number)
        if place in self._running:
            call.close()
            return
        with working_for(site), bound_contextvars(**self._told(number)):
            task = self._running[place] = asyncio.create_task(call)
        task.add_done_callback(lambda _: self._running.pop(place, None))

    def _told(self, number: int) -> dict[str, str]:
        """Return what each line of the log about a live attempt says."""
        record = self._pool.allocations.get(number)
        if record is None:
            return {}
        key = attempt_key(self._pool.hub, record.number, record.attempt)
        return {"job": job_id(record.job), "attempt": key}

    async def _start(self, record: AllocationRecord, job: JobRecord) -> None:
        number = record.number
        try:
            order = self.order(record, job)
        except (FenglinError, OSError) as error:
            # Nothing has left this machine yet.
            self._tell(StartRefused(number, Reason.STAGING_FAILED, str(error)))
            return
        try:
            order = await self._with_secrets(order, job)
        except KeyMissingError as error:
            self._tell(StartRefused(number, Reason.SECRET_KEY_MISSING, error.what, error.key))
            return
        except (FenglinError, OSError) as error:
            _log.error("secret_unavailable", allocation=number, error=str(error))
            # Where the hub keeps its keys is for its operators to know.
            why = error.what if isinstance(error, FenglinError) else "the keys cannot be read"
            self._tell(StartRefused(number, Reason.SECRET_UNAVAILABLE, why))
            return
        # A driver's words may quote what it was given.
        secrets = [secret for _, secret in order.secrets]
        try:
            async with self._gates[record.site], asyncio.timeout(START_DEADLINE_S):
                await self._drivers[record.site].start(order)
        except TimeoutError:
            self._tell(StartUnclear(number, "no answer in time"))
        except FenglinError as error:
            if isinstance(error, DriverError) and error.effect_unknown:
                self._tell(StartUnclear(number, redacted(str(error), secrets)))
            else:
                why = redacted(str(error), secrets)
                self._tell(StartRefused(number, _reason(error), why))
        except Exception as error:  # noqa: BLE001 - a driver's fault must not end the loop
            why = redacted(f"{type(error).__name__}: {error}", secrets)
            # A traceback holds the same words, and those of what led to it.
            _log.error(
                "driver_fault",
                site=record.site,
                allocation=number,
                exc_info=not secrets,
                why=why,
            )
            self._tell(StartUnclear(number, why))
        else:
            crash_point("c5")
            self._tell(StartAnswered(number))

    async def _with_secrets(self, order: StartOrder, job: JobRecord) -> StartOrder:
        """Return the order with the secrets of its job, which stand in memory only.

        Raises:
            FenglinError: one is gone, or cannot be opened; no fault of the site.
        """
        wanted = job.spec.secrets
        if not wanted:
            return order
        if self._vault is None:
            raise NotFoundError("this hub keeps no secrets")
        return replace(order, secrets=await self._vault.open(job.spec.account, wanted))

    async def _stop(self, record: AllocationRecord) -> None:
        key = attempt_key(self._pool.hub, record.number, record.attempt)
        # The wish is committed, so this goes on until the site has heard it.
        while record.number in self._pool.allocations:
            try:
                async with self._gates[record.site], asyncio.timeout(STOP_DEADLINE_S):
                    await self._drivers[record.site].stop(key, STOP_GRACE_MS)
            except Exception as error:  # noqa: BLE001 - a driver's fault must not end the wish
                _log.warning("stop_failed", site=record.site, key=key, error=_why(error))
                await asyncio.sleep(STOP_AGAIN_S)
            else:
                crash_point("c9")
                return

    async def _stop_tasks(self, record: AllocationRecord) -> None:
        number = record.number
        key = attempt_key(self._pool.hub, number, record.attempt)
        driver = cast("StopsTasks", self._drivers[record.site])
        # More may be asked for while the site is told of some.
        while tasks := self._unwanted.get(number, EMPTY) - self._heard.get(number, EMPTY):
            if number not in self._pool.allocations:
                return
            try:
                async with self._gates[record.site], asyncio.timeout(STOP_DEADLINE_S):
                    await driver.stop_tasks(key, tasks, STOP_GRACE_MS)
            except Exception as error:  # noqa: BLE001 - a driver's fault must not end the wish
                _log.warning("stop_tasks_failed", site=record.site, key=key, error=_why(error))
                await asyncio.sleep(STOP_AGAIN_S)
            else:
                crash_point("c9")
                if number in self._unwanted:
                    self._heard[number] = self._heard.get(number, EMPTY) | tasks

    async def _forget(self, site: str, key: str) -> None:
        try:
            async with self._gates[site], asyncio.timeout(STOP_DEADLINE_S):
                await self._drivers[site].forget(key)
        except Exception as error:  # noqa: BLE001 - leftovers are swept up at the next start
            _log.warning("forget_failed", site=site, key=key, error=_why(error))

    def order(self, record: AllocationRecord, job: JobRecord) -> StartOrder:
        """Return the order for an attempt.

        Raises:
            NotFoundError: an uploaded file is gone; no fault of the site.
        """
        spec = job.spec
        return StartOrder(
            key=attempt_key(self._pool.hub, record.number, record.attempt),
            epoch=self._pool.epoch,
            hub=self._pool.hub,
            job=job_id(job.number),
            job_name=spec.name,
            site=record.site,
            flavor=record.flavor,
            tasks=str(record.tasks),
            task_count=spec.tasks,
            tries=tuple(
                (task, tries + 1) for task, tries in job.tries.items() if task in record.tasks
            ),
            shares=record.shares,
            nodes=record.nodes,
            resources=record.resources,
            command=spec.command,
            script=spec.script,
            env=spec.env,
            workdir=spec.workdir,
            inputs=self._inputs(job),
            artifacts=spec.artifacts,
            artifacts_dir=str(self._staging.artifacts_dir(job_id(job.number))),
            timeout_ms=spec.timeout_ms,
            image=spec.image,
            setup=spec.setup,
            licences=spec.licences,
            account=spec.account,
            wishes=wishes_of(spec),
        )

    def _inputs(self, job: JobRecord) -> tuple[StagedInput, ...]:
        inputs: list[StagedInput] = []
        for file in job.spec.files:
            if file.artifacts_of:
                source = self._staging.artifacts_dir(file.artifacts_of)
                source.mkdir(parents=True, exist_ok=True)
            else:
                found = self._staging.blob_path(file.sha256)
                if found is None:
                    raise NotFoundError(
                        f"the uploaded file for {file.target} is gone",
                        where=file.sha256,
                        hint="submit the job again",
                    )
                source = found
            inputs.append(StagedInput(file.target, str(source), file.executable))
        return tuple(inputs)


def _reason(error: FenglinError) -> Reason:
    """Return what a refusal amounts to; a word that is none of ours says nothing."""
    named = error.reason if isinstance(error, DriverError) else ""
    return Reason(named) if named in set(Reason) else Reason.START_FAILED


def _why(error: Exception) -> str:
    """Return what an error says, also when it says nothing."""
    return str(error) or type(error).__name__
