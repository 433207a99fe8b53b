"""Staging in a folder of the hub: `blobs/ab/<sha256>` and `artifacts/<job>/<task>/…`."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
import stat
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from fenglin.errors import InputError, NotFoundError, UnavailableError
from fenglin.ports.crashpoint import crash_point

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_ADDRESS = re.compile(r"[0-9a-f]{64}", re.ASCII)
MOST_LISTED = 100_000


class FolderStaging:
    """Implements `ports.staging.Staging` on a local folder."""

    def __init__(self, root: Path) -> None:
        """Take the folder; it is made when something is stored."""
        self._blobs = root / "blobs"
        self._artifacts = root / "artifacts"

    def blob_path(self, sha256: str) -> Path | None:
        """See `ports.staging.Staging`."""
        path = self._place(sha256)
        return path if path.is_file() else None

    async def put_blob(self, sha256: str, chunks: AsyncIterator[bytes]) -> int:
        """See `ports.staging.Staging`."""
        path = self._place(sha256)
        part = path.with_name(f".{sha256}.{secrets.token_hex(4)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return await self._write(path, part, sha256, chunks)
        except OSError as error:
            raise UnavailableError(
                f"cannot store the file: {error.strerror}",
                where=sha256,
                hint="free some space on the hub's disk and retry",
            ) from error
        finally:
            part.unlink(missing_ok=True)

    def artifacts_dir(self, job: str) -> Path:
        """See `ports.staging.Staging`."""
        return self._artifacts / job

    def list_artifacts(self, job: str) -> list[tuple[str, int, int]]:
        """See `ports.staging.Staging`."""
        root = self.artifacts_dir(job)
        found: list[tuple[str, int, int]] = []
        for folder, folders, files in os.walk(root, followlinks=False):
            folders.sort()
            for name in sorted(files):
                if len(found) >= MOST_LISTED:
                    return sorted(found)
                path = Path(folder, name)
                try:
                    seen = path.lstat()
                except OSError:
                    continue  # gone between the listing and the look
                if stat.S_ISREG(seen.st_mode):
                    relative = os.fsencode(path.relative_to(root)).decode(errors="replace")
                    found.append((relative, seen.st_size, seen.st_mtime_ns // 1_000_000))
        return sorted(found)

    def artifact_path(self, job: str, path: str) -> Path:
        """See `ports.staging.Staging`."""
        root = self.artifacts_dir(job)
        parts = path.split("/")
        missing = NotFoundError(f"{job} has no artifact {path[:200]!r}")
        if any(part in ("", ".", "..") for part in parts):
            raise missing
        here = root
        try:
            # Link by link: a symlink on the way could lead anywhere.
            for part in parts:
                here /= part
                if here.is_symlink():
                    raise missing
            found = here.is_file()
        except (OSError, ValueError) as error:  # a name too long, a NUL, half a surrogate
            raise missing from error
        if not found:
            raise missing
        return here

    def clean(self) -> None:
        """Remove what uploads left behind that a killed hub never finished."""
        for part in self._blobs.glob("??/.*"):
            part.unlink(missing_ok=True)

    async def _write(
        self, path: Path, part: Path, sha256: str, chunks: AsyncIterator[bytes]
    ) -> int:
        digest, size = hashlib.sha256(), 0
        with part.open("xb") as file:
            async for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                await asyncio.to_thread(file.write, chunk)
                crash_point("c16")
            if digest.hexdigest() != sha256:
                raise InputError(
                    "the bytes that came have another SHA-256",
                    where=sha256,
                    hint="upload the file again",
                )
            await asyncio.to_thread(_sync, file)
        await asyncio.to_thread(_publish, part, path)
        return size

    def _place(self, sha256: str) -> Path:
        if not _ADDRESS.fullmatch(sha256):
            raise InputError(
                f"{sha256[:80]!r} is not a SHA-256", hint="64 lower-case hexadecimal digits"
            )
        return self._blobs / sha256[:2] / sha256


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _publish(part: Path, path: Path) -> None:
    """Give a finished file its name, durably: the folder's entry must be on the disk too."""
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
