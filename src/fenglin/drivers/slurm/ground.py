"""Where attempt folders lie, as the driver sees it: beside the hub, or on the cluster (`far`).

The driver always works on folders of this machine (`shared`). Here they are the very folders that
nodes use; there they are a picture of those, and a `Ground` keeps both in step.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from fenglin.drivers.slurm.element import BOUND_BY
from fenglin.drivers.slurm.shared import INPUTS, OUTPUTS
from fenglin.runner.host import claim as claims

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from fenglin.drivers.slurm.shared import Shared
    from fenglin.ports.driver import StagedInput, StartOrder


class Ground(Protocol):
    """Keeps the folders of this machine and those of the nodes in step.

    All calls raise DriverError or OSError when the folders cannot be reached.

    Attributes:
        lives: Grows when nodes' folders were lost, and all that was remembered of them with it.
    """

    lives: int

    async def generation(self) -> str:
        """Return the id of the folders' life."""
        ...

    def kept(self, order: StartOrder) -> StartOrder:
        """Return the order as it is written on this machine."""
        ...

    async def inputs(self, order: StartOrder) -> tuple[StagedInput, ...]:
        """Return an order's inputs as nodes will find them."""
        ...

    def outputs(self, key: str) -> str:
        """Return where nodes leave an attempt's artifacts."""
        ...

    async def bring(self, order: StartOrder) -> None:
        """Have nodes see an order that is written, and its inputs."""
        ...

    async def code(self) -> tuple[str, str]:
        """Return where nodes find what they run, and the folder of attempts."""
        ...

    async def bind(self, path: Path, array: int) -> bool:
        """Bind an attempt to an array; return False when it belongs to another, or to none."""
        ...

    async def stop(self, key: str, grace_ms: int) -> None:
        """Leave a stop where nodes look for it."""
        ...

    async def stop_tasks(self, key: str, tasks: Collection[int], grace_ms: int) -> None:
        """Leave word of unwanted tasks where nodes look for it."""
        ...

    async def pull(self, keys: Collection[str]) -> bool:
        """Take in what elements have written; return False when it cannot be known now."""
        ...

    def is_late(self, key: str) -> bool:
        """Return whether something of an attempt is still on its way."""
        ...

    def is_busy(self, key: str) -> bool:
        """Return whether a submission of the key may be on its way, as of the last `pull`."""
        ...

    async def proof(self, key: str, elements: Collection[int]) -> None:
        """Take in when some elements were last seen to write anything."""
        ...

    async def read(
        self, key: str, names: Sequence[str], offset: int, limit: int
    ) -> tuple[bytes, int] | None:
        """Return a piece and the size of the first of some files that is there."""
        ...

    async def keys(self) -> frozenset[str]:
        """Return the attempts that are not forgotten."""
        ...

    async def forget(self, key: str) -> None:
        """Drop an ended attempt there, but for its output."""
        ...

    async def close(self) -> None:
        """Hang up."""
        ...


class Here:
    """Hub and nodes see the same folder under the same path.

    Attributes:
        lives: Constant: the hub's own folders are the truth.
    """

    lives = 0

    def __init__(self, shared: Shared) -> None:
        """Take the folders."""
        self._shared = shared

    async def generation(self) -> str:
        """Return the id of the folders' life."""
        return await asyncio.to_thread(lambda: self._shared.generation)

    def kept(self, order: StartOrder) -> StartOrder:
        """Return all of it: nodes read it here."""
        return order

    async def inputs(self, order: StartOrder) -> tuple[StagedInput, ...]:
        """Return an order's inputs as nodes will find them."""
        folder = self._shared.attempts.active / order.key / INPUTS
        return tuple(
            replace(item, source=str(folder / str(number)))
            for number, item in enumerate(order.inputs)
        )

    def outputs(self, key: str) -> str:
        """Return where nodes leave an attempt's artifacts."""
        return str(self._shared.attempts.active / key / OUTPUTS)

    async def bring(self, order: StartOrder) -> None:
        """Put the inputs where nodes see them."""
        await asyncio.to_thread(self._shared.bring, order)

    async def code(self) -> tuple[str, str]:
        """Return where nodes find what they run, and the folder of attempts."""
        code = await asyncio.to_thread(self._shared.installed)
        return str(code), str(self._shared.attempts.active)

    async def bind(self, path: Path, array: int) -> bool:
        """Bind an attempt to an array."""
        return await asyncio.to_thread(_bind, path, array)

    async def stop(self, key: str, grace_ms: int) -> None:
        """Do nothing: what is left on this machine is seen by the nodes."""

    async def stop_tasks(self, key: str, tasks: Collection[int], grace_ms: int) -> None:
        """Do nothing: what is left on this machine is seen by the nodes."""

    async def pull(self, keys: Collection[str]) -> bool:
        """Return True: what nodes write is here."""
        del keys
        return True

    def is_late(self, key: str) -> bool:
        """Return False: nothing is on its way."""
        del key
        return False

    def is_busy(self, key: str) -> bool:
        """Return False: a submission on its way holds a lock of this machine."""
        del key
        return False

    async def proof(self, key: str, elements: Collection[int]) -> None:
        """Do nothing: the files themselves tell."""

    async def read(
        self, key: str, names: Sequence[str], offset: int, limit: int
    ) -> tuple[bytes, int] | None:
        """Return a piece and the size of the first of some files that is there."""
        return await asyncio.to_thread(self._read, key, names, offset, limit)

    def _read(
        self, key: str, names: Sequence[str], offset: int, limit: int
    ) -> tuple[bytes, int] | None:
        # `forget` moves output from place to place in this order, so none is overlooked.
        for folder in (self._shared.attempts.active, self._shared.root / "kept"):
            for name in names:
                try:
                    with (folder / key / name).open("rb") as file:
                        size = os.fstat(file.fileno()).st_size
                        file.seek(offset)
                        return file.read(max(0, limit)), size
                except FileNotFoundError:
                    continue
        return None

    async def keys(self) -> frozenset[str]:
        """Return the attempts that are not forgotten."""
        return await asyncio.to_thread(self._shared.attempts.keys)

    async def forget(self, key: str) -> None:
        """Do nothing: there is nothing elsewhere."""

    async def close(self) -> None:
        """Do nothing."""


def _bind(path: Path, array: int) -> bool:
    """Bind an attempt to an array.

    Raises:
        OSError: it cannot be written; the array's first element will do it.
    """
    if claims.take(str(path), claims.Claim(array, 0, BOUND_BY)):
        return True
    claim = claims.read(str(path))
    return claim is not None and claim.pid == array
