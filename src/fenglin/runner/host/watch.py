# ruff: noqa: PTH123, PTH208
"""What a task uses now: memory of its process tree, size of its folder.

A watch rather than a cgroup: it needs no privilege and costs a task that ends within half a
second nothing.
"""

from __future__ import annotations

import os

MEMORY_INTERVAL_S = 0.5
DISK_INTERVAL_S = 5.0
WALK_ENTRIES = 20_000
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def tree_memory_bytes(roots: list[int], limit_bytes: int) -> int:
    """Return the memory of processes and all below them.

    Resident memory counts shared pages once per process; only when that sum is above the limit
    is the kernel asked for the exact share (`Pss` of smaps_rollup), which is slow.
    """
    pids = _tree(roots)
    resident = sum(_resident_bytes(pid) for pid in pids)
    if resident <= limit_bytes:
        return resident
    return sum(_proportional_bytes(pid) for pid in pids)


def tree_cpu_s(roots: list[int]) -> float:
    """Return the CPU time of processes and all below them, those included that they waited for."""
    ticks = 0
    for pid in _tree(roots):
        try:
            with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
                data = file.read(1024)
        except OSError:
            continue
        # Fields 14 to 17 of proc(5), counted behind the name.
        ticks += sum(int(word) for word in data[data.rindex(b")") + 2 :].split()[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def tree_disk_bytes(folder: str) -> int:
    """Return the allocated bytes below a folder, looking at no more than 20,000 entries."""
    total = 0
    left = WALK_ENTRIES
    stack = [folder]
    while stack and left:
        try:
            with os.scandir(stack.pop()) as entries:
                for entry in entries:
                    left -= 1
                    if not left:
                        break
                    if entry.is_dir(follow_symlinks=False):
                        stack.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
        except OSError:
            continue
    return total


def _tree(roots: list[int]) -> list[int]:
    """Return the processes and all their descendants."""
    found = list(roots)
    for pid in found:
        try:
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/children", "rb", buffering=0) as file:
                    found += [int(child) for child in file.read(2**16).split()]
        except (OSError, ValueError):
            continue
    return found


def _resident_bytes(pid: int) -> int:
    """Return the second field of statm, in bytes; 0 when the process is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb", buffering=0) as file:
            return int(file.read(256).split()[1]) * PAGE_BYTES
    except (OSError, IndexError):
        return 0


def _proportional_bytes(pid: int) -> int:
    """Return the proportional set size; the resident size where the kernel does not tell."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        return _resident_bytes(pid)
    return 0
