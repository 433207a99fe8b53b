"""Job files on the submitter's side: read, checked, their local files uploaded."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fenglin.errors import InputError, InputProblems, Problem
from fenglin.intake.dialects.notes import Note, refuse_losses
from fenglin.intake.dialects.registry import NATIVE, read_jobs
from fenglin.intake.limits import MAX_DOCUMENT_BYTES
from fenglin.intake.native import JobDocument, check_documents
from fenglin.intake.references import (
    Upload,
    local_files,
    references,
    with_ids,
    with_uploads,
)
from fenglin.intake.things import HERE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from fenglin.client import Client
    from fenglin.intake.references import LocalFile

STANDARD_INPUT = "standard input"
NO_IMAGE = "none"


@dataclass(frozen=True, slots=True)
class Source:
    """One file of jobs.

    Attributes:
        name: For messages.
        folder: Where its relative paths begin.
        documents: Its jobs, in order.
        dialect: In which it is written.
        notes: What of each job is lost, approximated or ignored.
    """

    name: str
    folder: Path
    documents: tuple[JobDocument, ...]
    dialect: str = NATIVE
    notes: tuple[tuple[Note, ...], ...] = ()

    def check(self, now_ms: int) -> None:
        """Check everything that can be checked without a hub.

        Raises:
            InputProblems: all that is wrong, the local files included.
        """
        check_documents(self.documents, now_ms)
        self.check_files()

    def check_files(self) -> None:
        """Check that the local files can be read, folders with all that they bring.

        Raises:
            InputProblems: all that cannot.
        """
        found = []
        for document in self.documents:
            for file in local_files(document):
                for what, hint in _unreadable(file, self._path(file)):
                    path = f"files[{file.index}]"
                    found.append(Problem(path, what, hint, file.line, file.column))
        if found:
            raise InputProblems(self.name, tuple(found))

    def ready(
        self, document: JobDocument, client: Client, ids: Mapping[str, str]
    ) -> dict[str, object]:
        """Upload what the document brings along and return what the hub shall be sent.

        Args:
            document: One of `documents`.
            client: Where the files go; one that is there already is not sent again.
            ids: Job ids of the earlier documents by name.
        """
        uploads, paths = self._uploads(document)
        for sha256 in client.missing_blobs(sorted(paths)) if paths else ():
            client.put_blob(sha256, paths[sha256])
        return with_ids(with_uploads(document, uploads), ids).data

    def _path(self, file: LocalFile) -> Path:
        return self.folder / Path(file.source).expanduser()

    def _uploads(self, document: JobDocument) -> tuple[dict[int, list[Upload]], dict[str, Path]]:
        """Return what each local entry of `files` becomes, and where each content lies.

        What an entry of its own brings to a place goes before what a folder has there.
        """
        local = [(file, self._path(file)) for file in local_files(document)]
        taken = {file.target for file, path in local if not path.is_dir()} | _brought(document)
        uploads: dict[int, list[Upload]] = {}
        paths: dict[str, Path] = {}
        for file, path in local:
            places = [(file.target, path)]
            if path.is_dir():
                places = [(t, at) for t, at in _below(file, path) if not _taken(t, taken)]
                taken |= {target for target, _ in places}
            for target, at in places:
                sha256, size_bytes = _digest(at)
                paths.setdefault(sha256, at)
                own = bool(at.stat().st_mode & stat.S_IXUSR)
                bit = own if file.executable is None else file.executable
                uploads.setdefault(file.index, []).append(Upload(target, sha256, size_bytes, bit))
            uploads.setdefault(file.index, [])
        return uploads, paths

    def detached(self, document: JobDocument) -> dict[str, object]:
        """Return what the hub shall plan: nothing is uploaded, earlier documents are done."""
        document = with_uploads(document, self._uploads(document)[0])
        gone = set(references(document))
        data = dict(document.data)
        for key, inner in (("after", "job"), ("files", "artifacts_of")):
            entries = data.get(key)
            if gone and isinstance(entries, list):
                data[key] = [one for one in entries if _refers(one, key, inner) not in gone]
        return data


@dataclass(frozen=True, slots=True)
class Changes:
    """What a command line says of jobs besides their files.

    Attributes:
        image: Container image of all tasks; `none` for the node as it is, empty for no change.
        workdir: Folder that is brought to where tasks start; empty for none.
    """

    image: str = ""
    workdir: str = ""

    def made(self, document: JobDocument) -> JobDocument:
        """Return the document with the changes."""
        data = dict(document.data)
        if self.image == NO_IMAGE:
            data.pop("image", None)
        elif self.image:
            data["image"] = self.image
        if self.workdir:
            files = data.get("files", [])
            entry = {"source": str(Path(self.workdir).absolute()), "target": HERE}
            # A list that is none is told of as such.
            data["files"] = [*files, entry] if isinstance(files, list) else files
        return replace(document, data=data)


_LOOKED = "paths count from the folder of the job file"


def read_source(
    file: str,
    now_ms: int,
    *,
    dialect: str = "",
    options: str = "",
    strict: bool = False,
    changes: Changes | None = None,
) -> Source:
    """Read one job file; `-` is standard input, whose paths count from the present folder.

    Args:
        file: Its path.
        now_ms: Unix time against which relative times are reckoned.
        dialect: In which it is written; empty to tell it by the content.
        options: Options for sbatch that win over those of a script.
        strict: Whether losses and approximations are refused.
        changes: What the command line says of all of its jobs.

    Raises:
        InputError: it cannot be read.
        InputProblems: it cannot be understood, or would lose something though `strict`.
    """
    if file == "-":
        text = sys.stdin.buffer.read(MAX_DOCUMENT_BYTES + 1)
        name, folder = STANDARD_INPUT, Path()
    else:
        name, folder = file, Path(file).parent
        try:
            with Path(file).open("rb") as opened:
                text = opened.read(MAX_DOCUMENT_BYTES + 1)
        except OSError as error:
            raise InputError(
                f"the job file cannot be read: {error.strerror}",
                where=file,
                hint="nothing was submitted",
            ) from error
    reading = read_jobs(text, name, now_ms, dialect=dialect, options=options)
    source = Source(
        name,
        folder,
        tuple((changes or Changes()).made(job.document) for job in reading.jobs),
        reading.dialect,
        tuple(job.notes for job in reading.jobs),
    )
    source.check(now_ms)
    if strict:
        refuse_losses(reading.jobs)
    return source


def _unreadable(file: LocalFile, path: Path) -> list[tuple[str, str]]:
    """Return why a file or folder cannot be uploaded, and what to do; empty when it can."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return [(f"the file {str(path)!r} cannot be read: {error.strerror}", _LOOKED)]
    if stat.S_ISDIR(mode):
        from fenglin.cli.folders import FolderError, files_below  # noqa: PLC0415 - most have none

        if file.executable is not None:
            what = f"executable does not go with a folder, {str(path)!r}"
            return [(what, "remove it: files keep their own bits")]
        try:
            files_below(path)
        except FolderError as error:
            return [(what, str(error.hint)) for what in error.reasons]
        return []
    if not stat.S_ISREG(mode):
        return [(f"{str(path)!r} is neither a plain file nor a folder", _LOOKED)]
    if file.target == HERE:
        return [(f"{str(path)!r} is no folder, and needs a name of its own", "say its target")]
    if not os.access(path, os.R_OK):
        return [(f"the file {str(path)!r} may not be read", _LOOKED)]
    return []


def _below(file: LocalFile, folder: Path) -> list[tuple[str, Path]]:
    """Return (target, path) of each file that a folder brings."""
    from fenglin.cli.folders import files_below  # noqa: PLC0415 - most jobs bring none

    head = "" if file.target == HERE else f"{file.target}/"
    return [(f"{head}{one.target}", one.path) for one in files_below(folder)]


def _brought(document: JobDocument) -> set[str]:
    """Return where the entries of `files` go that are no files of this machine."""
    entries = document.data.get("files", [])
    listed = entries if isinstance(entries, list) else []
    return {str(e.get("target")) for e in listed if isinstance(e, dict) and "source" not in e}


def _taken(target: str, taken: AbstractSet[str]) -> bool:
    """Return whether a place, or a folder above it, is another entry's."""
    parts = target.split("/")
    return any("/".join(parts[:depth]) in taken for depth in range(1, len(parts) + 1))


def _digest(path: Path) -> tuple[str, int]:
    """Return the content address and the size of a file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), file.tell()
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}", where=str(path)) from error


def _refers(entry: object, key: str, inner: str) -> object:
    """Return the job that an entry of `after` or `files` names, if any."""
    if isinstance(entry, dict):
        return entry.get(inner)
    return entry if key == "after" else None
