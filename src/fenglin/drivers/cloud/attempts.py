"""What the hub wants to run here: every attempt, on the hub's disk before anything is bought.

An attempt is QUEUED until all its nodes are up, ASKED from before the ssh driver is called,
ANSWERED once that driver knows it. One that ends before it could run, or whose nodes are all
gone, has its end written down here; the ends of all others are the ssh driver's to tell.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from fenglin.drivers.cloud.purchases import to_the_end, write_file
from fenglin.errors import DriverError
from fenglin.model.allocation import Usage
from fenglin.model.reason import Reason
from fenglin.ports.driver import StartOrder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Stage(StrEnum):
    """How far an attempt is on its way to its nodes."""

    QUEUED = "queued"
    ASKED = "asked"
    ANSWERED = "answered"


class Attempt(Struct, frozen=True, omit_defaults=True):
    """One attempt.

    Attributes:
        key: Attempt key.
        epoch: Highest that was seen for it.
        tasks: Task set in text form.
        numbers: The purchases that are its nodes, in the order of its shares.
        order: What to run; None for one that was stopped before it came, or is forgotten.
        stage: How far it is.
        stopping: Whether it was asked to end.
        grace_ms: How long it may take for that.
        lost: Those of its purchases that are gone while it was not over.
        reason: Why it is over without the ssh driver; None while that driver tells.
        why: The reason of its first loss.
        forgotten: Whether only its output is kept.
        logged: Whether its output is on the hub.
        usage: Its total, kept when it was forgotten.
    """

    key: str
    epoch: int = 0
    tasks: str = ""
    numbers: tuple[int, ...] = ()
    order: StartOrder | None = None
    stage: Stage = Stage.QUEUED
    stopping: bool = False
    grace_ms: int = 0
    lost: tuple[int, ...] = ()
    reason: Reason | None = None
    why: Reason | None = None
    forgotten: bool = False
    logged: bool = False
    usage: Usage | None = None

    @property
    def waits(self) -> bool:
        """Return whether it has yet to be given to its nodes."""
        return self.reason is None and not self.forgotten and self.stage is not Stage.ANSWERED


class Attempts:
    """All attempts of one site, in memory and on the disk."""

    def __init__(self, directory: Path) -> None:
        """Read what there is.

        Raises:
            OSError: the folder cannot be used.
        """
        self._folder = directory / "attempts"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._all: dict[str, Attempt] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        for path in sorted(self._folder.iterdir()):
            if not path.name.startswith("."):
                one = msgspec.json.decode(path.read_bytes(), type=Attempt)
                self._all[one.key] = one

    def __iter__(self) -> Iterator[Attempt]:
        """Yield all, forgotten ones too."""
        return iter(list(self._all.values()))

    def get(self, key: str) -> Attempt | None:
        """Return an attempt, forgotten or not."""
        return self._all.get(key)

    def live(self) -> list[Attempt]:
        """Return those that are not forgotten."""
        return [one for one in self._all.values() if not one.forgotten]

    def lock(self, key: str) -> asyncio.Lock:
        """Return what keeps calls about one key apart."""
        return self._locks.setdefault(key, asyncio.Lock())

    def readable(self) -> bool:
        """Return whether the folder is there (in a worker thread)."""
        return self._folder.is_dir()

    async def put(self, attempt: Attempt) -> Attempt:
        """Write an attempt down for good and return it.

        Raises:
            DriverError: the disk refuses, or the attempt cannot be written.
        """
        if self._all.get(attempt.key) == attempt:
            return attempt
        try:
            data = msgspec.json.encode(attempt)
        except UnicodeEncodeError as error:
            raise DriverError("the job holds text that is no valid Unicode") from error
        path = self._folder / attempt.key

        async def write() -> None:
            await asyncio.to_thread(write_file, path, data)
            self._all[attempt.key] = attempt

        await to_the_end(write())
        return attempt

    async def change(self, key: str, **fields: Any) -> Attempt:  # noqa: ANN401 - its fields
        """Change an attempt for good; the caller holds its lock.

        Raises:
            DriverError: the disk refuses.
        """
        return await self.put(replace(self._all[key], **fields))

    async def drop(self, key: str) -> None:
        """Take back what was written down for a start that was refused."""
        self._all.pop(key, None)
        await asyncio.to_thread((self._folder / key).unlink, missing_ok=True)
