"""The book of purchases: every instance that was ever wanted, on disk before it is bought.

A purchase is WANTED from before the provider is asked, BOUGHT once the instance is known,
LEAVING from before it is given back, GONE when the provider says so. Nothing is ever removed:
the book is what charges are told from.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from fenglin.errors import DriverError
from fenglin.model.reason import Reason

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from pathlib import Path

T = TypeVar("T")
_DIGITS = 8


class Phase(StrEnum):
    """Where a purchase is in its life; it only goes forward."""

    WANTED = "wanted"
    BOUGHT = "bought"
    LEAVING = "leaving"
    GONE = "gone"


class Purchase(Struct, frozen=True, omit_defaults=True):
    """One instance, from the wish to its end.

    Attributes:
        number: Rises by one with each purchase of the site.
        node: Which node it is.
        flavor, machine, spot, hour_micro: What is bought, for how much an hour.
        fingerprint: Of its host key, the only one that is accepted.
        phase: How far it is.
        user_data: For cloud-init, with the private host key; dropped when it is bought.
        asked_ms: Unix time of the last request to buy it; 0 before the first.
        instance: The provider's id; empty while unknown.
        address: Where SSH reaches it.
        bought_ms: Unix time from which it is charged; 0 when it never was.
        ready_ms: Unix time when it first could run tasks; 0 before.
        gone_ms: Unix time of its end; 0 before.
        reason: Why it ended; None when it was given back by us.
        said: The same in words.
    """

    number: int
    node: str
    flavor: str
    machine: str
    spot: bool
    hour_micro: int
    fingerprint: str
    phase: Phase = Phase.WANTED
    user_data: str = ""
    asked_ms: int = 0
    instance: str = ""
    address: str = ""
    bought_ms: int = 0
    ready_ms: int = 0
    gone_ms: int = 0
    reason: Reason | None = None
    said: str = ""

    @property
    def usable(self) -> bool:
        """Return whether it can be given work, now or when it is up."""
        return self.phase in (Phase.WANTED, Phase.BOUGHT)

    @property
    def ready(self) -> bool:
        """Return whether it can run tasks now."""
        return self.phase is Phase.BOUGHT and self.ready_ms > 0


def token(hub: str, site: str, node: str, number: int) -> str:
    """Return what makes a repeated request the same request; ASCII, at most 64 characters."""
    text = "\0".join((hub, site, node, str(number)))
    return f"fenglin-{hashlib.sha256(text.encode()).hexdigest()[:48]}"


class Book:
    """All purchases of one site. Read at once, written one by one and for good."""

    def __init__(self, directory: Path) -> None:
        """Read what there is.

        Raises:
            OSError: the folder cannot be used.
        """
        self._folder = directory / "purchases"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._writing = asyncio.Lock()
        self._all: dict[int, Purchase] = {}
        for path in sorted(self._folder.iterdir()):
            if not path.name.startswith("."):
                one = msgspec.json.decode(path.read_bytes(), type=Purchase)
                self._all[one.number] = one

    @property
    def last(self) -> int:
        """Return the highest number that was ever used; 0 for none."""
        return max(self._all, default=0)

    def __getitem__(self, number: int) -> Purchase:
        """Return a purchase."""
        return self._all[number]

    def __contains__(self, number: int) -> bool:
        """Return whether there is such a purchase."""
        return number in self._all

    def __iter__(self) -> Iterator[Purchase]:
        """Yield all purchases by number."""
        return iter(list(self._all.values()))

    def open(self) -> list[Purchase]:
        """Return those that are not gone, by number."""
        return [one for one in self._all.values() if one.phase is not Phase.GONE]

    def of(self, node: str) -> Purchase | None:
        """Return the purchase that is a node now, or will be."""
        return next((one for one in self._all.values() if one.node == node and one.usable), None)

    async def add(self, purchase: Purchase) -> None:
        """Write a new purchase down.

        Raises:
            DriverError: the disk refuses; nothing was bought.
        """
        async with self._writing:
            await self._write(purchase)

    async def change(self, number: int, **fields: Any) -> Purchase:  # noqa: ANN401 - its fields
        """Change a purchase for good and return it.

        Raises:
            DriverError: the disk refuses; it is as before.
        """
        async with self._writing:
            changed = replace(self._all[number], **fields)
            if changed != self._all[number]:
                await self._write(changed)
            return changed

    async def _write(self, purchase: Purchase) -> None:
        data = msgspec.json.encode(purchase)
        path = self._folder / f"{purchase.number:0{_DIGITS}d}"
        await to_the_end(self._put(path, data, purchase))

    async def _put(self, path: Path, data: bytes, purchase: Purchase) -> None:
        await asyncio.to_thread(write_file, path, data)
        self._all[purchase.number] = purchase


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Do something short to its end, even when whoever waits for it is cancelled meanwhile.

    What is in memory and what is on the disk would part otherwise.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled():
            # Nobody else hears of it: who asked is gone, and looks again at the next start.
            task.exception()
        raise


def write_file(path: Path, data: bytes) -> None:
    """Write a file of ours for good, whole or not at all.

    Raises:
        DriverError: the disk refuses.
    """
    draft = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise DriverError(
            f"cannot write {error.filename}: {error.strerror}",
            where=str(path.parent),
            hint="is the disk of the hub's data directory mounted, well and not full?",
        ) from error
