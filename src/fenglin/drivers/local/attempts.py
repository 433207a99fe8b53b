"""Attempt folders: made once, started at most once, stopped for good, kept after the end.

Everything here is synchronous and called from worker threads; the folders are the only state
but for the pids of runners that this hub started.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fenglin.drivers.local.runner import claim as claims
from fenglin.drivers.local.runner import proc
from fenglin.drivers.local.runner.journal import JOURNAL
from fenglin.drivers.local.runner.loop import CONTROL, STOP
from fenglin.drivers.local.runner.order import ORDER, encode
from fenglin.drivers.local.runner.workspace import remove_tree
from fenglin.errors import DriverError
from fenglin.ports.crashpoint import crash_point
from fenglin.quantities.sizes import format_milli

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fenglin.drivers.local.settings import LocalSettings
    from fenglin.ports.driver import StartOrder

EPOCH = "epoch"
RUNNER_ERRORS = "runner.err"
TAIL_BYTES = 64
LAUNCH = str(Path(__file__).with_name("launch.py"))
# What a payload needs to be itself; everything else of the hub's environment stays with it.
PASSED = ("HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER")
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", re.ASCII)


class Attempts:
    """The folders of one site."""

    def __init__(self, directory: Path, settings: LocalSettings, where: str) -> None:
        """Make the two folders, private to the hub's user.

        Raises:
            OSError: they cannot be made.
        """
        self._root = directory.absolute()
        self._active = self._root / "attempts"
        self._kept = self._root / "kept"
        self._where = where
        self._log_cap_bytes = settings.log_cap_bytes
        self._nice = settings.nice
        names = {*PASSED, *settings.pass_env}
        self._env = {k: v for k, v in os.environ.items() if k in names or k.startswith("LC_")}
        self.boot = proc.boot_id()
        self.spawned: dict[str, int] = {}
        for folder in (self._root, self._active, self._kept):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def folder(self, key: str) -> Path | None:
        """Return where the attempt is; None when it is nowhere.

        Raises:
            DriverError: the key is none of ours.
            OSError: the site's folder itself cannot be read, so absence proves nothing.
        """
        name = self._checked(key)
        for base in (self._active, self._kept):
            path = base / name
            try:
                path.stat()
            except FileNotFoundError:
                continue
            return path
        self._active.stat()
        return None

    def keys(self) -> frozenset[str]:
        """Return the keys of all attempts that are not forgotten."""
        return frozenset(path.name for path in self._active.iterdir())

    def start(self, order: StartOrder) -> None:
        """Make the folder, write the order, start a runner; find what is there already.

        Raises:
            DriverError: a newer leader has this key, or the machine cannot take it.
        """
        name = self._checked(order.key)
        if (self._kept / name).exists():
            return
        path = self._active / name
        made = False
        try:
            made = _made(path)
            if not made:
                self._check_epoch(path, order)
            if claims.read(str(path)) is not None:
                return
            if made or not (path / ORDER).exists():
                _write(path, ORDER, encode(_lines(order, self._log_cap_bytes, self._nice)))
            # The runner starts while we sync: after a loss of power neither would be there.
            if self.unclaimed_pid(order.key) <= 0:
                self.spawned[order.key] = self._spawn(path)
                crash_point("c4")
            _sync(path / ORDER)
            _sync(path)
            _sync(self._active)
        except UnicodeEncodeError as error:
            raise DriverError(
                "the job holds text that is no valid Unicode", where=self._where
            ) from error
        except OSError as error:
            spawned = order.key in self.spawned
            if made and not spawned:
                remove_tree(str(path))
            raise _translated(error, self._where, effect_unknown=spawned) from error

    def stop(self, key: str, grace_ms: int) -> None:
        """Leave a stop that any runner, early or late, obeys; then tell the one that runs.

        Raises:
            DriverError: the stop could not be written.
        """
        name = self._checked(key)
        if (self._kept / name).exists():
            return
        path = self._active / name
        try:
            _made(path)
            _write(path, STOP, str(max(0, grace_ms)).encode())
            _sync(path / STOP)
            _sync(path)
            crash_point("c8")
            if claims.take(str(path), claims.Claim(0, 0, "", "cancelled")):
                _sync(path)
                _sync(self._active)
                return
        except OSError as error:
            raise _translated(error, self._where, effect_unknown=True) from error
        try:
            control = os.open(path / CONTROL, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return  # it has ended, or has not come so far and will find the file
        try:
            os.write(control, b"stop\n")
        except OSError:
            return
        finally:
            os.close(control)

    def forget(self, key: str) -> None:
        """Move the folder to `kept/` with claim, journal and logs; drop the rest.

        Raises:
            DriverError: it still runs, or the disk refuses.
        """
        path = self._active / self._checked(key)
        try:
            claim = claims.read(str(path))
            if claim is None and not path.exists():
                return
            if claim is not None and not _closed(path) and self.alive(claim):
                raise DriverError(
                    f"attempt {key} still runs", where=self._where, hint="stop it first"
                )
            for entry in list(path.iterdir()):
                if not _worth_keeping(entry):
                    _remove(entry)
            path.rename(self._kept / path.name)
        except OSError as error:
            raise _translated(error, self._where, effect_unknown=True) from error
        self.spawned.pop(key, None)

    def alive(self, claim: claims.Claim) -> bool:
        """Return whether the runner that holds the claim still runs."""
        return not claim.void and proc.alive(claim.pid, claim.start_ticks, claim.boot, self.boot)

    def unclaimed_pid(self, key: str) -> int:
        """Return the runner we started for the key: its pid, 0 when it ended, -1 for none."""
        pid = self.spawned.get(key, -1)
        if pid <= 0:
            return pid
        try:
            ended, _ = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            ended = pid
        if ended:
            self.spawned[key] = pid = 0
        return pid

    def reap(self) -> None:
        """Take the exit of runners that have ended, so that they are no zombies."""
        for key in list(self.spawned):
            self.unclaimed_pid(key)

    def _checked(self, key: str) -> str:
        """Return the key if it can be a folder's name."""
        if not _KEY.fullmatch(key):
            raise DriverError(f"{key[:80]!r} is not an attempt key", where=self._where)
        return key

    def _check_epoch(self, path: Path, order: StartOrder) -> None:
        """Refuse an order of a former leader; remember a newer one."""
        seen = max(_epoch_in(path / ORDER), _epoch_in(path / EPOCH))
        if order.epoch < seen:
            raise DriverError(
                f"epoch {order.epoch} is over, epoch {seen} has attempt {order.key}",
                where=self._where,
                hint="another hub has taken over; this one must stop",
            )
        if order.epoch > seen:
            _write(path, EPOCH, f"epoch {order.epoch}\n".encode())

    def _spawn(self, path: Path) -> int:
        """Start a runner in a session of its own."""
        arguments = [sys.executable, "-I", "-S", "-E", LAUNCH, str(path)]
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, str(path / RUNNER_ERRORS), flags, 0o600),
        ]
        return os.posix_spawn(
            sys.executable, arguments, self._env, file_actions=actions, setsid=True, setsigmask=()
        )


