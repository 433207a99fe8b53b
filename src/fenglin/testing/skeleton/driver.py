"""The skeleton driver: tasks are processes of this machine, kept by `agent.py`.

It runs as it is, and passes the conformance suite. To make it yours, replace what touches the
machine (`_make`, `_read`, `_spawn`, the listing of folders) by calls of your site's API, and
declare the capabilities that you add.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fenglin.errors import DriverError, InputError
from fenglin.model.allocation import TaskEnd, Usage
from fenglin.model.reason import Reason
from fenglin.ports.discovery import driver_kind
from fenglin.ports.driver import Capability, LogChunk, Observation, Presence, SiteReport
from fenglin.quantities.sizes import format_milli
from fenglin.quantities.taskset import TaskSet
from fenglin.testing.skeleton import agent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fenglin.model.site import Flavor, Node
    from fenglin.ports.driver import DriverContext, StartOrder

CAPABILITIES = frozenset({Capability.ARRAYS, Capability.FOLLOW})
# What a site's block may say; add your own and say it in the docs page.
ALLOWED = ("flavors", "licences", "nodes", "root")
LOST_EXIT_CODE = 137
FORBIDDEN = "forbidden"
# What a payload needs to be itself; the hub's own environment holds secrets.
PASSED = ("HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER")
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", re.ASCII)


class SkeletonDriver:
    """One skeleton site. Each attempt is a folder named by its key, so a key exists once."""

    kind = "skeleton"
    capabilities = CAPABILITIES

    def __init__(
        self,
        context: DriverContext,
        root: Path,
        flavors: tuple[Flavor, ...],
        nodes: tuple[Node, ...],
        licences: tuple[tuple[str, int], ...],
    ) -> None:
        """Take what the site is; ask it nothing yet."""
        self._context = context
        self._where = f"site {context.site}"
        self._report = SiteReport(flavors, nodes, licences)
        # The hub's id is part of the place: two hubs on one site see nothing of each other.
        self._active = root / context.hub / "active"
        self._kept = root / context.hub / "kept"

    async def inventory(self) -> SiteReport:
        """Return what the configuration declares; ask your site which nodes are up."""
        return self._report

    async def start(self, order: StartOrder) -> None:
        """Make the attempt's folder and start an agent; whoever claims the folder runs it.

        Raises:
            DriverError: the order needs what is not declared, or the folder cannot be made.
        """
        wanted = {
            "gangs": order.nodes > 1,
            "images": order.image,
            "setup": order.setup,
            "secrets": order.secrets,
            "inputs": order.inputs,
            "artifacts": order.artifacts,
        }
        lacks = [what for what, needed in wanted.items() if needed]
        if lacks:
            raise self._error(f"{self.kind} sites have no {', '.join(lacks)}")
        await asyncio.to_thread(self._make, self._checked(order.key), order)
        self._context.wake()

    async def observe(self, cursors: Mapping[str, str]) -> Sequence[Observation]:
        """Return the news of each key; the cursor is the number of events already told."""

        def look() -> list[Observation]:
            return [self._look(key, cursor) for key, cursor in cursors.items()]

        return await asyncio.to_thread(look)

    async def stop(self, key: str, grace_ms: int) -> None:
        """Leave a stop that any agent obeys, early or late; a claim of ours forbids a start.

        Raises:
            DriverError: the stop could not be written.
        """
        await asyncio.to_thread(self._forbid, self._checked(key), grace_ms)

    async def usage(self, key: str) -> Usage:
        """Return the sum of the ends; ask your site's own accounting instead where it has one.

        Raises:
            DriverError: there is no record of the key.
        """
        events = await asyncio.to_thread(self._events, self._folder(key))
        if events is None:
            raise self._error(f"no record of attempt {key}")
        ends = [event for event in events if "exit_code" in event]
        wall_ms = sum(end["wall_ms"] for end in ends)
        return Usage(tasks=len(ends), wall_ms=wall_ms, billed_ms=wall_ms)

    async def read_log(self, key: str, task: int, offset: int, limit: int) -> LogChunk:
        """Return a piece of a task's output; whether it is complete is asked before it is read.

        Raises:
            DriverError: the output cannot be read.
        """

        def read() -> LogChunk:
            folder = self._folder(key)
            events = self._events(folder) or []
            ended = any(e.get("last") or e.get("index") == task for e in events)
            try:
                with (folder / f"{task}.log").open("rb") as file:
                    size = os.fstat(file.fileno()).st_size
                    file.seek(offset)
                    data = file.read(limit)
            except FileNotFoundError:
                return LogChunk(b"", offset, complete=ended)
            after = offset + len(data)
            return LogChunk(data, after, complete=ended and after >= size)

        try:
            return await asyncio.to_thread(read)
        except OSError as error:
            raise self._error(f"cannot read the output of {key}: {error}") from error

    async def keys(self) -> frozenset[str]:
        """Return the names of all folders: a complete listing, or an error.

        Raises:
            DriverError: the site cannot be listed.
        """
        try:
            return frozenset(await asyncio.to_thread(os.listdir, self._active))
        except FileNotFoundError:
            return frozenset()  # nothing was ever started
        except OSError as error:
            raise self._error(f"cannot list the attempts: {error}") from error

    async def forget(self, key: str) -> None:
        """Keep events and output of an ended attempt, out of the way of the listing.

        Raises:
            DriverError: it still runs, or cannot be moved.
        """
        (seen,) = await self.observe({key: ""})
        if seen.presence is Presence.RUNNING:
            raise self._error(f"attempt {key} still runs")
        try:
            await asyncio.to_thread(self._keep, self._checked(key))
        except OSError as error:
            raise self._error(f"cannot forget {key}: {error}", effect_unknown=True) from error

    async def close(self) -> None:
        """Hold nothing open, and so release nothing; agents go on."""

    def _make(self, key: str, order: StartOrder) -> None:
        """Write the order and start an agent, unless the attempt has one."""
        folder = self._active / key
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if (folder / "claim").exists():
                return
            _write(folder / "order.json", json.dumps(_order(order)))
            self._spawn(folder)
        except OSError as error:
            raise self._error(f"cannot start {key}: {error}", effect_unknown=True) from error

    def _spawn(self, folder: Path) -> None:
        """Start an agent in a session of its own, with nothing of the hub's environment."""
        env = {name: value for name, value in os.environ.items() if name in PASSED}
        command = [sys.executable, "-I", agent.__file__, str(folder)]
        process = subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        _agents.append(process)
        _agents[:] = [one for one in _agents if one.poll() is None]

    def _forbid(self, key: str, grace_ms: int) -> None:
        """Write the stop; then claim the attempt, if nobody has, so that it never runs."""
        if (self._kept / key).exists():
            return
        folder = self._active / key
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not _over(self._events(folder)):
                _write(folder / "stop", str(grace_ms))
            agent.claim(folder, FORBIDDEN)
        except OSError as error:
            raise self._error(f"cannot stop {key}: {error}", effect_unknown=True) from error

    def _keep(self, key: str) -> None:
        """Move a folder without what its tasks have left in it."""
        folder = self._active / key
        if not folder.exists():
            return
        for home in folder.glob("t*"):
            shutil.rmtree(home, ignore_errors=True)
        self._kept.mkdir(parents=True, exist_ok=True)
        folder.rename(self._kept / key)

    def _look(self, key: str, cursor: str) -> Observation:
        """Return what is to be seen of one key; what cannot be read is UNKNOWN."""
        try:
            told = int(cursor or 0)
            folder = self._folder(key)
            state = _state(folder)  # asked first, so that an agent's last words are not missed
            if state is Presence.ENDED:
                return Observation(key, Presence.ENDED, reason=Reason.CANCELLED)
            events = self._events(folder)
            if events is None:
                return Observation(key, Presence.ABSENT)
            if state is Presence.ABSENT and not _over(events):
                events = _bury(folder, events)
        except (OSError, ValueError, DriverError):
            return Observation(key, Presence.UNKNOWN, cursor=cursor)
        starts = [event["started_ms"] for event in events if "started" in event]
        news = [event for event in events[told:] if "exit_code" in event]
        reason = events[-1]["reason"] if _over(events) else None
        return Observation(
            key,
            Presence.ENDED if _over(events) else Presence.RUNNING,
            tuple(_end(event) for event in news),
            started=len(starts),
            first_start_ms=min(starts, default=0),
            cursor=str(len(events)),
            reason=Reason(reason) if reason else None,
        )

    def _events(self, folder: Path) -> list[dict[str, Any]] | None:
        """Return what the agent has told; None when there is no such attempt."""
        try:
            text = (folder / "ends").read_bytes()
        except FileNotFoundError:
            return [] if folder.exists() else None
        return [json.loads(line) for line in text.splitlines(keepends=True) if line[-1:] == b"\n"]

    def _folder(self, key: str) -> Path:
        """Return where an attempt is, or would be."""
        kept = self._kept / self._checked(key)
        return kept if kept.exists() else self._active / key

    def _checked(self, key: str) -> str:
        """Return a key that is safe as a folder's name."""
        if not _KEY.fullmatch(key):
            raise self._error(f"{key[:80]!r} is no attempt key")
        return key

    def _error(self, what: str, *, effect_unknown: bool = False) -> DriverError:
        """Return what the operator is told."""
        hint = "is the site's folder mounted, writable and not full?"
        return DriverError(what, where=self._where, hint=hint, effect_unknown=effect_unknown)


