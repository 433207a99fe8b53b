"""Artifacts on their way back: a task has succeeded only when they are on the hub's machine."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import asyncssh
import structlog
from msgspec import Struct

from fenglin.errors import DriverError
from fenglin.runner.host.workspace import remove_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from fenglin.drivers.ssh.parts import Note
    from fenglin.remote.agent import Remote

_log = structlog.get_logger("fenglin.ssh")


class _File(Struct, frozen=True):
    """A file to fetch: from which node, where there, and as what here."""

    node: str
    source: str
    target: str
    executable: bool


class Artifacts:
    """Fetches artifacts in the background and remembers what has come."""

    def __init__(self, remotes: Mapping[str, Remote], wake: Callable[[], None]) -> None:
        """Take the agents, and whom to tell when something has come."""
        self._remotes = remotes
        self._wake = wake
        self._here: dict[str, set[int]] = {}
        self._spoiled: dict[str, set[int]] = {}
        self._coming: dict[str, asyncio.Task[None]] = {}

    def want(self, note: Note, tasks: Collection[int]) -> tuple[frozenset[int], frozenset[int]]:
        """Have the artifacts of tasks fetched.

        Returns the tasks whose artifacts are still to come, and those whose cannot be had.
        """
        spoiled = self._spoiled.setdefault(note.key, set())
        if not note.artifacts_dir:
            spoiled.update(tasks)
        missing = set(tasks) - self._here.setdefault(note.key, set()) - spoiled
        if missing and note.key not in self._coming:
            task = self._coming[note.key] = asyncio.create_task(self._fetch(note, missing))
            task.add_done_callback(lambda _: self._coming.pop(note.key, None))
        return frozenset(missing), frozenset(spoiled.intersection(tasks))

    def forget(self, key: str) -> None:
        """Drop what is remembered of an attempt."""
        self._here.pop(key, None)
        self._spoiled.pop(key, None)

    async def close(self) -> None:
        """Give up what is on its way; it is fetched anew after the next start."""
        tasks = list(self._coming.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _fetch(self, note: Note, tasks: set[int]) -> None:
        """Fetch the artifacts of some tasks; what fails is tried again at the next look."""
        try:
            files = await self._listed(note, tasks)
            async with asyncio.TaskGroup() as group:
                for task in sorted(tasks):
                    group.create_task(self._fetch_task(note, task, files.get(task, [])))
        except* (DriverError, OSError) as errors:
            for error in errors.exceptions:
                _log.warning("artifacts_wait", attempt=note.key, error=str(error))
        self._wake()

    async def _listed(self, note: Note, tasks: set[int]) -> dict[int, list[_File]]:
        """Ask the nodes for names; of equal names of a gang the lowest rank's counts."""
        listed: dict[int, dict[str, _File]] = {}
        for part in note.parts:
            answer, _ = await self._remotes[part.node].ask(
                "kept", key=note.key, tasks=sorted(tasks)
            )
            for task, path, _size, mode in answer["files"]:
                source = f"{answer['base']}/{task}/{path}"
                file = _File(part.node, source, str(path), bool(int(mode) & stat.S_IXUSR))
                listed.setdefault(int(task), {}).setdefault(str(path), file)
        return {task: list(files.values()) for task, files in listed.items()}

    async def _fetch_task(self, note: Note, task: int, files: list[_File]) -> None:
        """Fetch one task's artifacts and let them appear at once."""
        goal = Path(note.artifacts_dir) / str(task)
        draft = goal.with_name(f".{task}.{os.urandom(4).hex()}")
        try:
            for file in files:
                await self._fetch_file(file, draft)
            if files:
                await asyncio.to_thread(_publish, draft, goal)
        except asyncssh.SFTPNoSuchFile:
            self._spoiled[note.key].add(task)
            _log.warning("artifacts_gone", attempt=note.key, task=task)
        except asyncssh.Error as error:
            raise DriverError(str(error), where=f"artifacts of task {task}") from error
        else:
            self._here.setdefault(note.key, set()).add(task)
        finally:
            await asyncio.to_thread(remove_tree, str(draft))

    async def _fetch_file(self, file: _File, draft: Path) -> None:
        """Fetch one file below a draft folder; its name comes from the host and is not trusted."""
        parts = PurePosixPath(file.target).parts
        if not parts or file.target.startswith("/") or ".." in parts or "\0" in file.target:
            raise DriverError(
                f"refused: an artifact named {file.target[:80]!r}", where=f"node {file.node}"
            )
        target = draft.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        line = self._remotes[file.node].line
        async with line.files:
            sftp = await line.sftp()
            try:
                await sftp.get(file.source, str(target))
            except asyncssh.SFTPNoSuchFile:
                raise
            except (asyncssh.Error, OSError):
                line.drop_sftp(sftp)
                raise
        target.chmod(0o755 if file.executable else 0o644)


def _publish(draft: Path, goal: Path) -> None:
    """Bring files to the disk and give the folder its name, in place of an older one."""
    for folder, _, names in os.walk(draft):
        for name in [*names, ""]:
            handle = os.open(Path(folder, name), os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
    remove_tree(str(goal))
    draft.rename(goal)