def _closed(path: Path) -> bool:
    """Return whether the journal's last line is written; its runner may live a moment longer."""
    try:
        with (path / JOURNAL).open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
            return b"\nD " in b"\n" + file.read()
    except FileNotFoundError:
        return False


def _worth_keeping(entry: Path) -> bool:
    """Return whether an entry of an ended attempt's folder stays."""
    if entry.name == RUNNER_ERRORS:
        return entry.stat().st_size > 0
    return entry.name in (claims.CLAIM, JOURNAL) or entry.name.endswith(".log")


def _remove(entry: Path) -> None:
    """Remove a file, a link or a whole folder."""
    if entry.is_dir() and not entry.is_symlink():
        remove_tree(str(entry))
    else:
        entry.unlink()


def _lines(order: StartOrder, log_cap_bytes: int, nice: int) -> Iterator[tuple[str, str]]:
    """Yield the order file; the epoch stands first."""
    yield "epoch", str(order.epoch)
    for name in ("key", "hub", "job", "job_name", "site", "flavor", "tasks", "task_count"):
        yield name, str(getattr(order, name))
    for index, number in order.tries:
        yield "try", f"{index} {number}"
    for share in order.shares:
        yield "share", f"{share.slots} {share.node}"
    yield "nodes", str(order.nodes)
    yield "nice", str(nice)
    yield "cpus", format_milli(order.resources.cpu_milli)
    yield "memory_bytes", str(order.resources.memory_bytes)
    yield "disk_bytes", str(order.resources.disk_bytes)
    for argument in order.command:
        yield "command", argument
    yield "script", order.script
    for name, value in order.env:
        yield "env", f"{name}={value}"
    yield "workdir", order.workdir
    for item in order.inputs:
        flag = "x" if item.executable else "-"
        yield "input", f"{flag} {len(item.target)} {item.target}{item.source}"
    for glob in order.artifacts:
        yield "artifact", glob
    yield "artifacts_dir", order.artifacts_dir
    yield "timeout_ms", str(order.timeout_ms)
    yield "grace_ms", str(order.grace_ms)
    yield "log_cap_bytes", str(min(order.log_cap_bytes, log_cap_bytes))


def _made(path: Path) -> bool:
    """Make a private folder; return False when it was there."""
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        return False
    return True


def _write(folder: Path, name: str, data: bytes) -> None:
    """Write a whole file and give it its name when it is complete on the disk."""
    draft = folder / f".{name}.{os.urandom(4).hex()}"
    try:
        with open(draft, "xb", opener=_private) as file:
            file.write(data)
        draft.replace(folder / name)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def _private(path: str, flags: int) -> int:
    """Open for the hub's user alone: an order holds the job's environment."""
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _sync(path: Path) -> None:
    """Bring a file or a folder's entries to the disk."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _epoch_in(path: Path) -> int:
    """Return the number in the first line `epoch N`; -1 when there is no such file."""
    try:
        with path.open("rb") as file:
            return int(file.readline().split()[1])
    except (FileNotFoundError, IndexError, ValueError):
        return -1


def _translated(error: OSError, where: str, *, effect_unknown: bool) -> DriverError:
    """Return what the operator is told."""
    hint = "see the system's log"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = (
            "the disk of the hub's data directory is full: free some space, work goes on by itself"
        )
    elif error.errno in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE):
        hint = "this machine is short of processes, memory or descriptors (ulimit -u, -n)"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        hint = "the hub's user must be able to write its data directory"
    what = f"{error.strerror or error}: {error.filename or 'attempt folder'}"
    return DriverError(what, where=where, hint=hint, effect_unknown=effect_unknown)
