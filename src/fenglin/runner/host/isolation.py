# ruff: noqa: PTH102, PTH106, PTH110, PTH112, PTH116, PTH123, PTH208, SIM105, TID252
"""Tasks in groups of the kernel's own: nothing gets out, limits hold at once, time is exact.

`cgroup` makes a control group per task below our own, of version 2 where that may be written, else
of version 1 (as root). `systemd` starts tasks in scopes of the service manager. `auto` takes what
there is. Where neither is to be had, tasks run as they would without, and a line on the runner's
standard error says so. Tasks in containers are left to the container runtime.
"""

from __future__ import annotations

import os
import time

from . import proc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .order import Order
    from .task import Task

NONE = "none"
CGROUP = "cgroup"
SYSTEMD = "systemd"
AUTO = "auto"
KINDS = (NONE, CGROUP, SYSTEMD, AUTO)
MOUNT = "/sys/fs/cgroup"
PREFIX = "fenglin-"
STALE_S = 86_400
LEAST_BYTES = 2**24
KILL_ROUNDS = 200
KILL_PAUSE_S = 0.005
RUNTIME = "XDG_RUNTIME_DIR"


class Groups:
    """Control groups of one attempt's tasks.

    The runner enters a task's groups, starts its process, which is born in them, and goes back:
    so there is no moment in which the process could make another one outside.
    """

    def __init__(self, order: Order, mount: str = MOUNT) -> None:
        """Find where groups may be made.

        Raises:
            OSError: nowhere.
        """
        self._key = order.key
        # We stand in a group ourselves for a moment: a limit of nothing would end us.
        self._memory_bytes = max(order.memory_bytes, LEAST_BYTES) if order.memory_bytes else 0
        self._cpus = float(order.cpus)
        self._bases = _bases(mount)
        self._limits = [f"{base}/{PREFIX}{order.key}" for base in self._bases]
        sweep(self._bases, time.time())
        # Whether it works here is seen now, not when the first task starts.
        self._make("probe")
        self._drop("probe")

    def enter(self, task: Task) -> None:
        """Make a task's groups and go into them.

        Raises:
            OSError: they cannot be made now.
        """
        for folder in self._make(str(task.index)):
            _write(f"{folder}/cgroup.procs", "0")

    def leave(self) -> None:
        """Go back to where we were."""
        for base in self._bases:
            _write(f"{base}/cgroup.procs", "0")

    def kill(self, task: Task) -> None:
        """Kill all that is in a task's groups."""
        folders = self._folders(str(task.index))
        for folder in folders:
            if _written(f"{folder}/cgroup.kill", "1"):
                return
        for pid in _pids(folders[0]):
            proc.signal_pid(pid, proc.SIGKILL)

    def close(self, task: Task) -> None:
        """End what is left of a task, note its exact CPU time and whether memory ran out."""
        folders = self._folders(str(task.index))
        for _ in range(KILL_ROUNDS):
            if not any(_pids(folder) for folder in folders):
                break
            self.kill(task)
            time.sleep(KILL_PAUSE_S)
        for folder in folders:
            used_s = _cpu_s(folder)
            task.cpu_s = max(task.cpu_s, used_s)
            if _ran_out(folder) and task.exit_code and not task.reason:
                task.reason = "memory_exceeded"
                task.log.note(f"memory: more than the {self._memory_bytes} bytes asked for")
        self._drop(str(task.index))

    def _folders(self, name: str) -> list[str]:
        return [f"{limit}.{name}" for limit in self._limits]

    def _make(self, name: str) -> list[str]:
        folders = self._folders(name)
        shares = max(2, int(1024 * self._cpus))
        weight = min(10_000, max(1, int(100 * self._cpus)))
        for folder in folders:
            try:
                os.mkdir(folder)
            except FileExistsError:
                pass
            # Each is there only where its controller is; the watch of the runner goes on anyway.
            if self._memory_bytes:
                _written(f"{folder}/memory.limit_in_bytes", str(self._memory_bytes))
                _written(f"{folder}/memory.max", str(self._memory_bytes))
                _written(f"{folder}/memory.swap.max", "0")
            _written(f"{folder}/cpu.shares", str(shares))
            _written(f"{folder}/cpu.weight", str(weight))
        return folders

    def _drop(self, name: str) -> None:
        for folder in self._folders(name):
            _remove(folder)


def groups(order: Order) -> Groups | None:
    """Return the groups that an order asks for; None for none, or where there can be none."""
    if order.isolation not in (CGROUP, AUTO) or order.image:
        return None
    try:
        return Groups(order)
    except OSError as error:
        if order.isolation == CGROUP:
            os.write(2, f"fenglin: no control groups here: {error}\n".encode(errors="replace"))
        return None


