"""Sealing: the ledger is signed as it grows, and shown to places that the hub does not control."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from fenglin.errors import ConflictError, DeniedError, FenglinError, InputError
from fenglin.ledger.note import read_checkpoint, read_note
from fenglin.wire.proof_views import CheckpointView, ConsistencyView

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fenglin.ledger.proof import ProofFile
    from fenglin.ports.clock import Clock
    from fenglin.ports.hub import Principal
    from fenglin.ports.proofs import Outlet, Proofs

MOST_SHOW_S = 30.0
_log = structlog.get_logger("fenglin.ledger")


class ProofDesk:
    """Implements `ports.books.ProofDesk`."""

    def __init__(self, proofs: Proofs, clock: Clock, epoch: Callable[[], int]) -> None:
        """Take the store's proofs, the clock and the leader's epoch."""
        self.proofs = proofs
        self._clock = clock
        self._epoch = epoch

    async def checkpoint(self, principal: Principal, *, fresh: bool) -> CheckpointView:
        """See `ports.books.ProofDesk`."""
        if fresh:
            if not principal.may("write"):
                raise DeniedError("a fresh checkpoint needs the scope write")
            await self.seal()
        note = await self.proofs.latest() or await self.seal()
        return CheckpointView(key=str(self.proofs.key), size=_size_of(note), checkpoint=note)

    async def consistency(self, old: int, new: int) -> ConsistencyView:
        """See `ports.books.ProofDesk`."""
        if not 0 <= old <= new:
            raise InputError(f"a ledger of {new} entries does not go on from one of {old}")
        return ConsistencyView.of(old, new, await self.proofs.consistency(old, new))

    async def prove(
        self, account: str, from_ms: int, to_ms: int, earlier: str, principal: Principal
    ) -> ProofFile:
        """See `ports.books.ProofDesk`."""
        if principal.account and principal.account != account:
            raise DeniedError(f"this token may not use account {account!r}")
        await self.proofs.latest() or await self.seal()
        until_ms = to_ms or self._clock.now_ms() + 1
        return await self.proofs.prove(account, from_ms, until_ms, earlier)

    async def seal(self) -> str:
        """Sign what the ledger is now, and return the checkpoint."""
        note, _ = await self.proofs.check_point(self._epoch(), self._clock.now_ms())
        return note

    async def add_cosignature(self, size: int, witness: str, line: str) -> None:
        """Keep what a witness said."""
        await self.proofs.add_cosignature(self._epoch(), size, witness, line)


class Sealer:
    """Seals at a steady pace, and shows each new checkpoint to every outlet."""

    def __init__(self, desk: ProofDesk, outlets: Sequence[Outlet], every_s: float) -> None:
        """Take the desk, the places outside, and the time between two checkpoints."""
        self._desk = desk
        self._behind = dict.fromkeys((outlet.name for outlet in outlets), 0)
        self._outlets = outlets
        self._every_s = every_s
        self._problems: dict[str, str] = {}
        self._told: dict[str, str] = {}

    @property
    def problems(self) -> tuple[str, ...]:
        """Return what a person must look at, for the health of the hub."""
        return tuple(f"{name}: {text}" for name, text in sorted(self._problems.items()))

    async def run(self) -> None:
        """Seal for ever; what goes wrong is told and tried again."""
        while True:
            await self.once()
            await asyncio.sleep(self._every_s)

    async def once(self) -> None:
        """Seal, and show the checkpoint to every outlet that has not seen it."""
        try:
            note = await self._desk.seal()
        except FenglinError as error:
            self._tell("ledger", error)
            return
        self._problems.pop("ledger", None)
        self._told.pop("ledger", None)
        size = _size_of(note)
        await asyncio.gather(*(self._show(one, note, size) for one in self._outlets))

    async def _show(self, outlet: Outlet, note: str, size: int) -> None:
        """Show a checkpoint to one outlet; a slow or broken one holds up no other."""
        if self._behind[outlet.name] >= size:
            return

        async def prove(old: int) -> tuple[bytes, ...]:
            return await self._desk.proofs.consistency(old, size)

        try:
            async with asyncio.timeout(MOST_SHOW_S):
                line = await outlet.show(note, size, prove)
            if line:
                await self._desk.add_cosignature(size, outlet.name, line)
        except TimeoutError:
            self._tell(outlet.name, "no answer in time")
        except FenglinError as error:
            self._tell(outlet.name, error)
        else:
            self._behind[outlet.name] = size
            self._problems.pop(outlet.name, None)
            self._told.pop(outlet.name, None)

    def _tell(self, name: str, what: FenglinError | str) -> None:
        """Log a new problem, and keep it for the hub's health if a person must look."""
        grave = isinstance(what, ConflictError) or name == "ledger"
        if self._told.get(name) != str(what):
            self._told[name] = str(what)
            (_log.error if grave else _log.warning)("checkpoint_not_shown", to=name, what=str(what))
        if grave:
            self._problems[name] = str(what)


def _size_of(note: str) -> int:
    return read_checkpoint(read_note(note.encode()).text).size
