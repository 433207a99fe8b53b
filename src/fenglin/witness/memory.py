"""What a witness remembers: the last checkpoint of each log, on disk before anybody is answered."""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Self

from fenglin.errors import ConflictError, DamageError, UnavailableError
from fenglin.ledger.note import MAX_NOTE_BYTES, PublicKey, open_checkpoint
from fenglin.witness.disk import write_durably

if TYPE_CHECKING:
    from types import TracebackType

    from fenglin.ledger.note import Checkpoint

_LOCK = "lock"


class Memory:
    """A folder with a file per log. Used by one process at a time."""

    def __init__(self, folder: Path) -> None:
        """Take the folder over, or make it.

        Raises:
            ConflictError: another witness uses it.
            UnavailableError: it cannot be used.
        """
        self._folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(folder, error) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise ConflictError(
                "another witness uses this folder",
                where=str(folder),
                hint="two witnesses with one memory would contradict each other",
            ) from error

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let the folder go."""
        os.close(self._lock)

    def last(self, key: PublicKey) -> Checkpoint | None:
        """Return the last checkpoint of a log; None when none was seen.

        Raises:
            DamageError: the file is not what this witness wrote. It then signs nothing for the
                log, rather than forget what it knew.
        """
        path = self._path(key)
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unusable(path, error) from error
        try:
            return open_checkpoint(raw[: MAX_NOTE_BYTES + 1], key)
        except Exception as error:
            raise DamageError(
                f"the remembered checkpoint cannot be read: {error}",
                where=str(path),
                hint="restore it from a copy; without it this log could be forked unseen",
            ) from error

    def keep(self, key: PublicKey, note: str) -> None:
        """Remember a checkpoint. Returns when it is on the disk.

        Raises:
            UnavailableError: it could not be written; what was known before stands.
        """
        path = self._path(key)
        try:
            write_durably(path, note, 0o600)
        except OSError as error:
            raise _unusable(path, error) from error

    def _path(self, key: PublicKey) -> Path:
        """Return the file of a log; a name may hold what no file name may."""
        return self._folder / f"{hashlib.sha256(str(key).encode()).hexdigest()[:32]}.checkpoint"


def _unusable(path: Path, error: OSError) -> UnavailableError:
    return UnavailableError(
        f"the witness cannot use its memory: {error.strerror}",
        where=str(path),
        hint="check that the folder can be written and the disk is not full",
    )
