"""What an agent remembers of itself and its hub: one small file, replaced whole."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

import msgspec

from fenglin.errors import ConflictError, InputError, StaleEpochError

if TYPE_CHECKING:
    from pathlib import Path


class Memory(msgspec.Struct, frozen=True):
    """What stands in `agent.json`.

    Attributes:
        agent: The agent's own id.
        hub: Id of the hub that it belongs to; empty before the first welcome.
        site: Its site there.
        epoch: Highest epoch of that hub seen.
    """

    agent: str
    hub: str = ""
    site: str = ""
    epoch: int = 0


class State:
    """The memory, durable before it is believed."""

    def __init__(self, folder: Path) -> None:
        """Read it, or make a new one.

        Raises:
            InputError: it cannot be read.
        """
        self._place = folder / "agent.json"
        try:
            self.memory = msgspec.json.decode(self._place.read_bytes(), type=Memory)
        except FileNotFoundError:
            self._write(Memory(agent=secrets.token_hex(8)))
        except (OSError, msgspec.MsgspecError) as error:
            raise InputError(
                f"cannot read the agent's memory: {error}",
                where=str(self._place),
                hint="restore it, or begin with an empty folder once nothing runs here any more",
            ) from error

    def check(self, hub: str, site: str, epoch: int) -> None:
        """Believe a hub's word about itself, or refuse.

        Raises:
            ConflictError: the folder belongs to another hub or site.
            StaleEpochError: a later leader has been seen.
        """
        known = self.memory
        if known.hub and (known.hub, known.site) != (hub, site):
            raise ConflictError(
                f"this folder belongs to site {known.site} of hub {known.hub}, "
                f"not to site {site} of hub {hub}",
                where=str(self._place),
                hint="give each site's agent a folder of its own with --data",
            )
        if epoch < known.epoch:
            raise StaleEpochError(
                f"orders of epoch {epoch} are refused: epoch {known.epoch} has been seen",
                where=str(self._place),
                hint="another hub leads; stop the former one",
            )
        if (hub, epoch) != (known.hub, known.epoch):
            self._write(msgspec.structs.replace(known, hub=hub, site=site, epoch=epoch))

    def _write(self, memory: Memory) -> None:
        draft = self._place.with_suffix(".new")
        with draft.open("wb") as file:
            file.write(msgspec.json.encode(memory))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._place)
        folder = os.open(self._place.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self.memory = memory
