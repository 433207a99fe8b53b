# ruff: noqa: PTH100, PTH120
"""The entrypoint of a job that needs several places: `python spread.py`, by Ray's own means.

Each place is an actor that reserves what its slots need and stands wherever Ray finds room,
spread over the nodes. Tasks are dealt out as slots come free, so that a quick place takes more
of them; short tasks are dealt a little ahead. All news pass through here into the job's log.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

    from fenglin.drivers.ray.node import place as places
    from fenglin.runner.host import order, sights
else:
    HERE = os.path.dirname(os.path.abspath(__file__))
    if HERE not in sys.path:
        sys.path.insert(0, HERE)
    import place as places
    from host import order, sights

SIGTERM = 15
NEWS_WITHIN_S = 1.0
MOST_NEWS_BYTES = 2**23
# Between two tries to reach a place.
AGAIN_S = 0.2
# Tasks that take less than this are dealt ahead: as many as a slot ends in that time.
AHEAD_S = 0.2
MOST_AHEAD = 64


class Holder:
    """What stands at a place: a `Place` in a thread, asked for its news. Becomes a Ray actor."""

    def __init__(self, values: dict[str, list[str]], slots: int) -> None:
        """Start the place."""
        self._news: deque[bytes] = deque()
        self._size = 0
        # What was told last, and its place in all that was ever told.
        self._told = b""
        self._told_at = 0
        self._given: set[int] = set()
        self._asked = False
        self._changed = threading.Condition()
        self._over = False
        self._place = places.Place(values, slots, self._take)
        threading.Thread(target=self._run, daemon=True).start()

    def news(self, heard: int) -> tuple[bytes, bool]:
        """Return lines for the hub, and whether none follow; waits a while for some.

        Not at first, since who asks has tasks for a place that answers. An answer may be lost on
        its way: what was not heard is told again, to whoever asks.

        Args:
            heard: How many bytes of all news have come through.
        """
        with self._changed:
            wait_s = NEWS_WITHIN_S if self._asked else 0.0
            self._asked = True
            if heard == self._told_at + len(self._told):
                self._told, self._told_at = b"", heard
            self._changed.wait_for(lambda: self._told or self._news or self._over, wait_s)
            if not self._told:
                self._told = b"".join(self._news)
                self._news.clear()
                self._size = 0
                self._changed.notify_all()
            return self._told[heard - self._told_at :], self._over and not self._news

    def give(self, tasks: list[int]) -> None:
        """Add tasks, those that it was not given before."""
        with self._changed:
            fresh = [task for task in tasks if task not in self._given]
            self._given.update(fresh)
        self._place.give(fresh)

    def close(self) -> None:
        """Say that no more tasks follow."""
        self._place.close()

    def stop(self, grace_ms: int) -> None:
        """End what runs."""
        self._place.stop(grace_ms)

    def _run(self) -> None:
        try:
            self._place.run()
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()

    def _take(self, data: bytes) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._size < MOST_NEWS_BYTES)
            self._news.append(data)
            self._size += len(data)
            self._changed.notify_all()


class Stand:
    """A place as it is seen from here.

    Attributes:
        slots: How many tasks may run there at once.
        open: Tasks that were dealt to it and have not ended.
        begun: Those of them that have started → Unix time in milliseconds.
        up: Whether it has answered.
        heard: How many bytes of its news have come through.
        closed: Whether it was told that no more tasks follow.
    """

    def __init__(self, actor: Any, slots: int) -> None:  # noqa: ANN401 - Ray has no types here
        """Take the actor."""
        self.actor = actor
        self.slots = slots
        self.open: set[int] = set()
        self.begun: dict[int, int] = {}
        self.up = False
        self.heard = 0
        self.closed = False


class Spread:
    """Deals out the tasks of one order."""

    def __init__(self, ray: Any, values: dict[str, list[str]]) -> None:  # noqa: ANN401 - as above
        """Ask Ray for the places."""
        self._ray = ray
        # Older Rays have only errors that are final.
        self._unavailable = getattr(ray.exceptions, "ActorUnavailableError", ())
        self._said: dict[object, Stand] = {}
        self._tell = places.Teller().tell
        self._order = order.Order(values)
        self._waiting = deque(order.indices(self._order.tasks))
        self._stopping = False
        self._cancelled = False
        self._lost = False
        self._ended = 0
        self._wall_s = 0.0
        actor = ray.remote(Holder)
        self._stands = [
            Stand(actor.options(**_options(values, slots)).remote(values, slots), slots)
            for _, slots, _ in self._order.shares
        ]

    def stop(self, _number: int, _frame: FrameType | None) -> None:
        """Note that the attempt is to end (a signal's handler)."""
        self._stopping = True

    def run(self) -> None:
        """Work until every task has ended."""
        asked = {stand.actor.news.remote(0): stand for stand in self._stands}
        told = False
        while asked:
            if self._stopping and not told:
                told = True
                self._cancelled = bool(self._waiting)
                self._waiting.clear()
                for stand in asked.values():
                    self._say(stand, stand.actor.stop.remote(self._order.grace_ms))
            if not self._waiting and not any(stand.open for stand in asked.values()):
                break
            ready, _ = self._ray.wait([*asked, *self._said], timeout=0.2)
            for ref in ready:
                if ref in self._said:
                    self._arrived(self._said.pop(ref), ref)
                    continue
                stand = asked.pop(ref)
                if self._hear(stand, ref):
                    asked[stand.actor.news.remote(stand.heard)] = stand
                    self._deal(stand)
        reason = "cancelled" if self._cancelled else "-"
        if self._waiting:
            reason = "runner_lost"
        self._tell(b"D %s %d .\n" % (reason.encode(), time.time_ns() // 1_000_000))

    def _hear(self, stand: Stand, ref: object) -> bool:
        """Pass a place's news on; return whether more may come."""
        try:
            data, over = self._ray.get(ref)
        except self._unavailable as error:
            print(f"place did not answer: {error}", file=sys.stderr)  # noqa: T201 - the job's log
            self._repeat(stand)
            return True
        except self._ray.exceptions.RayError as error:
            print(f"place lost: {error}", file=sys.stderr)  # noqa: T201 - the job's log
            self._bury(stand)
            return False
        stand.up = True
        stand.heard += len(data)
        lines = []
        for line in data.split(b"\n"):
            words = line.split(b" ")
            if words[0] == b"S":
                stand.begun[int(words[1])] = int(words[3])
            elif words[0] == b"E":
                self._note_end(stand, words)
            elif words[0] == b"D":
                continue
            if line:
                lines.append(line + b"\n")
        self._tell(b"".join(lines))
        if over:
            self._bury(stand)
        return not over

    def _repeat(self, stand: Stand) -> None:
        """Say again what a place may not have heard while Ray could not reach it.

        Ray says so of a node that is busy; one that is lost it calls by another name, later.
        """
        time.sleep(AGAIN_S)
        left = sorted(stand.open - stand.begun.keys())
        if left:
            self._say(stand, stand.actor.give.remote(left))
        if stand.closed:
            stand.actor.close.remote()
        if self._stopping:
            self._say(stand, stand.actor.stop.remote(self._order.grace_ms))

    def _say(self, stand: Stand, ref: object) -> None:
        """Note what was said to a place, until it is known to have arrived."""
        self._said[ref] = stand

    def _arrived(self, stand: Stand, ref: object) -> None:
        """Look whether what was said has arrived; of a place that is lost its news tell."""
        try:
            self._ray.get(ref)
        except self._unavailable:
            self._repeat(stand)
        except self._ray.exceptions.RayError:
            return

    def _note_end(self, stand: Stand, words: list[bytes]) -> None:
        stand.open.discard(int(words[1]))
        stand.begun.pop(int(words[1]), None)
        self._cancelled = self._cancelled or words[5] == b"cancelled"
        self._ended += 1
        self._wall_s += int(words[3]) / 1_000

    def _deal(self, stand: Stand) -> None:
        """Give a place what it has slots for, and short tasks a little ahead."""
        ahead = 0
        if self._ended:
            ahead = min(MOST_AHEAD, int(AHEAD_S / max(0.001, self._wall_s / self._ended)))
        most = stand.slots * (1 + ahead)
        # Near the end everyone gets the same, or one place would work on alone.
        fair = -(-len(self._waiting) // len(self._stands))
        room = max(stand.slots, min(most, fair)) - len(stand.open)
        chosen = [self._waiting.popleft() for _ in range(min(room, len(self._waiting)))]
        if chosen:
            stand.open.update(chosen)
            self._say(stand, stand.actor.give.remote(chosen))
        elif not stand.open and not self._waiting and not stand.closed:
            stand.closed = True
            stand.actor.close.remote()

    def _bury(self, stand: Stand) -> None:
        """End what a place had when it was lost; whether it had begun is not known of all."""
        if self._stopping:
            self._cancelled = self._cancelled or bool(stand.open)
        reason = b"cancelled" if self._stopping else b"runner_lost"
        now_ms = time.time_ns() // 1_000_000
        rows = []
        for task in sorted(stand.open):
            begun = stand.begun.get(task, now_ms)
            row = (task, begun, now_ms - begun, sights.LOST_EXIT_CODE, reason)
            rows.append(b"E %d %d %d %d %s 0 0 .\n" % row)
        stand.open.clear()
        if rows:
            self._tell(b"".join(rows))


def _options(values: dict[str, list[str]], slots: int) -> dict[str, Any]:
    """Return what Ray must have free for a place of so many slots, and how it chooses."""
    custom = dict(text.rsplit(" ", 1) for text in values.get("ray_resource", []))
    kinds = {name for name in custom if name.startswith("accelerator_type:")}
    gpus = float(custom.pop("GPU", 0)) * slots
    return {
        "max_restarts": 0,
        "max_concurrency": 4,
        "scheduling_strategy": "SPREAD",
        "num_cpus": float(values["ray_cpus"][0]) * slots,
        "num_gpus": gpus,
        "memory": int(values["memory_bytes"][0]) * slots,
        "resources": {n: float(v) * (1 if n in kinds else slots) for n, v in custom.items()},
    }


def main() -> int:
    """Run everything."""
    ray = __import__("ray")
    values = places.read_order(os.path.dirname(os.path.abspath(__file__)))
    ray.init(log_to_driver=False, logging_level="error")
    spread = Spread(ray, values)
    __import__("_signal").signal(SIGTERM, spread.stop)
    spread.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
