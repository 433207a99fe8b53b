"""Named points at which a test may kill the hub, to show that nothing depends on luck.

Compiled in and off by default: `FENGLIN_CRASH_AT=c3` kills the process with SIGKILL when it
first reaches c3, `c3:5` when it reaches it for the fifth time.

    c0 before a submit's commit     c1 committed, not answered
    c2 planned, nothing written     c3 intent committed, site not called
    c4 site called, no answer yet   c5 site answered, not recorded
    c6 recorded, nobody told        c7 cancel committed, site not called
    c8 stop sent, no answer yet     c9 stop answered, not recorded
    c10 end seen, not posted        c11 inside the posting's transaction
    c12 posted, nothing else done

What a hub passes on rare occasions, and what `fenglin db` passes:

    c13 lease renewed, not told     c14 in the midst of a migration
    c15 a table of a backup filled  c16 a piece of an upload written
    c17 a cycle's log half written  c18 epoch raised, not committed
    c19 store closed, lease kept    c20 all sites settled, nobody told
"""

from __future__ import annotations

import os
import re
import signal
from itertools import count
from typing import TYPE_CHECKING

from fenglin.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

POINTS = tuple(f"c{n}" for n in range(13))
"""What every hub passes in its daily work."""
RARE_POINTS = tuple(f"c{n}" for n in range(13, 21))
"""What it passes when it starts or ends, has a lease, or is sent a file."""


def parse_crash_at(text: str) -> tuple[str, int]:
    """Return the point and how many times it is passed before the kill, from `c3` or `c3:5`.

    Raises:
        InputError: unknown point or a count below 1.
    """
    match = re.fullmatch(r"(c\d{1,2})(?::([1-9]\d{0,8}))?", text, re.ASCII)
    if match is None or match[1] not in POINTS + RARE_POINTS:
        raise InputError(
            f"{text[:80]!r} is not a crash point",
            where="FENGLIN_CRASH_AT",
            hint="write c0…c20 or c3:5",
        )
    return match[1], int(match[2] or 1)


_ARMED, _AT = "", 0
_passed = count(1)
WATCHERS: list[Callable[[str], None]] = []
"""Called at each point, for simulations of many hubs in one process; empty in every real hub."""


def arm(text: str) -> None:
    """Arm a point in this process, from `c3` or `c3:5`; nothing arms none.

    Raises:
        InputError: unknown point or a count below 1.
    """
    global _ARMED, _AT, _passed  # noqa: PLW0603 - one per process, as the environment is
    _ARMED, _AT = parse_crash_at(text) if text else ("", 0)
    _passed = count(1)


def crash_point(name: str) -> None:
    """Die here when this point is armed and its turn has come; otherwise do nothing."""
    if name == _ARMED and next(_passed) == _AT:
        os.kill(os.getpid(), signal.SIGKILL)
    for watch in WATCHERS:
        watch(name)


arm(os.environ.get("FENGLIN_CRASH_AT", ""))
