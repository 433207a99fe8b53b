"""What the hub learns of its attempts: from the mirrors into the journals, from there by cursor."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING

from fenglin.drivers.kubernetes import names
from fenglin.drivers.kubernetes.manifests import STOP, VOID, terms_of, unwanted_of
from fenglin.drivers.kubernetes.record import Record, Scene
from fenglin.model.reason import Reason
from fenglin.ports.driver import Observation, Presence
from fenglin.quantities.taskset import TaskSet
from fenglin.runner.host.journal import JOURNAL, NONE
from fenglin.runner.records import Cursor, Page, read_page

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from fenglin.drivers.kubernetes.cluster import Cluster
    from fenglin.drivers.kubernetes.manifests import Terms
    from fenglin.drivers.kubernetes.views import Claim, Pod

PAGE_BYTES = 2**18
FORGOTTEN = "forgotten"
UNREADABLE = (OSError, ValueError, KeyError, IndexError)


class Observer:
    """Looks at the attempts of one site.

    Attributes:
        unread: Whether the last pass left news for the next.
    """

    def __init__(
        self,
        cluster: Cluster,
        folder: Path,
        deliver: Callable[[str, Terms, int], Reason | None],
        lost_ms: int,
        now_ms: Callable[[], int],
    ) -> None:
        """Take the cluster, where journals are, and how artifacts come home."""
        self._cluster = cluster
        self._folder = folder
        self._deliver = deliver
        self._lost_ms = lost_ms
        self._now_ms = now_ms
        self._records: dict[str, Record] = {}
        self._stirred: set[str] = set()
        self._quiet: dict[str, tuple[str, Observation]] = {}
        self._pass = threading.RLock()
        self.unread = False

    def changed(self, key: str) -> None:
        """Note that something of an attempt has changed."""
        self._stirred.add(key)

    async def observe(self, cursors: Mapping[str, str]) -> list[Observation]:
        """Return one observation per key.

        Raises:
            DriverError: the cluster cannot be asked now.
        """
        await asyncio.gather(self._cluster.ready(), self._cluster.generation())
        seen = await asyncio.to_thread(self._look_all, dict(cursors))
        doubtful = {one.key for one in seen if one.presence is Presence.ABSENT}
        if doubtful:
            # Absence is believed after a listing that was made for it, and is complete.
            await self._cluster.relist()
            again = {key: cursors[key] for key in doubtful}
            told = {one.key: one for one in await asyncio.to_thread(self._look_all, again)}
            seen = [told.get(one.key, one) for one in seen]
        return seen

    def ended(self, key: str) -> set[int]:
        """Return the tasks of an attempt whose end is written down."""
        record = self._records.get(key)
        return record.ended if record is not None else set()

    def is_stray(self, key: str, pod: Pod) -> bool:
        """Return whether a pod runs a task that another pod has run."""
        record = self._records.get(key)
        return record is not None and record.is_stray(pod)

    def task_of(self, key: str, pod: Pod) -> int:
        """Return which task of an attempt a pod runs; -1 when that is not known."""
        record = self._records.get(key)
        task = record.task_of(pod) if record is not None else None
        return -1 if task is None else task

    def record(self, key: str) -> Record | None:
        """Return what is remembered of an attempt; None when nothing can be read."""
        with self._pass:
            try:
                return self._record(key)
            except UNREADABLE:
                return None

    def forget(self, key: str) -> None:
        """Drop what is remembered of a key; its journal and its logs stay."""
        with self._pass:
            self._records.pop(key, None)
            self._quiet.pop(key, None)
            folder = self._folder / key
            if folder.is_dir():
                (folder / FORGOTTEN).touch()

    def _look_all(self, cursors: dict[str, str]) -> list[Observation]:
        """Make one pass (in a worker thread)."""
        with self._pass:
            self.unread = False
            return [self._look(key, cursor) for key, cursor in cursors.items()]

    def _look(self, key: str, cursor: str) -> Observation:
        """Read one attempt's news; what cannot be read or understood is UNKNOWN."""
        stirred = key in self._stirred
        self._stirred.discard(key)
        try:
            record = self._records.get(key)
            quiet = self._quiet.get(key)
            waits = record is None or record.waits
            if quiet is not None and quiet[0] == cursor and not stirred and not waits:
                return quiet[1]
            self._quiet.pop(key, None)
            claim = self._cluster.claims.of(key).get(names.claim_name(key))
            if claim is not None and VOID in claim.data:
                return Observation(key, Presence.ENDED, reason=Reason(claim.data[VOID]))
            if not self._is_there(key, claim):
                return self._absent(key, cursor)
            record = self._record(key)
            if record is None:
                return Observation(key, Presence.UNKNOWN, cursor=cursor)
            record.merge(self._scene(key, claim))
            seen = self._page(key, record, cursor)
            if not seen.ends and seen.cursor == cursor and seen.presence is Presence.RUNNING:
                self._quiet[key] = (cursor, seen)
        except UNREADABLE:
            self._records.pop(key, None)
            self._stirred.add(key)
            return Observation(key, Presence.UNKNOWN, cursor=cursor)
        return seen

    def _is_there(self, key: str, claim: Claim | None) -> bool:
        """Return whether an attempt exists: its claim alone is half a start."""
        if claim is not None and STOP in claim.data:
            return True
        if self._cluster.jobs.of(key) or self._cluster.pods.of(key):
            return True
        return claim is not None and (self._folder / key / JOURNAL).exists()

    def _absent(self, key: str, cursor: str) -> Observation:
        """Judge a key of which the cluster has nothing: its end may be known all the same."""
        folder = self._folder / key
        if (folder / JOURNAL).exists() and not (folder / FORGOTTEN).exists():
            seen = self._read(key, cursor)
            if seen.presence is Presence.ENDED:
                return seen
        return Observation(key, Presence.ABSENT)

    def _record(self, key: str) -> Record | None:
        """Return the record of an attempt, remembered or read."""
        known = self._records.get(key)
        if known is not None:
            return known
        claim = self._cluster.claims.of(key).get(names.claim_name(key))
        terms = terms_of(claim) if claim is not None else None
        if terms is None:
            return None
        folder = self._folder / key
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

        def deliver(task: int) -> Reason | None:
            return self._deliver(key, terms, task)

        self._records[key] = record = Record(folder, terms, deliver, self._lost_ms)
        return record

    def _scene(self, key: str, claim: Claim | None) -> Scene:
        stop = claim.data.get(STOP, "") if claim is not None else ""
        return Scene(
            tuple(dict(self._cluster.pods.of(key)).values()),
            tuple(dict(self._cluster.pods.gone(key)).values()),
            tuple(dict(self._cluster.jobs.of(key)).values()),
            Reason(stop.split(" ")[1]) if stop else None,
            self._now_ms(),
            unwanted_of(claim) if claim is not None else TaskSet(),
        )

    def _page(self, key: str, record: Record, cursor: str) -> Observation:
        """Return what the journal holds since the cursor."""
        seen = self._read(key, cursor)
        if seen.presence is Presence.ENDED and not record.done:
            raise ValueError("another hub writes this journal")
        return seen

    def _read(self, key: str, cursor: str) -> Observation:
        place = Cursor.parse(cursor)
        path = self._folder / key / JOURNAL
        try:
            size = path.stat().st_size
            with path.open("rb") as file:
                file.seek(place.offset)
                data = file.read(PAGE_BYTES)
        except FileNotFoundError:
            size, data = 0, b""
        if not 0 <= place.offset <= size:
            raise ValueError(f"the journal ends before {place.offset}")
        page = _earliest(read_page(data, place), data, place)
        whole = len(data) < PAGE_BYTES
        self.unread = self.unread or not whole
        word = _closing(path) if whole else None
        return Observation(
            key,
            Presence.RUNNING if word is None else Presence.ENDED,
            page.ends,
            page.cursor.started,
            page.cursor.first_start_ms,
            str(page.cursor),
            None if word in {None, NONE} else Reason(word),
        )


def _closing(path: Path) -> str | None:
    """Return the word of a journal's last line; None while it is open."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 200))
            line = file.read().rstrip(b"\n").rpartition(b"\n")[2]
    except FileNotFoundError:
        return None
    words = line.decode("ascii", "replace").split(" ")
    return words[1] if words[0] == "D" and len(words) == 4 and words[-1] == "." else None


def _earliest(page: Page, data: bytes, before: Cursor) -> Page:
    """Return the page with the earliest start so far: pods are learned of in their own order."""
    known_ms = [before.first_start_ms] if before.first_start_ms else []
    lines = data[: data.rfind(b"\n") + 1].split(b"\n")
    found_ms = [
        int(words[3]) for line in lines if len(words := line.split(b" ")) == 5 and words[0] == b"S"
    ]
    cursor = Cursor(page.cursor.offset, page.cursor.started, min([*known_ms, *found_ms], default=0))
    return Page(cursor, page.ends, page.done, page.reason)
