"""The FIFO into which runners write when there is news, where the file system carries it.

On one machine it does, and nothing waits for a poll. Over a network file system a FIFO joins
only processes of one machine: nothing is heard then, and listings find the news.

Every element is a runner of its own, so thousands may write within a minute. The first is passed
on at once; what comes soon after it is passed on together, since each look of the hub takes
processor time from whatever runs beside it.
"""

from __future__ import annotations

import asyncio
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


REST_S = 0.25


class Poke:
    """Hears runners on the running loop."""

    def __init__(self, path: Path, heard: Callable[[], None]) -> None:
        """Make the FIFO.

        Raises:
            OSError: it cannot be made; some file systems have none.
        """
        try:
            if not stat.S_ISFIFO(path.lstat().st_mode):
                path.unlink()
                os.mkfifo(path, 0o600)
        except FileNotFoundError:
            os.mkfifo(path, 0o600)
        # For reading and writing, so that it never reports end-of-file.
        self._file = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._heard = heard
        self._loop: asyncio.AbstractEventLoop | None = None
        self._rest: asyncio.TimerHandle | None = None
        self._more = False

    def listen(self) -> None:
        """Hear on the running loop from now on; there is none yet when a driver is built."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop and self._file >= 0:
            self._loop, self._rest = loop, None
            loop.add_reader(self._file, self._read)

    def close(self) -> None:
        """Stop hearing. Idempotent."""
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        if self._file >= 0:
            if self._loop is not None:
                self._loop.remove_reader(self._file)
            os.close(self._file)
        self._file = -1

    def _read(self) -> None:
        try:
            os.read(self._file, 2**16)
        except BlockingIOError:
            return
        if self._rest is not None:
            self._more = True
            return
        self._pass_on()

    def _pass_on(self) -> None:
        """Tell of the news, and keep what follows for a while."""
        self._more = False
        if self._loop is not None:
            self._rest = self._loop.call_later(REST_S, self._rested)
        self._heard()

    def _rested(self) -> None:
        self._rest = None
        if self._more:
            self._pass_on()
