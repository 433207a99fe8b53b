"""Places outside the hub that keep its checkpoints: witnesses by HTTP, and folders."""

from __future__ import annotations

import asyncio
import http.client
import re
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fenglin.errors import ConflictError, InputError, UnavailableError
from fenglin.ledger.note import read_checkpoint, read_note, verify_note
from fenglin.ledger.tree import consistent
from fenglin.witness.disk import write_durably
from fenglin.witness.rules import SIZE, write_request
from fenglin.witness.server import PATH

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from fenglin.ledger.note import Checkpoint, PublicKey

    Prove = Callable[[int], Awaitable[tuple[bytes, ...]]]

_ANSWER_S = 10.0
_MOST_ANSWER_BYTES = 64 * 1024
_FILE = re.compile(r"\d{19}\.checkpoint", re.ASCII)


class WitnessOutlet:
    """Implements `ports.proofs.Outlet` over a witness's door."""

    def __init__(self, url: str, key: PublicKey) -> None:
        """Take where the witness answers and the key with which it signs.

        Raises:
            InputError: the address is not http:// or https:// with a host.
        """
        self.name = key.name
        self._key = key
        self._parts = urlsplit(url)
        if self._parts.scheme not in {"http", "https"} or not self._parts.hostname:
            raise InputError(f"{url!r} is not the address of a witness", hint="http://HOST:PORT")
        self._known = 0

    async def show(self, note: str, size: int, prove: Prove) -> str:
        """See `ports.proofs.Outlet`."""
        status, kind, text = await self._ask(note, prove)
        if status == HTTPStatus.CONFLICT and kind.partition(";")[0].strip() == SIZE:
            # It saw more or less than this process knows of, such as before a restart.
            self._known = self._size(text, size)
            status, kind, text = await self._ask(note, prove)
        if status == HTTPStatus.OK:
            self._check(note, text)
            self._known = size
            return text
        said = f"HTTP {status}: {text.strip()[:200]}"
        if status in {HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY}:
            raise ConflictError(
                f"the witness {self.name} knows another ledger than this one: {said}",
                where=self._parts.geturl(),
                hint="keep the hub's data as it is, and run `fenglin ledger verify`",
            )
        raise UnavailableError(
            f"the witness {self.name} does not sign: {said}", where=self._parts.geturl()
        )

    async def _ask(self, note: str, prove: Prove) -> tuple[int, str, str]:
        """Send the checkpoint with the proof from what the witness is believed to know."""
        body = write_request(self._known, await prove(self._known), note)
        return await asyncio.to_thread(self._post, body)

    def _size(self, text: str, size: int) -> int:
        """Return the size that the witness says it knows."""
        number = text.strip()
        if not number.isdigit() or len(number) > 19:
            raise UnavailableError(f"the witness {self.name} says {text[:80]!r}, which is no size")
        if int(number) > size:
            raise ConflictError(
                f"the witness {self.name} has seen {number} entries, this ledger has {size}",
                where=self._parts.geturl(),
                hint="was an old backup restored? entries are lost",
            )
        return int(number)

    def _check(self, note: str, line: str) -> None:
        """Refuse a line that is not the witness's signature of this checkpoint."""
        try:
            good = self.name in verify_note(read_note((note + line).encode()), (self._key,))
        except InputError:
            good = False
        if not good:
            raise UnavailableError(
                f"the witness {self.name} signs with another key than the one configured",
                where=self._parts.geturl(),
            )

    def _post(self, body: bytes) -> tuple[int, str, str]:
        """Send a request; return status, media type and text. Redirects are not followed."""
        parts = self._parts
        secure = parts.scheme == "https"
        make = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        line = make(parts.hostname or "", parts.port, timeout=_ANSWER_S)
        try:
            line.request("POST", parts.path.rstrip("/") + PATH, body)
            answer = line.getresponse()
            text = answer.read(_MOST_ANSWER_BYTES).decode("utf-8", "replace")
            return answer.status, answer.headers.get("content-type", ""), text
        except (OSError, http.client.HTTPException) as error:
            raise UnavailableError(
                f"the witness {self.name} cannot be reached: {error}", where=parts.geturl()
            ) from error
        finally:
            line.close()


class FolderOutlet:
    """Implements `ports.proofs.Outlet` over a folder, such as a mount of somebody else's disk."""

    def __init__(self, folder: Path) -> None:
        """Take the folder; it must exist, so that a missing mount is not taken for it."""
        self.name = str(folder)
        self._folder = folder

    async def show(self, note: str, size: int, prove: Prove) -> str:
        """See `ports.proofs.Outlet`. A file per checkpoint, which must go on from the last one."""
        seen = read_checkpoint(read_note(note.encode()).text)
        last = await asyncio.to_thread(self._last)
        if last is not None:
            if last.size > size:
                raise self._contradiction(f"{last.size} entries were shown here, there are {size}")
            proof = await prove(last.size)
            why = consistent(last.size, last.root, seen.size, seen.root, proof)
            if why or last.origin != seen.origin:
                raise self._contradiction(why or f"it is of {last.origin}")
        if last is None or last.size < size:
            await asyncio.to_thread(self._write, note, size)
        return ""

    def _last(self) -> Checkpoint | None:
        """Return the newest checkpoint that lies there."""
        try:
            names = sorted(path.name for path in self._folder.iterdir())
            newest = [name for name in names if _FILE.fullmatch(name)][-1:]
            raw = (self._folder / newest[0]).read_bytes() if newest else b""
        except OSError as error:
            raise self._away(error) from error
        try:
            return read_checkpoint(read_note(raw).text) if newest else None
        except InputError as error:
            raise self._contradiction(f"{newest[0]} cannot be read: {error.what}") from error

    def _write(self, note: str, size: int) -> None:
        path = self._folder / f"{size:019d}.checkpoint"
        try:
            write_durably(path, note, 0o644)
        except OSError as error:
            raise self._away(error) from error

    def _away(self, error: OSError) -> UnavailableError:
        return UnavailableError(
            f"the folder of checkpoints cannot be used: {error.strerror}",
            where=self.name,
            hint="is it mounted?",
        )

    def _contradiction(self, why: str) -> ConflictError:
        return ConflictError(
            f"another ledger was shown to this folder: {why}",
            where=self.name,
            hint="does another hub write to it, or was an old backup restored?",
        )
