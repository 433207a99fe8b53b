# ruff: noqa: TID252
"""Attempt folders: made once, started at most once, stopped for good, kept after the end.

Everything here is synchronous; the folders are the only state but for the pids of runners that
this process started. The local driver calls it from worker threads, the agent on a host of an
SSH site from its loop.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from pathlib import Path

from . import claim as claims
from . import proc
from .journal import JOURNAL
from .loop import CONTROL, STOP
from .order import ORDER, SECRETS, split
from .wishes import PEERS, UNWANTED, broken_gangs, unwanted
from .workspace import remove_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

EPOCH = "epoch"
RUNNER_ERRORS = "runner.err"
TAIL_BYTES = 64
LAUNCH = str(Path(__file__).resolve().parent.with_name("launch.py"))
# What a payload needs to be itself; everything else of our environment stays with us.
PASSED = ("HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER")
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", re.ASCII)


class RefusedError(Exception):
    """A call cannot be done.

    Attributes:
        what: What is wrong.
        hint: What to do about it; may be empty.
        unknown: Whether the effect may have happened nevertheless.
    """

    def __init__(self, what: str, hint: str = "", *, unknown: bool = False) -> None:
        """Keep the parts apart for whoever tells the operator."""
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.unknown = unknown


class Attempts:
    """The folders of one site, or of one host of it.

    Attributes:
        boot: Id of this boot.
        spawned: Key → pid of the runner that this process started; 0 once it has ended.
    """

    def __init__(
        self,
        directory: str | Path,
        pass_env: Collection[str] = (),
        reached: Callable[[str], None] = lambda _point: None,
    ) -> None:
        """Make the two folders, private to this user.

        Args:
            directory: Of the site.
            pass_env: Variables that tasks see besides the usual few.
            reached: Told of the named points at which a test may kill us.

        Raises:
            OSError: they cannot be made.
        """
        self.root = Path(directory).absolute()
        self.active = self.root / "attempts"
        self._kept = self.root / "kept"
        self._reached = reached
        names = {*PASSED, *pass_env}
        self._env = {k: v for k, v in os.environ.items() if k in names or k.startswith("LC_")}
        self.boot = proc.boot_id()
        self.spawned: dict[str, int] = {}
        for folder in (self.root, self.active, self._kept):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def folder(self, key: str) -> Path | None:
        """Return where the attempt is; None when it is nowhere.

        Raises:
            RefusedError: the key is none of ours.
            OSError: the site's folder itself cannot be read, so absence proves nothing.
        """
        name = _checked(key)
        for base in (self.active, self._kept):
            path = base / name
            try:
                path.stat()
            except FileNotFoundError:
                continue
            return path
        self.active.stat()
        return None

    def keys(self) -> frozenset[str]:
        """Return the keys of all attempts that are not forgotten."""
        return frozenset(path.name for path in self.active.iterdir())

    def start(self, key: str, epoch: int, order: bytes, *, go: bool = True) -> None:
        """Make the folder, write the order, start a runner; find what is there already.

        Args:
            key: Attempt key.
            epoch: Of the leader that asks.
            order: Content of the order file; its first line tells the epoch. Lines of secrets
                go to a file of their own.
            go: False leaves it at the order: a later start with the same key runs it.

        Raises:
            RefusedError: a newer leader has this key, or the machine cannot take it.
        """
        name = _checked(key)
        if (self._kept / name).exists():
            return
        path = self.active / name
        made = False
        try:
            made = _made(path)
            if not made:
                _check_epoch(path, key, epoch)
            plain, secrets = split(order)
            # Before the claim is looked for: only who has that ever removes the file.
            lacking = bool(secrets) and not (path / SECRETS).exists()
            if claims.read(str(path)) is not None:
                return
            if lacking:
                _write(path, SECRETS, secrets)
                _sync(path / SECRETS)
            if made or not (path / ORDER).exists():
                _write(path, ORDER, plain)
            if go:
                self._run(key, path)
            _sync(path / ORDER)
            _sync(path)
            _sync(self.active)
        except OSError as error:
            spawned = key in self.spawned
            if made and not spawned:
                remove_tree(str(path))
            raise refused(error, unknown=spawned) from error

    def _run(self, key: str, path: Path) -> None:
        """Start a runner unless one is on its way.

        It starts while the caller syncs: after a loss of power neither would be there.
        """
        if self.unclaimed_pid(key) <= 0:
            self.spawned[key] = self._spawn(path)
            self._reached("c4")

    def go(self, key: str) -> None:
        """Run an attempt whose order is there; one that runs or has run is left alone.

        Raises:
            RefusedError: there is no order, or the machine cannot take it.
        """
        path = self.active / _checked(key)
        try:
            if (self._kept / path.name).exists() or claims.read(str(path)) is not None:
                return
            if not (path / ORDER).exists():
                raise RefusedError(f"there is no order of attempt {key}")
            self._run(key, path)
        except OSError as error:
            raise refused(error, unknown=key in self.spawned) from error

    def stop(self, key: str, grace_ms: int) -> None:
        """Leave a stop that any runner, early or late, obeys; then tell the one that runs.

        Raises:
            RefusedError: the stop could not be written.
        """
        name = _checked(key)
        if (self._kept / name).exists():
            return
        path = self.active / name
        try:
            _made(path)
            _write(path, STOP, str(max(0, grace_ms)).encode())
            _sync(path / STOP)
            _sync(path)
            self._reached("c8")
            if claims.take(str(path), claims.Claim(0, 0, "", "cancelled")):
                (path / SECRETS).unlink(missing_ok=True)
                _sync(path)
                _sync(self.active)
                return
        except OSError as error:
            raise refused(error, unknown=True) from error
        _tell(path)

    def end_gangs(self, key: str, tasks: Collection[int]) -> None:
        """End our ranks of tasks of which a rank has failed on another host, also future ones.

        Raises:
            RefusedError: the wish could not be written.
        """
        path = self.active / _checked(key)
        try:
            if not path.is_dir():
                return
            known = broken_gangs(str(path))
            _write(path, PEERS, "\n".join({*known, *map(str, tasks)}).encode())
        except OSError as error:
            raise refused(error) from error
        _tell(path)

    def stop_tasks(self, key: str, tasks: Collection[int], grace_ms: int) -> None:
        """Leave word that some tasks are unwanted, those that wait too; then tell the runner.

        Raises:
            RefusedError: the wish could not be written.
        """
        path = self.active / _checked(key)
        try:
            if not path.is_dir():
                return
            wanted = {**dict.fromkeys(map(str, tasks), max(0, grace_ms)), **unwanted(str(path))}
            data = "".join(f"{task} {grace}\n" for task, grace in wanted.items())
            _write(path, UNWANTED, data.encode())
            _sync(path / UNWANTED)
            _sync(path)
        except OSError as error:
            raise refused(error, unknown=True) from error
        _tell(path)

    def forget(self, key: str) -> None:
        """Move the folder to `kept/` with claim, journal and logs; drop the rest.

        Raises:
            RefusedError: it still runs, or the disk refuses.
        """
        path = self.active / _checked(key)
        try:
            claim = claims.read(str(path))
            if claim is None and not path.exists():
                return
            if claim is not None and closing(path) is None and self.alive(claim):
                raise RefusedError(f"attempt {key} still runs", "stop it first")
            for entry in list(path.iterdir()):
                if not _worth_keeping(entry):
                    _remove(entry)
            path.rename(self._kept / path.name)
        except OSError as error:
            raise refused(error, unknown=True) from error
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


def closing(path: Path) -> str | None:
    """Return the reason in the journal's last line (`-` for none), None while it is not written.

    Its runner may live a moment longer.
    """
    try:
        with (path / JOURNAL).open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
            line = file.read().rpartition(b" .\n")[0].rpartition(b"\n")[2]
    except FileNotFoundError:
        return None
    words = line.split(b" ")
    return words[1].decode("ascii", "replace") if words[0] == b"D" and len(words) == 3 else None


def _checked(key: str) -> str:
    """Return the key if it can be a folder's name."""
    if not _KEY.fullmatch(key):
        raise RefusedError(f"{key[:80]!r} is not an attempt key")
    return key