def scope(order: Order) -> list[str]:
    """Return the words before a command that start it in a scope of systemd; empty for none."""
    if order.isolation not in (SYSTEMD, AUTO) or order.image:
        return []
    program = _program("systemd-run")
    ours = os.geteuid() == 0
    if not program or not (ours or os.environ.get(RUNTIME)) or not os.path.isdir("/run/systemd"):
        if order.isolation == SYSTEMD:
            os.write(2, b"fenglin: systemd runs no scopes for us here\n")
        return []
    weight = min(10_000, max(1, int(100 * float(order.cpus))))
    words = [program, *([] if ours else ["--user"]), "--scope", "--quiet", "--collect"]
    if order.memory_bytes:
        words += [f"--property=MemoryMax={order.memory_bytes}", "--property=MemorySwapMax=0"]
    return [*words, f"--property=CPUWeight={weight}", "--"]


def kill_leftovers(key: str) -> int:
    """Kill what a dead runner has left in its groups; return how many processes there were."""
    try:
        bases = _bases(MOUNT)
    except OSError:
        return 0
    found: set[int] = set()
    for base in bases:
        for name in os.listdir(base):
            if name.startswith(f"{PREFIX}{key}."):
                pids = _pids(f"{base}/{name}")
                found.update(pids)
                for pid in pids:
                    proc.signal_pid(pid, proc.SIGKILL)
                if not pids:
                    _remove(f"{base}/{name}")
    return len(found)


def sweep(bases: list[str], now_s: float) -> None:
    """Remove empty groups that killed runners left long ago; one in use cannot be removed."""
    for base in bases:
        for name in os.listdir(base):
            path = f"{base}/{name}"
            try:
                if name.startswith(PREFIX) and os.stat(path).st_mtime < now_s - STALE_S:
                    os.rmdir(path)
            except OSError:
                continue


def _bases(mount: str) -> list[str]:
    """Return our own groups, below which those of tasks are made.

    Raises:
        OSError: there are none that we may write.
    """
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        rows = [line.rstrip("\n").split(":", 2) for line in file]
    unified = [path for number, names, path in rows if number == "0" and not names]
    if unified and os.path.exists(f"{mount}/cgroup.controllers"):
        base = f"{mount}{unified[0]}".rstrip("/")
        # Refused where processes stand beside groups; then limits are left to the runner's watch.
        _written(f"{base}/cgroup.subtree_control", "+memory +cpu")
        found = [base]
    else:
        wanted = ("memory", "cpu", "cpuacct")
        named = {part: path for _, names, path in rows for part in names.split(",")}
        places = [f"{mount}/{name}{named[name]}".rstrip("/") for name in wanted if name in named]
        # Where controllers share a hierarchy their folders are one.
        found = list({os.path.realpath(place): place for place in places}.values())
    usable = [base for base in found if os.access(f"{base}/cgroup.procs", os.W_OK)]
    if not usable:
        raise OSError(f"no group below {mount} may be written")
    return usable


def _remove(folder: str) -> None:
    try:
        os.rmdir(folder)
    except OSError:
        return  # swept up by a later runner


def _pids(folder: str) -> list[int]:
    try:
        with open(f"{folder}/cgroup.procs", encoding="utf-8") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def _cpu_s(folder: str) -> float:
    """Return the CPU time of all that ever was in a group; 0 where it does not tell."""
    try:
        with open(f"{folder}/cpuacct.usage", encoding="utf-8") as file:
            return int(file.read()) / 1e9
    except OSError:
        return _field(f"{folder}/cpu.stat", "usage_usec") / 1e6


def _ran_out(folder: str) -> bool:
    """Return whether the kernel has killed for memory in a group."""
    events = _field(f"{folder}/memory.events", "oom_kill")
    return events > 0 or _field(f"{folder}/memory.oom_control", "oom_kill") > 0


def _field(path: str, name: str) -> int:
    """Return a number of a file of `name number` lines; 0 when it is not there."""
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                key, _, value = line.partition(" ")
                if key == name:
                    return int(value)
    except (OSError, ValueError):
        return 0
    return 0


def _written(path: str, text: str) -> bool:
    """Write a file of the kernel's, if it is there and takes it."""
    try:
        _write(path, text)
    except OSError:
        return False
    return True


def _write(path: str, text: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)


def _program(name: str) -> str:
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = f"{folder}/{name}"
        if folder and os.access(path, os.X_OK):
            return path
    return ""
