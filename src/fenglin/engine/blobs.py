"""Uploaded files: stored once for all, and of use only to accounts that have sent the bytes.

A digest travels in receipts, logs and papers. So who names one must have proved, by an upload of
its own, to have the file: what another account has sent answers as what nobody has.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fenglin.errors import InputError, NotFoundError
from fenglin.wire.views import BlobView

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from fenglin.model.job import JobSpec
    from fenglin.ports.clock import Clock
    from fenglin.ports.hub import Principal
    from fenglin.ports.possession import Possession
    from fenglin.ports.staging import Staging


class Blobs:
    """What the door may ask of uploaded files.

    Who sees all accounts may use every file that is there.
    """

    def __init__(
        self, staging: Staging, possession: Possession, clock: Clock, epoch: Callable[[], int]
    ) -> None:
        """Take where files lie and who has sent them, the clock, and the leader's epoch."""
        self._staging = staging
        self._possession = possession
        self._clock = clock
        self._epoch = epoch

    async def has(self, sha256: str, principal: Principal) -> BlobView:
        """Return what is known of a file.

        Raises:
            NotFoundError: nobody of the caller's account has sent it.
        """
        path = self._staging.blob_path(sha256)
        if path is None or await self._foreign([sha256], principal):
            raise NotFoundError("this file was not uploaded", where=sha256)
        return BlobView(sha256, path.stat().st_size)

    async def missing(self, sha256s: Sequence[str], principal: Principal) -> list[str]:
        """Return those that the caller has yet to send, in order."""
        foreign = await self._foreign(sha256s, principal)
        path_of = self._staging.blob_path
        return await asyncio.to_thread(
            lambda: [one for one in sha256s if one in foreign or path_of(one) is None]
        )

    async def put(
        self, sha256: str, chunks: AsyncIterator[bytes], principal: Principal
    ) -> BlobView:
        """Store a file, and note that the caller's account has it; all bytes must come each time.

        Raises:
            InputError: the bytes have another address.
            UnavailableError: the disk is full.
        """
        size = await self._staging.put_blob(sha256, chunks)
        if await self._foreign([sha256], principal):
            await self._possession.note(
                self._epoch(), principal.account, sha256, self._clock.now_ms()
            )
        return BlobView(sha256, size)

    async def check(self, specs: Sequence[JobSpec], principal: Principal) -> None:
        """Refuse jobs that name a file which the caller has not sent.

        Raises:
            InputError: one does; says which.
        """
        named: dict[str, str] = {}
        for spec in specs:
            for at, file in enumerate(spec.files):
                if file.sha256:
                    named.setdefault(file.sha256, f"files[{at}].sha256")
        lacking = await self.missing(list(named), principal) if named else []
        if lacking:
            raise InputError(
                f"the file {lacking[0]} was not uploaded",
                where=named[lacking[0]],
                hint="upload it first; `fenglin submit` does so by itself",
            )

    async def _foreign(self, sha256s: Sequence[str], principal: Principal) -> frozenset[str]:
        """Return those that the caller's account has not proved to have."""
        if not principal.account:
            return frozenset()
        return frozenset(sha256s) - await self._possession.held(principal.account, sha256s)
