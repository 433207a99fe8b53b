"""What the driver asks of a cluster, whichever way it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from fenglin.drivers.slurm.commands import Limits
    from fenglin.drivers.slurm.parse import Ended, PartNode


class Cluster(Protocol):
    """One cluster. All calls raise DriverError; see `commands.Slurm` for what each does."""

    async def settle(self, lock: str) -> None:
        """Wait until no `submit` under this lock is on its way on another machine."""
        ...

    async def submit(self, options: Sequence[str], script: str, hold: int, lock: str) -> int:
        """Submit a batch script; return the id of the job."""
        ...

    async def queue(self, prefix: str, name: str = "") -> dict[str, dict[int, set[int]]]:
        """Return the live jobs of ours: name → array job id → live elements, in one call."""
        ...

    async def states(self, array: int) -> tuple[dict[int, Ended], Ended | None]:
        """Return what Slurm still knows of an array's elements, and of the rest."""
        ...

    async def nodes(self) -> tuple[PartNode, ...]:
        """Return the nodes of all partitions."""
        ...

    async def licences(self) -> dict[str, int]:
        """Return the licences that jobs may hold: name → how many there are."""
        ...

    async def limits(self) -> Limits:
        """Return what the cluster allows."""
        ...

    async def energy(self, names: Mapping[int, str]) -> dict[int, int]:
        """Return job id → joules of the jobs of these ids and names whose own energy is known."""
        ...

    async def signal(self, array: int) -> None:
        """Drop what waits, and tell the runners of what runs."""
        ...

    async def drop(self, array: int, elements: Collection[int]) -> None:
        """End single elements of which nothing is wanted, where that can be done."""
        ...

    async def cancel(self, array: int) -> None:
        """End a job as Slurm does."""
        ...

    async def close(self) -> None:
        """Hang up."""
        ...
