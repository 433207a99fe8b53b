"""What the run ran on, and how busy that was: a fixed loop timed before and after."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LOOP = 1_000_000
PACKAGES = (
    "fenglin", "uvicorn", "uvloop", "msgspec", "numpy",
    "dask", "distributed", "parsl", "hyperqueue",
)  # fmt: skip


def yardstick_ms(repeats: int = 3) -> float:
    """Return the median time of counting to a million in Python, in milliseconds."""
    times: list[float] = []
    for _ in range(repeats):
        begun = time.perf_counter()
        count = 0
        for number in range(LOOP):
            count += number
        times.append((time.perf_counter() - begun) * 1_000)
    return statistics.median(times)


def facts() -> dict[str, str]:
    """Return what this machine is, in words."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores visible",
        "memory": f"{memory_bytes / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "load before": " ".join(f"{load:.1f}" for load in os.getloadavg()),
    }


def versions() -> dict[str, str]:
    """Return the versions of what takes part."""
    found: dict[str, str] = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
