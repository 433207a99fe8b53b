"""The Ray driver itself: what the hub calls."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import time
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from msgspec.structs import replace

from fenglin.drivers.ray import inventory
from fenglin.drivers.ray.listing import HUB, JOB, NAME, SITE, TARGET, VOID, Lister
from fenglin.drivers.ray.observer import Observer
from fenglin.drivers.ray.packages import code_package, input_package, with_inputs
from fenglin.drivers.ray.rest import RayApi, RefusedError
from fenglin.drivers.ray.spool import Spool, checked
from fenglin.errors import DriverError
from fenglin.ports.crashpoint import crash_point
from fenglin.ports.driver import LogChunk
from fenglin.runner.host.journal import JOURNAL
from fenglin.runner.host.order import indices
from fenglin.runner.orders import order_lines
from fenglin.runner.records import total

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fenglin.drivers.ray.packages import Package
    from fenglin.drivers.ray.rest import Job, RayNode
    from fenglin.drivers.ray.settings import RaySettings
    from fenglin.model.allocation import Usage
    from fenglin.ports.driver import Capability, DriverContext, Observation, SiteReport, StartOrder

P = ParamSpec("P")
T = TypeVar("T")
READ_LIMIT_BYTES = 2**20
NODES_FOR_S = 60.0
# After the grace Ray itself kills what is left, in case that we do not.
DEAF_S = 15
OVER_WITHIN_S = 10.0
POLL_S = 0.1
DELETE_AFTER_S = 5.0


class RayDriver:
    """One Ray cluster. See the package's docstring for how it works."""

    kind = "ray"

    def __init__(
        self, context: DriverContext, capabilities: frozenset[Capability], settings: RaySettings
    ) -> None:
        """Open the hub's own folder; the cluster is not asked."""
        self.capabilities = capabilities
        self._context = context
        self._settings = settings
        self._where = f"site.{context.site}"
        self._spool = Spool(context.directory)
        self._api = RayApi(settings.address, settings.token_file, settings.ca_file, self._where)
        self._lister = Lister(self._api, context.hub, context.site)
        self._observer = Observer(self._api, self._lister, self._spool, settings, context.wake)
        self._nodes: Sequence[RayNode] = ()
        self._nodes_s = float("-inf")
        self._deletions: dict[str, asyncio.Task[None]] = {}

    async def inventory(self) -> SiteReport:
        """Return how many places are usable, and the cluster's life as generation."""
        self._nodes = await self._api.nodes()
        self._nodes_s = time.monotonic()
        session = await self._api.session()
        return inventory.report(self._settings, self._nodes, session)

    async def start(self, order: StartOrder) -> None:
        """Submit the attempt as one job whose id is its key.

        Raises:
            DriverError: refused, or unclear.
        """
        key = checked(order.key, self._where)
        self._check(order)
        request = await self._request(order)
        session = await self._api.session()
        fresh = await self._safely(self._begin, key, session)
        if fresh is None:
            return  # it ended with a former life of the cluster
        try:
            for package in request.packages:
                if not await self._api.has_package(package.name):
                    await self._api.put_package(package.name, package.data)
            await self._api.submit(request.body)
        except RefusedError as error:
            if error.exists:
                await self._found(key)
            else:
                if fresh and not error.effect_unknown:
                    await self._safely(self._spool.undo, key)
                raise
        crash_point("c4")
        self._observer.follow(key)

    async def observe(self, cursors: Mapping[str, str]) -> Sequence[Observation]:
        """Return one observation per key, by one listing of all jobs."""
        if not cursors:
            return []
        seen = await self._observer.observe(cursors)
        if self._observer.unread:
            self._context.wake()
        return seen

    async def stop(self, key: str, grace_ms: int) -> None:
        """Ask the attempt to end, with the grace that its order names.

        A key that was never started is taken by a job that does nothing, so that a start of it
        that comes late finds it taken.

        Raises:
            DriverError: it is not certain that Ray has heard it.
        """
        del grace_ms  # Ray's call has no room for it
        checked(key, self._where)
        attempt = await self._safely(self._observer.attempt, key)
        if await self._safely(self._spool.is_kept, key) or (attempt is not None and attempt.closed):
            return
        job = await self._api.job(key)
        if job is not None and not self._lister.is_ours(job):
            raise DriverError(f"job {key} is not ours", where=self._where)
        if job is not None and job.over:
            return
        session = await self._api.session()
        await self._safely(self._spool.stop, key, session)
        crash_point("c8")
        if await self._api.stop(key):
            return
        if attempt is not None and await self._safely(self._spool.begun, key) != session:
            return  # it has ended with a former life of the cluster
        try:
            await self._api.submit(
                {
                    "entrypoint": "true",
                    "submission_id": key,
                    "metadata": {**self._tags(), VOID: "1"},
                }
            )
        except RefusedError as error:
            if not error.exists:
                raise
            await self._api.stop(key)

    async def usage(self, key: str) -> Usage:
        """Return the total of the ends in the journal.

        Raises:
            DriverError: there is no record of the key, or it cannot be read.
        """
        checked(key, self._where)
        return await self._safely(self._usage, key)

    async def read_log(self, key: str, task: int, offset: int, limit: int) -> LogChunk:
        """Return up to `limit` bytes (at most 1 MiB) of a task's output, as far as it has come.

        Raises:
            DriverError: the file is there and cannot be read.
        """
        checked(key, self._where)
        return await self._safely(self._read_log, key, task, offset, limit)

    async def keys(self) -> frozenset[str]:
        """Return the keys of all our jobs, and of attempts that ended with a lost cluster.

        Raises:
            DriverError: Ray cannot be asked, or our folder not be read.
        """
        listing = await self._lister.get()
        ours = {key for key, job in listing.jobs.items() if self._lister.is_ours(job)}
        kept = await self._safely(self._kept, listing.jobs)
        for key in kept:
            self._delete_later(key)
        return frozenset((ours - kept) | await self._safely(self._ended_here))

    async def forget(self, key: str) -> None:
        """Drop an ended attempt's job; its output and its journal stay on the hub's disk.

        Raises:
            DriverError: it still runs, or Ray cannot be asked.
        """
        checked(key, self._where)
        job = await self._api.job(key)
        if job is not None and not self._lister.is_ours(job):
            return
        if not await self._safely(self._spool.is_kept, key):
            if job is not None:
                await self._over(key, job)
                self._observer.follow(key)
                await self._observer.drained(key)
            await self._safely(self._spool.keep, key)
            self._observer.forget(key)
        if job is not None:
            self._delete_later(key)

    async def close(self) -> None:
        """Let go of all lines. What runs goes on."""
        await self._observer.close()
        deletions = list(self._deletions.values())
        for task in deletions:
            task.cancel()
        await asyncio.gather(*deletions, return_exceptions=True)
        await self._api.close()

    # --- starting ---------------------------------------------------------------------------

    def _check(self, order: StartOrder) -> None:
        """Refuse what the cluster cannot do as it is asked."""
        # Ray's dashboard and its own logs show what a job is given.
        lacks = {
            "gangs": order.nodes > 1,
            "images": order.image,
            "secrets": order.secrets,
            "setup": order.setup,
        }
        for what, asked in lacks.items():
            if asked:
                raise DriverError(
                    f"a ray site has no {what} yet", where=self._where, hint="allow other sites"
                )

    async def _request(self, order: StartOrder) -> _Request:
        """Return what is sent for an order."""
        if time.monotonic() > self._nodes_s + NODES_FOR_S and order.resources.accelerator_milli:
            await self.inventory()
        custom = inventory.custom_needs(self._settings, order, self._nodes, self._where)
        return await self._safely(self._pack, order, custom)

    def _pack(self, order: StartOrder, custom: dict[str, float]) -> _Request:
        """Make the packages and the job (in a worker thread)."""
        inputs, brought = input_package(order.inputs, self._settings.input_cap_bytes, self._where)
        slots = min(order.slots, sum(1 for _ in indices(order.tasks)))
        shares = []
        left = slots
        for share in order.shares:
            shares.append(replace(share, slots=min(share.slots, left), cards=()))
            left -= shares[-1].slots
        sent = replace(order, inputs=inputs, shares=tuple(share for share in shares if share.slots))
        flavor = next((f for f in self._settings.flavors if f.name == order.flavor), None)
        cpus = order.resources.cpu_milli / 1_000
        lines = [
            *order_lines(sent, self._settings.log_cap_bytes, 0),
            ("scratch", self._settings.scratch),
            ("artifact_cap", str(self._settings.artifact_cap_bytes)),
            ("cards_variable", inventory.cards_variable(flavor.accelerator) if flavor else ""),
            ("ray_cpus", str(cpus)),
            *(("ray_resource", f"{name} {need}") for name, need in custom.items()),
        ]
        code = code_package(with_inputs(lines, brought))
        packages = [code, *([brought] if brought is not None else [])]
        return _Request(self._body(order, packages, len(sent.shares), slots, custom), packages)

    def _body(
        self,
        order: StartOrder,
        packages: list[Package],
        places: int,
        slots: int,
        custom: dict[str, float],
    ) -> dict[str, object]:
        """Return the job: what fits in one place runs in the entrypoint itself, there."""
        python = shlex.quote(self._settings.python)
        wait_s = -(-order.grace_ms // 1_000) + DEAF_S
        body: dict[str, object] = {
            "submission_id": order.key,
            "metadata": {
                **self._tags(),
                JOB: order.job,
                NAME: order.job_name[:200].encode("ascii", "backslashreplace").decode(),
                **({TARGET: order.artifacts_dir} if order.artifacts else {}),
            },
            "runtime_env": {
                "working_dir": packages[0].uri,
                **({"py_modules": [packages[1].uri]} if len(packages) > 1 else {}),
                "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(wait_s)},
            },
        }
        if places > 1:
            return {**body, "entrypoint": f"exec {python} spread.py"}
        own = dict(custom)
        kinds = {
            name: own.pop(name) for name in list(own) if name.startswith(inventory.TYPE_PREFIX)
        }
        gpus = own.pop("GPU", 0.0) * slots
        rest = {**{name: need * slots for name, need in own.items()}, **kinds}
        return {
            **body,
            "entrypoint": f"exec {python} -I -S -E place.py",
            "entrypoint_num_cpus": order.resources.cpu_milli / 1_000 * slots,
            "entrypoint_memory": order.resources.memory_bytes * slots,
            **({"entrypoint_num_gpus": gpus} if gpus else {}),
            **({"entrypoint_resources": rest} if rest else {}),
        }

    def _tags(self) -> dict[str, str]:
        return {HUB: self._context.hub, SITE: self._context.site}

    def _begin(self, key: str, session: str) -> bool | None:
        """Note the attempt; return whether it is new, None when it must not run any more."""
        if self._spool.is_kept(key):
            return None
        begun = self._spool.begun(key)
        if begun and begun != session:
            return None
        self._spool.begin(key, session)
        return not begun

    async def _found(self, key: str) -> None:
        """Check that a job whose id is taken is ours."""
        job = await self._api.job(key)
        if job is not None and not self._lister.is_ours(job):
            raise DriverError(
                f"there is a job {key} that is not ours",
                where=self._where,
                hint="two hubs with one id? see `ray job list`",
            )

    # --- ending -----------------------------------------------------------------------------

    async def _over(self, key: str, job: Job) -> None:
        """Wait the moment that an entrypoint takes to leave after its last word.

        Raises:
            DriverError: it still runs.
        """
        attempt = await self._safely(self._observer.attempt, key)
        ending = VOID in (job.metadata or {}) or (attempt is not None and attempt.closed)
        end_s = time.monotonic() + OVER_WITHIN_S
        found: Job | None = job
        while found is not None and not found.over:
            if not ending or time.monotonic() > end_s:
                raise DriverError(
                    f"attempt {key} still runs", where=self._where, hint="stop it first"
                )
            await asyncio.sleep(POLL_S)
            found = await self._api.job(key)

    def _delete_later(self, key: str) -> None:
        """Have Ray drop the record of a forgotten attempt; what fails is done at the next start.

        Not at once: for a while after a job's end Ray's own watch over it writes the record anew,
        without our tag.
        """
        if key not in self._deletions:
            task = self._deletions[key] = asyncio.create_task(self._delete(key))
            task.add_done_callback(lambda _: self._deletions.pop(key, None))

    async def _delete(self, key: str) -> None:
        await asyncio.sleep(DELETE_AFTER_S)
        with contextlib.suppress(DriverError):
            await self._api.delete(key)

    # --- in worker threads ------------------------------------------------------------------

    async def _safely(self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Do work with files in a thread; its errors become ours."""
        try:
            return await asyncio.to_thread(work, *arguments, **named)
        except UnicodeEncodeError as error:
            raise DriverError(f"a text is not valid Unicode: {error}", where=self._where) from error
        except OSError as error:
            raise DriverError(
                f"cannot use {error.filename or 'the folder'}: {error.strerror or error}",
                where=self._where,
                hint="is the disk of the hub's data folder full or read-only?",
            ) from error
        except ValueError as error:
            raise DriverError(f"a file of it is damaged: {error}", where=self._where) from error

    def _kept(self, jobs: Mapping[str, Job]) -> frozenset[str]:
        """Return whose job is still there although they were forgotten, by whatever tag."""
        prefix = f"{self._context.hub}-a"
        ended = (key for key, job in jobs.items() if key.startswith(prefix) and job.over)
        return frozenset(key for key in ended if self._spool.is_kept(key))

    def _ended_here(self) -> frozenset[str]:
        """Return the attempts that are not forgotten and whose journal is closed."""
        found = set()
        for folder in self._spool.active.iterdir():
            attempt = self._observer.attempt(folder.name)
            if attempt is not None and attempt.closed:
                found.add(folder.name)
        return frozenset(found)

    def _usage(self, key: str) -> Usage:
        folder = self._spool.folder(key)
        if folder is None or not (folder / JOURNAL).exists():
            raise DriverError(f"no record of attempt {key}", where=self._where)
        return total((folder / JOURNAL).read_bytes())

    def _read_log(self, key: str, task: int, offset: int, limit: int) -> LogChunk:
        """Read a log. Whether it is complete is asked before it is read."""
        folder = self._spool.folder(key)
        if folder is None:
            return LogChunk(b"", offset, complete=False)
        attempt = self._observer.attempt(key)
        ended = attempt is None or attempt.closed or task in attempt.ended
        for place in (folder, self._spool.kept / key):
            try:
                with (place / f"{task}.log").open("rb") as log:
                    size = os.fstat(log.fileno()).st_size
                    log.seek(offset)
                    data = log.read(max(0, min(limit, READ_LIMIT_BYTES)))
            except FileNotFoundError:
                continue
            after = offset + len(data)
            return LogChunk(data, after, complete=ended and after >= size)
        return LogChunk(b"", offset, complete=ended)


class _Request:
    """A job to submit, and the packages that it needs."""

    def __init__(self, body: dict[str, object], packages: list[Package]) -> None:
        self.body = body
        self.packages = packages
