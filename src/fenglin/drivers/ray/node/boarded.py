# ruff: noqa: PTH100, PTH120, PTH123
"""The runner of a place: like any other, but tied to the place by a line that both ends feel break.

    python -I -S -E boarded.py ATTEMPT_DIR FD

Ray ends a job by signals to all processes below its entrypoint, which would be no polite end for
tasks; so the runner leaves that tree, and hears of everything by the line: `task 3 4` adds tasks,
`close` says that no more follow, `stop MS` ends what runs. When the line breaks, the place is
gone, with it Ray's claim that the attempt holds this node: every task ends at once.
"""

from __future__ import annotations

import os
import select
import sys
import time
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fenglin.runner.host import claim, proc
    from fenglin.runner.host.journal import Journal
    from fenglin.runner.host.loop import STOP, Runner
    from fenglin.runner.host.main import _limits
    from fenglin.runner.host.order import ORDER, Order, decode
else:
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from host import claim, proc
    from host.journal import Journal
    from host.loop import STOP, Runner
    from host.main import _limits
    from host.order import ORDER, Order, decode

LINE_BYTES = 2**16


class _Queue:
    """An iterator that goes on after it was empty."""

    def __init__(self) -> None:
        self.tasks: deque[int] = deque()

    def __iter__(self) -> _Queue:
        return self

    def __next__(self) -> int:
        if not self.tasks:
            raise StopIteration
        return self.tasks.popleft()


class Boarded(Runner):
    """Runs the tasks that it is given, until no more follow or it is told to stop."""

    def __init__(
        self, directory: str, order: Order, journal: Journal, ticks: int, line: int
    ) -> None:
        """Take what every runner takes, and our end of the line."""
        super().__init__(directory, order, journal, ticks)
        self._line = line
        self._heard = b""
        self._closed = False
        self._queue = _Queue()
        self._indices = self._queue
        self._epoll.register(line, select.EPOLLIN)

    def run(self) -> None:
        """Work until every task has ended and none can follow, or the attempt was stopped."""
        while True:
            now_s = time.monotonic()
            self._fill(now_s)
            self._journal.flush(now_s)
            if not self._live and (self._stopping or (self._closed and self._next is None)):
                break
            for file, _ in self._epoll.poll(self._wait_s()):
                self._handle(file)
            self._tick(time.monotonic())
        # Daemons that left their process group end with the attempt.
        proc.kill_leftovers(self._order.key, os.getpid(), self._start_ticks)
        unfinished = self._cancelled or self._next is not None
        self._journal.done("cancelled" if unfinished else "", time.time_ns() // 1_000_000)
        self._journal.close()

    def _handle(self, file: int) -> None:
        """Deal with one ready descriptor."""
        if file != self._line:
            super()._handle(file)
            return
        data = os.read(file, LINE_BYTES)
        if not data:
            self._epoll.unregister(file)
            self._stop("0")
            return
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in lines:
            self._obey(line.decode("ascii").split())

    def _obey(self, words: list[str]) -> None:
        """Do what the place says."""
        if words[0] == "task":
            self._queue.tasks.extend(map(int, words[1:]))
            if self._next is None:
                self._next = next(self._queue, None)
        elif words[0] == "close":
            self._closed = True
        elif words[0] == "stop":
            self._stop(words[1])

    def _stop(self, grace: str) -> None:
        """End what runs; nothing begins any more."""
        with open(f"{self._directory}/{STOP}", "w", encoding="ascii") as file:
            file.write(grace)
        self._read_stop()


def main(directory: str, line: int) -> int:
    """Leave the tree of the entrypoint, then run the attempt in `directory`."""
    if os.fork():
        os._exit(0)
    os.setsid()
    os.set_inheritable(line, False)  # noqa: FBT003 - its one argument
    stat = proc.stat_of(os.getpid())
    ticks = stat[0] if stat else 0
    if not claim.take(directory, claim.Claim(os.getpid(), ticks, proc.boot_id())):
        return 1
    with open(f"{directory}/{ORDER}", "rb") as file:
        order = Order(decode(file.read()))
    os.environ[proc.MARK_VARIABLE] = proc.mark(order.key, os.getpid(), ticks)
    _limits(order)
    Boarded(directory, order, Journal(directory, order.key), ticks, line).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
