"""Where uploaded files and kept artifacts lie, as far as the loop needs to know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path


class Staging(Protocol):
    """Content-addressed blobs and, per job, the artifacts of its tasks."""

    def blob_path(self, sha256: str) -> Path | None:
        """Return where the blob lies, or None when it was never uploaded."""
        ...

    async def put_blob(self, sha256: str, chunks: AsyncIterator[bytes]) -> int:
        """Store the bytes under their address and return their number.

        Raises:
            InputError: the bytes have another address; nothing is kept.
            UnavailableError: the disk is full.
        """
        ...

    def artifacts_dir(self, job: str) -> Path:
        """Return the job's folder, which holds one folder per task index; it may not exist."""
        ...

    def list_artifacts(self, job: str) -> Sequence[tuple[str, int, int]]:
        """Return (relative path, bytes, modified Unix ms) of each kept file, sorted."""
        ...

    def artifact_path(self, job: str, path: str) -> Path:
        """Return one kept file.

        Raises:
            NotFoundError: there is none, or the path leaves the job's folder.
        """
        ...