@driver_kind("Processes of this machine, to begin a driver from.", CAPABILITIES)
def driver(context: DriverContext, settings: Mapping[str, Any]) -> SkeletonDriver:
    """Return the driver of one skeleton site.

    Raises:
        InputError: a setting is unknown or wrong.
    """
    where = f"site.{context.site}"
    unknown = sorted(set(settings) - set(ALLOWED))
    if unknown:
        hint = f"allowed: {', '.join(ALLOWED)}"
        raise InputError(f"unknown setting {unknown[0]!r}", where=where, hint=hint)
    root = settings.get("root", str(context.directory))
    if not isinstance(root, str) or not root.startswith("/"):
        raise InputError("root is no absolute path", where=f"{where}.root", hint="write /a/folder")
    return SkeletonDriver(
        context, Path(root), settings["flavors"], settings["nodes"], settings["licences"]
    )


# Agents that this process has started; held until they end, so that none stays a zombie.
_agents: list[subprocess.Popen[bytes]] = []


def _order(order: StartOrder) -> dict[str, object]:
    """Return what the agent needs to know."""
    return {
        "tasks": list(TaskSet.parse(order.tasks)),
        "slots": order.slots,
        "tries": {str(index): str(number) for index, number in order.tries},
        "command": order.command,
        "script": order.script,
        "workdir": order.workdir,
        "timeout_ms": order.timeout_ms,
        "grace_ms": order.grace_ms,
        "log_cap_bytes": order.log_cap_bytes,
        "own_env": dict(order.env),
        "env": {
            "FENGLIN_JOB_ID": order.job,
            "FENGLIN_TASK_COUNT": str(order.task_count),
            "FENGLIN_SITE": order.site,
            "FENGLIN_FLAVOR": order.flavor,
            "FENGLIN_CPUS": format_milli(order.resources.cpu_milli),
            "FENGLIN_NODE_COUNT": "1",
            "FENGLIN_NODE_RANK": "0",
        },
    }


