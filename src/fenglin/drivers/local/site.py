"""The local site as the engine sees it: asynchronous calls over folders and runners."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from typing import TYPE_CHECKING

from fenglin.drivers.local.observer import Observer
from fenglin.errors import DriverError, InputError
from fenglin.ports.crashpoint import crash_point
from fenglin.ports.driver import Capability, LogChunk, SiteReport
from fenglin.runner.containers import container_lines, runs_images
from fenglin.runner.host.attempts import Attempts, RefusedError
from fenglin.runner.host.claim import read as read_claim
from fenglin.runner.host.journal import JOURNAL, POKE
from fenglin.runner.host.order import encode
from fenglin.runner.host.sights import has_ended
from fenglin.runner.orders import order_lines
from fenglin.runner.records import total

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from fenglin.drivers.local.settings import LocalSettings
    from fenglin.model.allocation import Usage
    from fenglin.ports.driver import DriverContext, Observation, StartOrder
    from fenglin.quantities.taskset import TaskSet

READ_LIMIT_BYTES = 2**20


class LocalDriver:
    """A site on this machine. See the package for the layout of its folders."""

    kind = "local"
    capabilities = frozenset(
        {
            Capability.ARRAYS,
            Capability.ARTIFACTS,
            Capability.FENCE,
            Capability.FOLLOW,
            Capability.GANGS,
            Capability.IMAGES,
            Capability.INPUTS,
            Capability.MEMORY_LIMIT,
            Capability.METERS,
            Capability.SETUP,
            Capability.SECRETS,
            Capability.STOP_TASKS,
        }
    )

    def __init__(self, context: DriverContext, settings: LocalSettings) -> None:
        """Make the folders and the FIFO that runners poke.

        Raises:
            InputError: the site's folder cannot be used.
        """
        self._context = context
        self._settings = settings
        self._where = f"site {context.site}"
        if not runs_images(settings.containers):
            self.capabilities = self.capabilities - {Capability.IMAGES}
        try:
            self._attempts = Attempts(context.directory, settings.pass_env, crash_point)
            self._poke_file = _open_poke(context.directory.absolute() / POKE)
        except OSError as error:
            raise InputError(
                f"cannot use {error.filename or context.directory}: {error.strerror}",
                where=self._where,
                hint="the hub's user must be able to write its data directory",
            ) from error
        self._observer = Observer(self._attempts, context.now_ms)
        self._pass = threading.Lock()
        self._wishes = threading.Lock()
        self._poked: set[str] = set()
        self._poked_lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def inventory(self) -> SiteReport:
        """Return what the configuration declares; the generation is this boot's id."""
        self._listen()
        settings = self._settings
        return SiteReport(settings.flavors, settings.nodes, settings.licences, self._attempts.boot)

    async def start(self, order: StartOrder) -> None:
        """Make the attempt exist, at most once per key.

        Raises:
            DriverError: refused, or unclear when the runner had been started.
        """
        self._listen()
        await asyncio.to_thread(self._start, order)

    async def observe(self, cursors: Mapping[str, str]) -> Sequence[Observation]:
        """Return one observation per key, since that key's cursor."""
        self._listen()
        found, unread = await asyncio.to_thread(self._observe, dict(cursors))
        if unread:
            self._context.wake()
        return found

    async def stop(self, key: str, grace_ms: int) -> None:
        """Ask the attempt to end; a later start of a never-started key will not run.

        Raises:
            DriverError: the stop could not be written down.
        """
        await asyncio.to_thread(self._stop, key, grace_ms)

    async def stop_tasks(self, key: str, tasks: TaskSet, grace_ms: int) -> None:
        """End some tasks; those that wait never begin.

        Raises:
            DriverError: the wish could not be written down.
        """
        await asyncio.to_thread(self._stop_tasks, key, tasks, grace_ms)

    async def usage(self, key: str) -> Usage:
        """Return the total of the ends in the journal.

        Raises:
            DriverError: there is no record of the key, or it cannot be read.
        """
        return await asyncio.to_thread(self._usage, key)

    async def read_log(self, key: str, task: int, offset: int, limit: int) -> LogChunk:
        """Return up to `limit` bytes (at most 1 MiB) of a task's output.

        Raises:
            DriverError: the file is there and cannot be read.
        """
        return await asyncio.to_thread(self._read_log, key, task, offset, limit)

    async def keys(self) -> frozenset[str]:
        """Return all keys that are not forgotten.

        Raises:
            DriverError: the folder cannot be listed.
        """
        try:
            return await asyncio.to_thread(self._attempts.keys)
        except OSError as error:
            raise self._unreadable(error) from error

    async def forget(self, key: str) -> None:
        """Drop an ended attempt's leftovers except its output and its journal.

        Raises:
            DriverError: it still runs, or the disk refuses.
        """
        await asyncio.to_thread(self._forget, key)

    async def close(self) -> None:
        """Stop listening. Runners go on."""
        if self._loop is not None and self._poke_file >= 0:
            self._loop.remove_reader(self._poke_file)
        if self._poke_file >= 0:
            os.close(self._poke_file)
        self._poke_file = -1

    def _listen(self) -> None:
        """Hear of pokes on the running loop; there is none yet when the driver is built."""
        loop = asyncio.get_running_loop()
        if self._loop is loop or self._poke_file < 0:
            return
        self._loop = loop
        loop.add_reader(self._poke_file, self._on_poke)

    def _on_poke(self) -> None:
        """Note whose journals have news, and wake the engine."""
        try:
            data = os.read(self._poke_file, 2**16)
        except BlockingIOError:
            return
        with self._poked_lock:
            self._poked.update(data.decode("ascii", "replace").split())
        self._context.wake()

    def _observe(self, cursors: dict[str, str]) -> tuple[list[Observation], bool]:
        """Make one pass (in a worker thread); return whether it left more to read."""
        with self._pass:
            with self._poked_lock:
                poked, self._poked = self._poked, set()
            return self._observer.observe(cursors, poked), self._observer.unread

    def _start(self, order: StartOrder) -> None:
        """Write the order and start its runner (in a worker thread)."""
        settings = self._settings
        if order.image and Capability.IMAGES not in self.capabilities:
            raise DriverError(
                "this machine has no container runtime that may be used",
                where=self._where,
                hint="install podman or apptainer; see the setting containers",
            )
        try:
            envs_dir = str(self._context.directory.absolute() / "envs")
            lines = order_lines(order, settings.log_cap_bytes, settings.nice)
            more = container_lines(settings.containers, envs_dir)
            data = encode([*lines, *more, ("isolation", settings.isolation)])
            self._attempts.start(order.key, order.epoch, data)
        except UnicodeEncodeError as error:
            raise DriverError(
                "the job holds text that is no valid Unicode", where=self._where
            ) from error
        except RefusedError as error:
            raise self._told(error) from error

    def _stop(self, key: str, grace_ms: int) -> None:
        """Write the stop down (in a worker thread)."""
        try:
            self._attempts.stop(key, grace_ms)
        except RefusedError as error:
            raise self._told(error) from error

    def _stop_tasks(self, key: str, tasks: TaskSet, grace_ms: int) -> None:
        """Write the wish down (in a worker thread), one at a time: each adds to the last."""
        try:
            with self._wishes:
                self._attempts.stop_tasks(key, list(tasks), grace_ms)
        except RefusedError as error:
            raise self._told(error) from error

    def _forget(self, key: str) -> None:
        """Forget between two passes (in a worker thread)."""
        try:
            with self._pass:
                self._attempts.forget(key)
                self._observer.forget(key)
        except RefusedError as error:
            raise self._told(error) from error

    def _told(self, error: RefusedError) -> DriverError:
        return DriverError(
            error.what, where=self._where, hint=error.hint, effect_unknown=error.unknown
        )

    def _folder(self, key: str) -> Path | None:
        """Return the attempt's folder; None when there is none."""
        try:
            return self._attempts.folder(key)
        except RefusedError as error:
            raise self._told(error) from error
        except OSError as error:
            raise self._unreadable(error) from error

    def _usage(self, key: str) -> Usage:
        """Read the journal (in a worker thread)."""
        folder = self._folder(key)
        if folder is None:
            raise DriverError(f"no record of attempt {key}", where=self._where)
        return total(self._journal(folder))

    def _read_log(self, key: str, task: int, offset: int, limit: int) -> LogChunk:
        """Read a log (in a worker thread). Whether it is complete is asked before it is read."""
        folder = self._folder(key)
        if folder is None:
            return LogChunk(b"", offset, complete=False)
        chunk = self._read_log_in(folder, key, task, offset, limit)
        # `forget` may have moved the folder between the look and the read.
        moved = self._folder(key)
        if not chunk.data and moved is not None and moved != folder:
            chunk = self._read_log_in(moved, key, task, offset, limit)
        return chunk

    def _read_log_in(self, folder: Path, key: str, task: int, offset: int, limit: int) -> LogChunk:
        try:
            claim = read_claim(str(folder))
        except (OSError, ValueError) as error:
            raise DriverError(f"claim of {key} is unreadable", where=self._where) from error
        ended = claim is not None and (bool(claim.void) or has_ended(self._journal(folder), task))
        try:
            with (folder / f"{task}.log").open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(offset)
                data = file.read(max(0, min(limit, READ_LIMIT_BYTES)))
        except FileNotFoundError:
            return LogChunk(b"", offset, complete=ended)
        except OSError as error:
            raise self._unreadable(error) from error
        after = offset + len(data)
        return LogChunk(data, after, complete=ended and after >= size)

    def _journal(self, folder: Path) -> bytes:
        """Return the whole journal; empty when there is none yet."""
        try:
            return (folder / JOURNAL).read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> DriverError:
        """Return what the operator is told when the folder cannot be read."""
        return DriverError(
            f"cannot read {error.filename}: {error.strerror}",
            where=self._where,
            hint="is the disk of the hub's data directory mounted and well?",
        )


def _open_poke(path: Path) -> int:
    """Open the FIFO for reading and writing, so that it never reports end-of-file."""
    try:
        if not stat.S_ISFIFO(path.lstat().st_mode):
            path.unlink()
            os.mkfifo(path, 0o600)
    except FileNotFoundError:
        os.mkfifo(path, 0o600)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
