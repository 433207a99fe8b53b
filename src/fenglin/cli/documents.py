"""Job files on the submitter's side: read, checked, their local files uploaded."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fenglin.errors import InputError, InputProblems, Problem
from fenglin.intake.dialects.notes import Note, refuse_losses
from fenglin.intake.dialects.registry import NATIVE, read_jobs
from fenglin.intake.limits import MAX_DOCUMENT_BYTES
from fenglin.intake.native import JobDocument, check_documents
from fenglin.intake.references import local_files, references, with_ids, with_upload

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fenglin.client import Client
    from fenglin.intake.references import LocalFile

STANDARD_INPUT = "standard input"


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
        """Check that the local files can be read.

        Raises:
            InputProblems: all that cannot.
        """
        found = []
        for document in self.documents:
            for file in local_files(document):
                what = _unreadable(self.folder / Path(file.source).expanduser())
                if what:
                    path = f"files[{file.index}]"
                    found.append(Problem(path, what, _LOOKED, file.line, file.column))
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
        for file in local_files(document):
            path = self.folder / Path(file.source).expanduser()
            sha256, size_bytes = _digest(path)
            if not client.has_blob(sha256):
                client.put_blob(sha256, path)
            document = _uploaded(document, file, path, sha256, size_bytes)
        return with_ids(document, ids).data

    def detached(self, document: JobDocument) -> dict[str, object]:
        """Return what the hub shall plan: nothing is uploaded, earlier documents are done."""
        for file in local_files(document):
            path = self.folder / Path(file.source).expanduser()
            document = _uploaded(document, file, path, *_digest(path))
        gone = set(references(document))
        data = dict(document.data)
        for key, inner in (("after", "job"), ("files", "artifacts_of")):
            entries = data.get(key)
            if gone and isinstance(entries, list):
                data[key] = [one for one in entries if _refers(one, key, inner) not in gone]
        return data


_LOOKED = "paths count from the folder of the job file"


def read_source(
    file: str, now_ms: int, *, dialect: str = "", options: str = "", strict: bool = False
) -> Source:
    """Read one job file; `-` is standard input, whose paths count from the present folder.

    Args:
        file: Its path.
        now_ms: Unix time against which relative times are reckoned.
        dialect: In which it is written; empty to tell it by the content.
        options: Options for sbatch that win over those of a script.
        strict: Whether losses and approximations are refused.

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
        tuple(job.document for job in reading.jobs),
        reading.dialect,
        tuple(job.notes for job in reading.jobs),
    )
    source.check(now_ms)
    if strict:
        refuse_losses(reading.jobs)
    return source


def _unreadable(path: Path) -> str:
    """Return why a file cannot be uploaded; empty when it can."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return f"the file {str(path)!r} cannot be read: {error.strerror}"
    if not stat.S_ISREG(mode):
        return f"{str(path)!r} is not a plain file"
    return "" if os.access(path, os.R_OK) else f"the file {str(path)!r} may not be read"


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


def _uploaded(
    document: JobDocument, file: LocalFile, path: Path, sha256: str, size_bytes: int
) -> JobDocument:
    """Return the document with one local file replaced by its content."""
    return with_upload(
        document, file, sha256, size_bytes, executable=bool(path.stat().st_mode & stat.S_IXUSR)
    )


def _refers(entry: object, key: str, inner: str) -> object:
    """Return the job that an entry of `after` or `files` names, if any."""
    if isinstance(entry, dict):
        return entry.get(inner)
    return entry if key == "after" else None
