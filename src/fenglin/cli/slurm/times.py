"""Times as Slurm writes them."""

from __future__ import annotations

from datetime import datetime


def elapsed(length_ms: int) -> str:
    """Return `0:05`, `1:02:03` or `2-01:02:03`, as in squeue."""
    days, clock = divmod(max(0, length_ms) // 1_000, 86_400)
    hours, rest = divmod(clock, 3_600)
    minutes, seconds = divmod(rest, 60)
    if days:
        return f"{days}-{hours:02}:{minutes:02}:{seconds:02}"
    if hours:
        return f"{hours}:{minutes:02}:{seconds:02}"
    return f"{minutes}:{seconds:02}"


def long_elapsed(length_ms: int) -> str:
    """Return `00:00:05` or `2-01:02:03`, as in sacct."""
    days, clock = divmod(max(0, length_ms) // 1_000, 86_400)
    text = f"{clock // 3_600:02}:{clock // 60 % 60:02}:{clock % 60:02}"
    return f"{days}-{text}" if days else text


def moment(moment_ms: int, none: str = "N/A") -> str:
    """Return a local time such as `2027-03-01T08:00:05`."""
    if not moment_ms:
        return none
    return datetime.fromtimestamp(moment_ms / 1_000).astimezone().strftime("%Y-%m-%dT%H:%M:%S")
