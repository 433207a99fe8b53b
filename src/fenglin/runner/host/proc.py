# ruff: noqa: PTH123, PTH208
"""Who a process is (pid + start time + boot id), and how to end what a dead runner left.

Field numbers are those of proc(5). A pid alone is never trusted: the kernel uses it again.
"""

from __future__ import annotations

import os
import time

SIGTERM = 15
SIGKILL = 9
MARK_VARIABLE = "FENGLIN_ATTEMPT_MARK"
# More than any machine makes: as long as so many would not have used all numbers up, those of
# processes younger than ours lie between ours and the last one given.
FORKS_PER_S = 200_000


def boot_id() -> str:
    """Return the kernel's id of this boot; it changes at every reboot."""
    with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
        return file.read().strip()


def stat_of(pid: int) -> tuple[int, int] | None:
    """Return (start time in clock ticks since boot, session id) of a live process.

    None when there is no such process or it is a zombie, which runs nothing any more.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            data = file.read(1024)
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = data[data.rindex(b")") + 2 :].split()
    if fields[0] in (b"Z", b"X"):
        return None
    return int(fields[19]), int(fields[3])


def alive(pid: int, start_ticks: int, boot: str, this_boot: str) -> bool:
    """Return whether that very process still runs."""
    if boot != this_boot:
        return False
    stat = stat_of(pid)
    return stat is not None and stat[0] == start_ticks


def mark(key: str, runner_pid: int, runner_start: int) -> str:
    """Return what each process of an attempt carries: its key, and whose child it is.

    The key alone would also be that of a hub restored from a copy on the same machine.
    """
    return f"{key}:{runner_pid}:{runner_start}"


def leftovers(key: str, runner_pid: int, runner_start: int) -> list[int]:
    """Return live processes of an attempt: by its mark in their environment, or by session.

    The session id of a dead runner is not given to another process while members live; a
    session led by a live process with another start time is nevertheless not ours.
    """
    leader = stat_of(runner_pid)
    session = runner_pid if leader is None or leader[0] == runner_start else -1
    marker = f"{MARK_VARIABLE}={mark(key, runner_pid, runner_start)}".encode()
    me = os.getpid()
    found = []
    for pid in _younger(runner_pid, runner_start):
        if pid in (me, runner_pid):
            continue
        stat = stat_of(pid)
        if stat is None or stat[0] < runner_start:
            continue
        if stat[1] == session or _carries(pid, marker):
            found.append(pid)
    return found


def _younger(pid: int, start: int) -> list[int]:
    """Return all processes, or only those that may be younger where that is sure.

    A node has thousands of processes, and looking at each costs more than a short task.
    """
    found = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    tick_s = 1 / os.sysconf("SC_CLK_TCK")
    age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - (start - 1) * tick_s
    with open("/proc/sys/kernel/pid_max", "rb", buffering=0) as file:
        numbers = int(file.read(32))
    with open("/proc/loadavg", "rb", buffering=0) as file:
        last = int(file.read(128).split()[-1])
    if last < pid or age_s * FORKS_PER_S > numbers:
        return found
    return [other for other in found if pid < other <= last]


def kill_leftovers(key: str, runner_pid: int, runner_start: int) -> int:
    """Send SIGKILL to every leftover; return how many there were."""
    found = leftovers(key, runner_pid, runner_start)
    for pid in found:
        signal_pid(pid, SIGKILL)
    return len(found)


def signal_pid(pid: int, number: int) -> None:
    """Signal one process; none there is no error."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def signal_group(pgid: int, number: int) -> None:
    """Signal a process group whose leader we have not reaped yet, so the id is still its own."""
    try:
        os.killpg(pgid, number)
    except (ProcessLookupError, PermissionError):
        return


def _carries(pid: int, marker: bytes) -> bool:
    """Return whether the process was started with that variable."""
    try:
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as file:
            data = file.read(2**20)
    except OSError:
        return False
    return marker in data.split(b"\0")
