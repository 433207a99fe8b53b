# ruff: noqa: PTH108, PTH123
"""The right to run an attempt: taken once, by whoever links the file `claim` first.

The content is complete before the name appears (a hard link of a finished file), so a claim
is never seen half-written, whatever is killed when.
"""

from __future__ import annotations

import os

CLAIM = "claim"
VOID = "void"


class Claim:
    """Who took the attempt: a runner, or nobody ever (`void`, with the reason).

    Attributes:
        pid: Process id of the runner; 0 when void.
        start_ticks: Its start time, field 22 of proc(5) stat.
        boot: Boot id under which it runs.
        void: Reason why the attempt never runs; empty for a runner's claim.
    """

    __slots__ = ("boot", "pid", "start_ticks", "void")

    def __init__(self, pid: int, start_ticks: int, boot: str, void: str = "") -> None:
        """Take the identity of a runner, or zeros and the reason."""
        self.pid = pid
        self.start_ticks = start_ticks
        self.boot = boot
        self.void = void


def take(directory: str, claim: Claim) -> bool:
    """Claim the attempt; return False when it is claimed already."""
    text = f"{VOID} {claim.void}" if claim.void else f"{claim.pid} {claim.start_ticks} {claim.boot}"
    draft = f"{directory}/{CLAIM}.{os.getpid()}.{os.urandom(4).hex()}"
    with open(draft, "x", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, f"{directory}/{CLAIM}")
    except FileExistsError:
        return False
    finally:
        os.unlink(draft)
    return True


def read(directory: str) -> Claim | None:
    """Return the claim, None when there is none.

    Raises:
        OSError: it cannot be read now.
        ValueError: it is not a claim.
    """
    try:
        with open(f"{directory}/{CLAIM}", encoding="utf-8") as file:
            words = file.read().split()
    except FileNotFoundError:
        return None
    if words and words[0] == VOID:
        return Claim(0, 0, "", " ".join(words[1:]) or "cancelled")
    pid, start_ticks, boot = words
    return Claim(int(pid), int(start_ticks), boot)
