"""A Slurm cluster as the engine sees it: orders become arrays, their journals become news."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from fenglin.drivers.slurm.inventory import Inventory
from fenglin.drivers.slurm.layout import lay_out
from fenglin.drivers.slurm.observer import UNREADABLE, Observer
from fenglin.drivers.slurm.options import batch_options
from fenglin.drivers.slurm.poke import Poke
from fenglin.drivers.slurm.shared import OUTPUT, batch_script
from fenglin.drivers.slurm.submitting import Submitter
from fenglin.drivers.slurm.wishes import chosen
from fenglin.errors import DriverError, InputError
from fenglin.ports.driver import Capability, LogChunk
from fenglin.runner.containers import NONE
from fenglin.runner.host import claim as claims
from fenglin.runner.host.attempts import RefusedError, closing
from fenglin.runner.host.journal import JOURNAL, POKE
from fenglin.runner.records import total

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from fenglin.drivers.slurm.cluster import Cluster
    from fenglin.drivers.slurm.ground import Ground
    from fenglin.drivers.slurm.settings import SlurmSettings
    from fenglin.drivers.slurm.shared import Shared
    from fenglin.model.allocation import Usage
    from fenglin.ports.driver import DriverContext, Observation, SiteReport, StartOrder
    from fenglin.quantities.taskset import TaskSet

READ_LIMIT_BYTES = 2**20
P = ParamSpec("P")
T = TypeVar("T")


class SlurmDriver:
    """A site with a scheduler of its own. See the package for how orders are mapped."""

    kind = "slurm"
    capabilities = frozenset(
        {
            Capability.ARRAYS,
            Capability.GANGS,
            Capability.IMAGES,
            Capability.SETUP,
            Capability.SECRETS,
            Capability.INPUTS,
            Capability.ARTIFACTS,
            Capability.FOLLOW,
            Capability.FENCE,
            Capability.MEMORY_LIMIT,
            Capability.METERS,
            Capability.STOP_TASKS,
            Capability.ENERGY,
        }
    )

    def __init__(
        self,
        context: DriverContext,
        settings: SlurmSettings,
        slurm: Cluster,
        ground: Ground,
        shared: Shared,
    ) -> None:
        """Take the ways to the cluster and its folders.

        Raises:
            InputError: the folders cannot be used.
        """
        self._settings = settings
        self._context = context
        self._where = f"site {context.site}"
        self.labels = settings.per_job.labels()
        if settings.containers.runtime == NONE:
            self.capabilities = self.capabilities - {Capability.IMAGES}
        if settings.rest is not None:
            self.capabilities = self.capabilities - {Capability.ENERGY}
        self._prefix = f"{context.hub}-a"
        self._shared = shared
        self._ground = ground
        locks = context.directory / "locks"
        try:
            locks.mkdir(parents=True, exist_ok=True)
            self._poke = Poke(shared.attempts.active / POKE, context.wake)
        except OSError as error:
            raise unusable(error, context.directory, self._where) from error
        self._slurm = slurm
        self._inventory = Inventory(self._slurm, settings, self._where)
        self._submitter = Submitter(self._slurm, ground, locks, self._prefix, self._where)
        self._observer = Observer(
            self._slurm, ground, shared, self._submitter, settings, self._prefix
        )

    async def inventory(self) -> SiteReport:
        """Return the declared nodes, as many of them up as the partition has usable ones.

        Raises:
            DriverError: Slurm or the shared folder cannot be asked.
        """
        self._poke.listen()
        try:
            generation = await self._ground.generation()
        except OSError as error:
            raise self._unreadable(error) from error
        return await self._inventory.report(generation)

    async def start(self, order: StartOrder) -> None:
        """Submit the order as one array, at most once per key.

        Raises:
            DriverError: refused, or unclear whether Slurm has taken it.
        """
        self._poke.listen()
        if order.nodes > 1 and order.image:
            raise DriverError(
                "a gang over several nodes of Slurm runs no images here",
                where=self._where,
                hint="let the job's script start its container by itself, or allow other sites",
            )
        if order.image and Capability.IMAGES not in self.capabilities:
            raise DriverError(
                "nobody has said what runs images on this cluster",
                where=self._where,
                hint="where its nodes have apptainer, set containers to it",
            )
        own = chosen(order, self._settings)
        limits = await self._inventory.limits()
        layout = lay_out(order.tasks, limits.array_size, self._settings.pack)
        card = await self._inventory.card(order) if order.resources.accelerator_milli else ""
        licences = await self._inventory.licences(order)
        path = self._shared.attempts.active / order.key
        inputs = await self._reaching(self._ground.inputs(order))
        outputs = self._ground.outputs(order.key)
        fresh = await self._safely(
            self._shared.prepare, self._ground.kept(order), inputs, outputs, layout
        )
        if not await self._safely(_is_open, path):
            return
        await self._reaching(self._ground.bring(order))
        code, attempts = await self._reaching(self._ground.code())
        there = f"{attempts}/{order.key}"
        output = f"{there}/{OUTPUT}"
        options = batch_options(order, layout, self._settings, output, card, licences, own)
        script = batch_script(self._settings.python, code, there)
        await self._submitter.submit(order.key, path, options, script, fresh=fresh)

    async def observe(self, cursors: Mapping[str, str]) -> Sequence[Observation]:
        """Return one observation per key, by one listing of all our jobs."""
        self._poke.listen()
        if not cursors:
            return []
        seen = await self._observer.observe(cursors)
        if self._observer.unread:
            self._context.wake()
        return seen

    async def stop(self, key: str, grace_ms: int) -> None:
        """Ask the attempt to end; a later start of a never-started key will not run.

        Raises:
            DriverError: the wish could not be written down, or Slurm could not be told.
        """
        ordered = await self._safely(self._shared.attempts.folder, key) is not None
        await self._reaching(self._ground.stop(key, grace_ms))
        claim = await self._safely(self._stop, key, grace_ms, ordered=ordered)
        if claim is None:
            return
        self._observer.stopped(key, grace_ms)
        if claim.pid:
            await self._slurm.signal(claim.pid)
        else:
            await self._submitter.cancel_unbound(key, self._shared.attempts.active / key)
        self._context.wake()

    async def stop_tasks(self, key: str, tasks: TaskSet, grace_ms: int) -> None:
        """End some tasks; elements that wait for nothing else leave the queue.

        Raises:
            DriverError: the wish could not be written down, or Slurm could not be told.
        """
        named = list(tasks)
        await self._reaching(self._ground.stop_tasks(key, named, grace_ms))
        await self._safely(self._shared.attempts.stop_tasks, key, named, grace_ms)
        attempt = await asyncio.to_thread(self._observer.known, key)
        if attempt is not None and not attempt.done:
            waiting = await self._safely(attempt.waiting, named)
            await self._slurm.drop(attempt.array, waiting)
        self._context.wake()

    async def usage(self, key: str) -> Usage:
        """Return the total of the ends in the journal.

        Raises:
            DriverError: there is no record of the key, or it cannot be read.
        """
        return await self._safely(self._usage, key)

    async def energy(self, keys: Collection[str]) -> Mapping[str, int]:
        """Return the joules of attempts that had their nodes for themselves, by Slurm's accounting.

        Raises:
            DriverError: the accounting cannot be asked now.
        """
        names = await self._safely(self._arrays, keys)
        return {names[n]: joules for n, joules in (await self._slurm.energy(names)).items()}

    async def read_log(self, key: str, task: int, offset: int, limit: int) -> LogChunk:
        """Return up to `limit` bytes (at most 1 MiB) of a task's output.

        Raises:
            DriverError: the file is there and cannot be read.
        """
        element, ended = await self._safely(self._log_facts, key, task)
        names = [f"{task}.log"] if element < 0 else [f"e{element}/{task}.log", f"{task}.log"]
        most = max(0, min(limit, READ_LIMIT_BYTES))
        found = await self._reaching(self._ground.read(key, names, offset, most))
        if found is None:
            return LogChunk(b"", offset, complete=ended)
        data, size = found
        after = offset + len(data)
        return LogChunk(data, after, complete=ended and after >= size)

    async def keys(self) -> frozenset[str]:
        """Return the keys of all folders that are not forgotten, and of all live jobs.

        Raises:
            DriverError: either cannot be listed.
        """
        queued = await self._slurm.queue(self._prefix)
        held = await self._reaching(self._ground.keys())
        return await self._safely(self._keys, frozenset(queued), held)

    async def forget(self, key: str) -> None:
        """Drop an ended attempt's leftovers except its output and its journal.

        Raises:
            DriverError: it still runs, or the disk refuses.
        """
        path = await self._safely(self._over, key)
        if path is not None:
            await self._reaching(self._ground.forget(key))
            await self._safely(self._shared.keep, path)
        self._observer.forget(key)
        self._submitter.forget(key)

    async def close(self) -> None:
        """Stop listening. What runs goes on."""
        self._poke.close()
        await self._submitter.close()
        await self._ground.close()
        await self._slurm.close()

    # --- in worker threads -------------------------------------------------------------------

    async def _safely(self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Do work with files in a thread; its errors become ours."""
        try:
            return await asyncio.to_thread(work, *arguments, **named)
        except RefusedError as error:
            raise DriverError(
                error.what, where=self._where, hint=error.hint, effect_unknown=error.unknown
            ) from error
        except UnicodeEncodeError as error:
            raise DriverError(f"a text is not valid Unicode: {error}", where=self._where) from error
        except OSError as error:
            raise self._unreadable(error) from error
        except UNREADABLE as error:
            raise DriverError(f"a file of it is damaged: {error}", where=self._where) from error

    async def _reaching(self, call: Coroutine[Any, Any, T]) -> T:
        """Await what reaches the folders; its errors become ours."""
        try:
            return await call
        except OSError as error:
            raise self._unreadable(error) from error

    def _stop(self, key: str, grace_ms: int, *, ordered: bool) -> claims.Claim | None:
        """Write the wish; return the claim, None when there is nothing to tell Slurm of."""
        self._shared.attempts.stop(key, grace_ms)
        path = self._shared.attempts.active / key
        if not path.exists() or closing(path) is not None:
            return None
        claim = claims.read(str(path))
        return claim if ordered or (claim is not None and claim.pid) else None

    def _keys(self, queued: frozenset[str], held: frozenset[str]) -> frozenset[str]:
        """Return the keys of folders and of jobs; what was forgotten may still be completing."""
        held = frozenset(key for key in held if key.startswith(self._prefix))
        bare = {key for key in queued - held if self._shared.attempts.folder(key) is None}
        return held | bare

    def _usage(self, key: str) -> Usage:
        path = self._shared.attempts.folder(key)
        if path is None:
            raise RefusedError(f"no record of attempt {key}")
        return total(_content(path / JOURNAL))

    def _arrays(self, keys: Collection[str]) -> dict[int, str]:
        """Return job id → key of those that were submitted."""
        found: dict[int, str] = {}
        for key in keys:
            path = self._shared.attempts.folder(key)
            claim = claims.read(str(path)) if path is not None else None
            if claim is not None and claim.pid:
                found[claim.pid] = key
        return found

    def _over(self, key: str) -> Path | None:
        """Return the folder of an ended attempt; None when there is nothing to forget."""
        path = self._shared.attempts.folder(key)
        if path is None or path.parent != self._shared.attempts.active:
            return None
        claim = claims.read(str(path))
        if claim is None:
            raise RefusedError(f"attempt {key} may still start", "stop it first")
        if not claim.void and closing(path) is None:
            raise RefusedError(f"attempt {key} still runs", "stop it first")
        return path

    def _log_facts(self, key: str, task: int) -> tuple[int, bool]:
        """Return the element that runs a task, -1 for none, and whether its output is complete.

        That is asked before the output is read.
        """
        path = self._shared.attempts.folder(key)
        if path is None:
            return -1, False
        attempt = self._observer.known(key)
        if attempt is not None:
            return attempt.element_of(task), attempt.done or task in attempt.ended
        claim = claims.read(str(path))
        return -1, claim is not None and (bool(claim.void) or closing(path) is not None)

    def _unreadable(self, error: OSError) -> DriverError:
        return DriverError(
            f"cannot use {error.filename or 'the shared folder'}: {error.strerror or error}",
            where=self._where,
            hint="is the shared file system mounted and well, and not full?",
        )


def unusable(error: OSError, folder: Path, where: str) -> InputError:
    """Return what the operator is told of a folder without which there is no driver."""
    return InputError(
        f"cannot use {error.filename or folder}: {error.strerror}",
        where=f"{where}.shared_dir",
        hint="a folder that hub and nodes see under one path and this user may write",
    )


def _is_open(path: Path) -> bool:
    """Return whether an attempt waits to be submitted."""
    return path.exists() and claims.read(str(path)) is None


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