def _check_epoch(path: Path, key: str, epoch: int) -> None:
    """Refuse an order of a former leader; remember a newer one."""
    seen = max(_epoch_in(path / ORDER), _epoch_in(path / EPOCH))
    if epoch < seen:
        raise RefusedError(
            f"epoch {epoch} is over, epoch {seen} has attempt {key}",
            "another hub has taken over; this one must stop",
        )
    if epoch > seen:
        _write(path, EPOCH, f"epoch {epoch}\n".encode())


def _tell(path: Path) -> None:
    """Make the runner look for what was written for it."""
    try:
        control = os.open(path / CONTROL, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return  # it has ended, or has not come so far and will find the file
    try:
        os.write(control, b"look\n")
    except OSError:
        return
    finally:
        os.close(control)


def _worth_keeping(entry: Path) -> bool:
    """Return whether an entry of an ended attempt's folder stays."""
    if entry.name == RUNNER_ERRORS:
        return entry.stat().st_size > 0
    return entry.name in (claims.CLAIM, JOURNAL) or entry.name.endswith(".log")


def _remove(entry: Path) -> None:
    """Remove a file, a link or a whole folder; a runner that came too late tidies up itself."""
    if entry.is_dir() and not entry.is_symlink():
        remove_tree(str(entry))
    else:
        entry.unlink(missing_ok=True)


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


def refused(error: OSError, *, unknown: bool = False) -> RefusedError:
    """Return what the operator is told."""
    hint = "see the system's log"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "the disk of the site's folder is full: free some space, work goes on by itself"
    elif error.errno in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE):
        hint = "this machine is short of processes, memory or descriptors (ulimit -u, -n)"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        hint = "the user who runs it must be able to write the site's folder"
    what = f"{error.strerror or error}: {error.filename or 'attempt folder'}"
    return RefusedError(what, hint, unknown=unknown)
