# ruff: noqa: PTH123, TID252
"""What a host is: cores, memory, disk, container runtimes, and what tools say about cards."""

from __future__ import annotations

import os
import subprocess

from .container import RUNTIMES, find

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TOOL_TIMEOUT_S = 5.0
TOOL_BYTES = 2**18
# Each tool with arguments that exist in all its versions we know of; parsed at the hub.
TOOLS = {
    "nvidia-smi": ["--query-gpu=index,name,memory.total", "--format=csv,noheader,nounits"],
    "npu-smi": ["info"],
    "rocm-smi": ["--showproductname", "--showmeminfo", "vram", "--json"],
    "hy-smi": ["--showproductname", "--showmeminfo", "vram", "--json"],
}
# Where makers put them; a session without login does not have these on its PATH.
FOLDERS = ("/usr/local/bin", "/usr/local/sbin", "/usr/sbin", "/opt/rocm/bin", "/opt/dtk/bin")


def facts(folder: str) -> dict[str, Any]:
    """Return what the machine holds; `disk_bytes` of the filesystem of a folder."""
    disk = os.statvfs(folder)
    page_bytes = os.sysconf("SC_PAGE_SIZE")
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * page_bytes,
        "disk_bytes": disk.f_blocks * disk.f_frsize,
        "disk_free_bytes": disk.f_bavail * disk.f_frsize,
        "kernel": os.uname().release,
        "hostname": os.uname().nodename,
        "boot": _boot(),
        "containers": [name for name in RUNTIMES if find(name)],
        "tools": {name: text for name in TOOLS if (text := _ask(name)) is not None},
    }


def _boot() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def _ask(tool: str) -> str | None:
    """Return what a tool prints; None when it is not there, empty when it fails or hangs."""
    folders = [*os.environ.get("PATH", os.defpath).split(os.pathsep), *FOLDERS]
    paths = [f"{folder}/{tool}" for folder in folders if os.access(f"{folder}/{tool}", os.X_OK)]
    if not paths:
        return None
    try:
        done = subprocess.run(
            [paths[0], *TOOLS[tool]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=TOOL_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout[:TOOL_BYTES].decode("utf-8", "replace") if not done.returncode else ""
