"""A copy of one kind of our objects, kept by a watch that is resumed, or listed anew.

One listing at first, and again when the server no longer knows the version (410) or when somebody
must be certain (`relist`). In between only changes come over the line.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from fenglin.drivers.kubernetes.api import ApiError
from fenglin.drivers.kubernetes.views import Claim, Job, Pod, attempt_of
from fenglin.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fenglin.drivers.kubernetes.api import Api

K = TypeVar("K", Pod, Job, Claim)
GONE = 410
RETRY_FIRST_S = 0.05
RETRY_LAST_S = 5.0


class Mirror(Generic[K]):
    """The objects that carry our labels.

    Attributes:
        listings: How often everything was listed.
    """

    def __init__(
        self, api: Api, path: str, kind: type[K], selector: str, changed: Callable[[str], None]
    ) -> None:
        """Take what to mirror and whom to tell the attempt's key of each change."""
        self._api = api
        self._path = path
        self._kind: type[K] = kind
        self._selector = selector
        self._changed = changed
        self._decoder: msgspec.json.Decoder[K] = msgspec.json.Decoder(kind)
        self._found: dict[str, dict[str, K]] = {}
        self._gone: dict[str, dict[str, K]] = {}
        self._version = ""
        self._era = 0
        self._until: asyncio.Timeout | None = None
        self._listing: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self.listings = 0

    def of(self, key: str) -> dict[str, K]:
        """Return name → object of an attempt, as far as is known."""
        return self._found.get(key, {})

    def gone(self, key: str) -> dict[str, K]:
        """Return uid → last sight of objects of an attempt that were deleted since we look."""
        return self._gone.get(key, {})

    def keys(self) -> frozenset[str]:
        """Return the keys of all attempts that have such an object."""
        return frozenset(key for key, objects in self._found.items() if objects)

    def put(self, data: bytes) -> K:
        """Take in an object as a call of ours has answered it; return it."""
        kept = self._decoder.decode(data)
        self._take(kept)
        return kept

    def forget(self, key: str) -> None:
        """Drop what was seen of an attempt."""
        self._found.pop(key, None)
        self._gone.pop(key, None)

    async def ready(self) -> None:
        """List once, then keep watching.

        Raises:
            DriverError: it cannot be listed.
        """
        if not self._version:
            await self.relist()
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())

    async def relist(self) -> None:
        """List everything anew, for whoever must be certain. Callers at the same time share one.

        Raises:
            DriverError: the listing is not complete; nothing has changed.
        """
        listing = self._listing
        if listing is not None and not listing.done():
            # One that is under way may have passed by what its caller has just made.
            with contextlib.suppress(DriverError):
                await asyncio.shield(listing)
            listing = self._listing
        if listing is None or listing.done():
            listing = self._listing = asyncio.create_task(self._list())
            listing.add_done_callback(_heard)
        await asyncio.shield(listing)

    async def close(self) -> None:
        """Stop watching. Idempotent."""
        tasks = [task for task in (self._watching, self._listing) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _list(self) -> None:
        found, version = await self._api.pages(self._path, self._kind, self._selector)
        fresh: dict[str, dict[str, K]] = {}
        for kept in found:
            fresh.setdefault(attempt_of(kept), {})[kept.metadata.name] = kept
        before, self._found = self._found, fresh
        self._version = version
        self._era += 1
        self.listings += 1
        if self._until is not None:
            # It may have told what is newer than the listing, and must tell it again.
            self._until.reschedule(0)
            self._until = None
        for key, objects in before.items():
            now = fresh.get(key, {})
            for name, kept in objects.items():
                if name not in now or now[name].metadata.uid != kept.metadata.uid:
                    self._gone.setdefault(key, {})[kept.metadata.uid] = kept
        for key in before.keys() | fresh.keys():
            if before.get(key) != fresh.get(key):
                self._changed(key)

    async def _watch(self) -> None:
        """Follow the changes for as long as the driver lives."""
        pause_s = RETRY_FIRST_S
        while True:
            try:
                await self._follow()
                pause_s = RETRY_FIRST_S
            except DriverError as error:
                if isinstance(error, ApiError) and error.status == GONE:
                    self._version = ""
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_LAST_S)
            if not self._version:
                with contextlib.suppress(DriverError):
                    await self._list()

    async def _follow(self) -> None:
        """Take in changes until the server ends the watch or somebody has listed anew."""
        era = self._era
        events = self._api.watch(self._path, self._selector, self._version)
        try:
            async with (
                contextlib.aclosing(events) as stream,  # type: ignore[type-var]
                asyncio.timeout(None) as self._until,
            ):
                async for what, data in stream:
                    if era != self._era:
                        return
                    kept = self._decoder.decode(data)
                    self._version = kept.metadata.resource_version or self._version
                    if what == "DELETED":
                        self._drop(kept)
                    elif what != "BOOKMARK":
                        self._take(kept)
        except TimeoutError:
            return
        finally:
            self._until = None

    def _take(self, kept: K) -> None:
        objects = self._found.setdefault(attempt_of(kept), {})
        known = objects.get(kept.metadata.name)
        if known is not None and not _newer(kept, known):
            return
        if known is not None and known.metadata.uid != kept.metadata.uid:
            self._gone.setdefault(attempt_of(kept), {})[known.metadata.uid] = known
        objects[kept.metadata.name] = kept
        self._changed(attempt_of(kept))

    def _drop(self, kept: K) -> None:
        key = attempt_of(kept)
        known = self.of(key).get(kept.metadata.name)
        if known is None or known.metadata.uid != kept.metadata.uid:
            return
        del self._found[key][kept.metadata.name]
        self._gone.setdefault(key, {})[kept.metadata.uid] = kept
        self._changed(key)


def _heard(listing: asyncio.Task[None]) -> None:
    """Take note of how a listing ended, where nobody waits for it any more."""
    if not listing.cancelled():
        listing.exception()


def _newer(kept: K, known: K) -> bool:
    """Return whether one sight of an object is later than another: our own call may be ahead."""
    ours, theirs = kept.metadata.resource_version, known.metadata.resource_version
    if ours.isdecimal() and theirs.isdecimal():
        return int(ours) > int(theirs)
    return ours != theirs