def _write(path: Path, text: str) -> None:
    """Write a whole file, durably, so that nobody reads half of one."""
    draft = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    with draft.open("x") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _state(folder: Path) -> Presence:
    """Return ENDED for a forbidden attempt, ABSENT when the agent that claimed it is dead."""
    try:
        if (folder / "claim").read_text() == FORBIDDEN:
            return Presence.ENDED
    except FileNotFoundError:
        return Presence.RUNNING  # its agent is on the way
    with (folder / "lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return Presence.RUNNING
    return Presence.ABSENT


def _kill_leftovers(folder: Path) -> None:
    """Kill what a dead agent has left, before its tasks are told to have ended."""
    mark = f"{agent.MARK}={folder}\0".encode()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # gone meanwhile, or not ours
            if entry.name.isdecimal() and mark in (entry / "environ").read_bytes():
                os.kill(int(entry.name), signal.SIGKILL)


def _bury(folder: Path, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """End the tasks of a dead agent in its own record, so that every reader is told the same."""
    _kill_leftovers(folder)
    ended = {event["index"] for event in events if "exit_code" in event}
    lost = [e for e in events if "started" in e and e["started"] not in ended]
    proof_ms = (folder / "ends").stat().st_mtime_ns // 1_000_000 if events else 0
    more: list[dict[str, Any]] = [
        {
            "index": event["started"],
            "started_ms": event["started_ms"],
            # Up to the last proof of life, not to the time of discovery.
            "wall_ms": max(0, proof_ms - event["started_ms"]),
            "exit_code": LOST_EXIT_CODE,
            "reason": "runner_lost",
        }
        for event in lost
    ]
    events = [*events, *more, {"last": True, "reason": "runner_lost"}]
    _write(folder / "ends", "".join(json.dumps(event) + "\n" for event in events))
    return events


def _over(events: list[dict[str, Any]] | None) -> bool:
    """Return whether nothing follows."""
    return bool(events) and "last" in (events or [{}])[-1]


def _end(event: dict[str, Any]) -> TaskEnd:
    """Return the end that an event tells of."""
    reason = event["reason"]
    return TaskEnd(
        event["index"],
        event["started_ms"],
        event["wall_ms"],
        event["exit_code"],
        Reason(reason) if reason else None,
    )
