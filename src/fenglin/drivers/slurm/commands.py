"""Slurm's commands as calls: submit, list, cancel, look. What they answer is read in `parse`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from fenglin.drivers.slurm.parse import (
    ACCOUNT_FORMAT,
    ENERGY_FORMAT,
    NODE_FORMAT,
    QUEUE_FORMAT,
    WIDTH_FORMAT,
    Ended,
    PartNode,
    read_accounts,
    read_config,
    read_energy,
    read_licences,
    read_nodes,
    read_queue,
    read_states,
    read_widths,
)
from fenglin.errors import DriverError
from fenglin.quantities.taskset import TaskSet

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from fenglin.drivers.slurm.transport import Answer, Transport

LOOK_DEADLINE_S = 8.0
SUBMIT_DEADLINE_S = 20.0
DEFAULT_ARRAY_SIZE = 1_001
# Jobs of which the accounting is asked at once.
MOST_ASKED = 200
# What scancel ends with, without a word, when there is nothing to cancel: the last byte of Slurm's
# errors 2017 (invalid job id) and 2021 (already done).
GONE_STATUSES = frozenset({2017 & 0xFF, 2021 & 0xFF})
# Said when the request may have reached slurmctld although its answer did not reach us.
_UNCLEAR = re.compile(
    r"timed out|unable to contact|connection|zero bytes|i/o error|unexpected message"
    r"|communication|socket|try again|not responding",
    re.IGNORECASE,
)
_GONE = re.compile(r"invalid job id|already compl", re.IGNORECASE)


class Limits(Struct, frozen=True):
    """What a cluster allows.

    Attributes:
        cluster: Its own name.
        array_size: MaxArraySize; array indices are below it.
    """

    cluster: str
    array_size: int


class Slurm:
    """One cluster, asked through a transport."""

    def __init__(self, transport: Transport, where: str) -> None:
        """Take the way to it, and its name for errors."""
        self._transport = transport
        self._where = where
        self._accounts = True

    async def settle(self, lock: str) -> None:
        """Wait until no `submit` under this lock is on its way on another machine.

        Raises:
            DriverError: one is, or nobody can tell.
        """
        await self._transport.settle(lock)

    async def submit(self, options: Sequence[str], script: str, hold: int, lock: str) -> int:
        """Submit a batch script; return the id of the job.

        Args:
            options: Of sbatch.
            script: Its text.
            hold: An open file that sbatch keeps open.
            lock: Name of a lock that it holds where it runs on another machine.

        Raises:
            DriverError: refused, or unclear whether it was accepted.
        """
        answer = await self._transport.run(
            ["sbatch", "--parsable", *options],
            given=script.encode(),
            deadline_s=SUBMIT_DEADLINE_S,
            hold=hold,
            lock=lock,
        )
        number = answer.out.strip().partition(";")[0]
        if answer.status == 0 and number.isdecimal():
            return int(number)
        unclear = answer.status == 0 or _UNCLEAR.search(answer.error) is not None
        raise self._error("sbatch", answer, effect_unknown=unclear)

    async def queue(self, prefix: str, name: str = "") -> dict[str, dict[int, set[int]]]:
        """Return the live jobs of ours: name → array job id → live elements, in one call.

        Args:
            prefix: With which our names start.
            name: Only the job of this name; empty for all.

        Raises:
            DriverError: the listing is not complete.
        """
        command = ["squeue", "--noheader", f"--user={self._transport.user}"]
        command += [f"--name={name}"] if name else []
        answer = await self._look([*command, f"--format={QUEUE_FORMAT}"])
        try:
            return read_queue(answer.out, prefix)
        except ValueError as error:
            raise self._strange("squeue", error) from error

    async def states(self, array: int) -> tuple[dict[int, Ended], Ended | None]:
        """Return what Slurm still knows of an array's elements; nothing when it has forgotten it.

        Raises:
            DriverError: it could not be asked.
        """
        command = ["scontrol", "--oneliner", "show", "job", str(array)]
        answer = await self._transport.run(command, deadline_s=LOOK_DEADLINE_S)
        if answer.status and not _GONE.search(answer.error):
            raise self._error("scontrol show job", answer)
        return await self._accounted(array) if answer.status else read_states(answer.out)

    async def _accounted(self, array: int) -> tuple[dict[int, Ended], Ended | None]:
        """Return what the accounting has of an array that slurmctld has forgotten.

        Many clusters keep none, or hide it: that is nothing known, not an error.
        """
        if not self._accounts:
            return {}, None
        command = ["sacct", "--noheader", "--parsable2", "--allocations", f"--jobs={array}"]
        try:
            answer = await self._transport.run(
                [*command, f"--format={ACCOUNT_FORMAT}"], deadline_s=LOOK_DEADLINE_S
            )
        except DriverError as error:
            self._accounts = error.effect_unknown
            return {}, None
        self._accounts = not answer.status
        return read_accounts(answer.out)

    async def nodes(self) -> tuple[PartNode, ...]:
        """Return the nodes of all partitions.

        Raises:
            DriverError: they could not be listed.
        """
        answer = await self._look(["sinfo", "--noheader", "--Node", f"--format={NODE_FORMAT}"])
        try:
            return read_nodes(answer.out)
        except ValueError as error:
            raise self._strange("sinfo", error) from error

    async def licences(self) -> dict[str, int]:
        """Return the licences that jobs may hold: name → how many there are.

        Raises:
            DriverError: they could not be listed.
        """
        answer = await self._look(["scontrol", "--oneliner", "show", "licenses"])
        return read_licences(answer.out)

    async def limits(self) -> Limits:
        """Return what the cluster allows.

        Raises:
            DriverError: it could not be asked.
        """
        found = read_config((await self._look(["scontrol", "show", "config"])).out)
        size = found.get("MaxArraySize", "")
        return Limits(
            found.get("ClusterName", ""), int(size) if size.isdecimal() else DEFAULT_ARRAY_SIZE
        )

    async def energy(self, names: Mapping[int, str]) -> dict[int, int]:
        """Return job id → joules of those whose own energy the accounting tells.

        Nothing where there is no accounting, or nobody gathers energy.

        Args:
            names: Job id → its name: ids come again when a cluster begins anew.

        Raises:
            DriverError: it could not be asked now.
        """
        found: dict[int, int] = {}
        numbers = sorted(names)
        if not numbers:
            return found
        nodes = await self._look(["sinfo", "--noheader", "--Node", f"--format={WIDTH_FORMAT}"])
        widest = read_widths(nodes.out)
        command = ["sacct", "--noheader", "--parsable2"]
        for start in range(0, len(numbers), MOST_ASKED):
            jobs = ",".join(map(str, numbers[start : start + MOST_ASKED]))
            asked = [*command, f"--jobs={jobs}", f"--format={ENERGY_FORMAT}"]
            try:
                answer = await self._transport.run(asked, deadline_s=LOOK_DEADLINE_S)
            except DriverError as error:
                if error.effect_unknown:
                    raise
                return {}
            if answer.status and _UNCLEAR.search(answer.error):
                raise self._error("sacct", answer)
            if answer.status:
                return {}
            found |= read_energy(answer.out, names, widest)
        return found

    async def signal(self, array: int) -> None:
        """Drop what waits, and tell the runners of what runs; none left is no error.

        Raises:
            DriverError: it could not be asked, or refused.
        """
        await self._cancel(["--state=PENDING", str(array)])
        await self._cancel(["--batch", "--signal=TERM", str(array)])

    async def drop(self, array: int, elements: Collection[int]) -> None:
        """End single elements; the others go on. One that has ended is no error.

        Raises:
            DriverError: it could not be asked, or refused.
        """
        if elements:
            # Without --state: Slurm keeps what waits as one job, which that would end as a whole.
            await self._cancel([f"{array}_[{TaskSet.of(elements)}]"])

    async def cancel(self, array: int) -> None:
        """End a job as Slurm does; none there is no error.

        Raises:
            DriverError: it could not be asked, or refused.
        """
        await self._cancel([str(array)])

    async def close(self) -> None:
        """Do nothing: each command was a process of its own."""

    async def _cancel(self, arguments: list[str]) -> None:
        answer = await self._transport.run(["scancel", *arguments], deadline_s=LOOK_DEADLINE_S)
        gone = answer.status in GONE_STATUSES or _GONE.search(answer.error)
        if answer.status and not gone:
            raise self._error("scancel", answer, effect_unknown=True)

    async def _look(self, command: list[str]) -> Answer:
        """Run a command without effect; anything but success is an error."""
        answer = await self._transport.run(command, deadline_s=LOOK_DEADLINE_S)
        if answer.status:
            raise self._error(command[0], answer)
        return answer

    def _error(self, name: str, answer: Answer, *, effect_unknown: bool = False) -> DriverError:
        said = " / ".join(answer.error.split("\n")[:3]).strip(" /") or f"status {answer.status}"
        return DriverError(
            f"{name}: {said[:300]}",
            where=self._where,
            hint="docs/how-to/add-a-slurm-cluster.md tells what the usual answers mean",
            effect_unknown=effect_unknown,
        )

    def _strange(self, name: str, error: ValueError) -> DriverError:
        return DriverError(f"cannot understand what {name} says: {error}", where=self._where)
