"""What the submitter's side must replace before a document is sent: local files and names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fenglin.intake.things import HERE, default_target, looks_like_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fenglin.intake.native import JobDocument


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file on the submitter's machine that must be uploaded.

    Attributes:
        index: Number of the entry in `files`.
        source: Path as written, relative to the submitter's choice of folder.
        target: Relative path in the task's working directory.
        executable: Wanted execute bit; None when the file's own decides.
        line: 1-based line in the job file, 0 when unknown.
        column: 1-based column.
    """

    index: int
    source: str
    target: str
    executable: bool | None
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Upload:
    """A file whose content the hub has, or will have.

    Attributes:
        target: Relative path in the task's working directory.
        sha256: Content address, 64 hexadecimal digits in lower case.
        size_bytes: Size of the content.
        executable: Whether it gets the execute bit.
    """

    target: str
    sha256: str
    size_bytes: int
    executable: bool


def local_files(document: JobDocument) -> tuple[LocalFile, ...]:
    """Return the local files of a document that has no problems, in its order."""
    found = []
    entries = document.data.get("files", [])
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        line, column = document.place(("files", index))
        if isinstance(entry, str):
            target = default_target(entry)
            found.append(LocalFile(index, entry, target, None, line, column))
        elif isinstance(entry, dict) and isinstance(entry.get("source"), str):
            source = entry["source"]
            target = entry.get("target", default_target(source))
            wanted = entry.get("executable")
            if target == f"{HERE}/":
                target = HERE
            found.append(LocalFile(index, source, target, wanted, line, column))
    return tuple(found)


def with_uploads(document: JobDocument, uploads: Mapping[int, Sequence[Upload]]) -> JobDocument:
    """Return the document with local files and folders replaced by their uploaded content.

    Args:
        document: The document that `local_files` was asked about.
        uploads: Number of the entry in `files` → what it has become, several for a folder.
    """
    entries = document.data.get("files", [])
    assert isinstance(entries, list)  # noqa: S101 - checked when it was read
    changed: list[object] = []
    for index, entry in enumerate(entries):
        changed += map(_uploaded, uploads[index]) if index in uploads else [entry]
    data = {key: value for key, value in document.data.items() if key != "files"}
    return replace(document, data={**data, "files": changed} if changed else data)


def _uploaded(upload: Upload) -> dict[str, object]:
    """Return an entry of `files` for an uploaded file."""
    entry: dict[str, object] = {
        "target": upload.target,
        "sha256": upload.sha256,
        "size": upload.size_bytes,
    }
    if upload.executable:
        entry["executable"] = True
    return entry


def references(document: JobDocument) -> tuple[str, ...]:
    """Return the names of earlier jobs of the file that the document refers to, each once."""
    names: dict[str, None] = {}
    for key, inner in (("after", "job"), ("files", "artifacts_of")):
        entries = document.data.get(key, [])
        for entry in entries if isinstance(entries, list) else []:
            name = entry.get(inner) if isinstance(entry, dict) else entry
            if isinstance(entry, str) and key == "files":
                continue
            if isinstance(name, str) and not looks_like_id(name):
                names[name] = None
    return tuple(names)


def with_ids(document: JobDocument, ids: Mapping[str, str]) -> JobDocument:
    """Return the document with every name that `ids` knows replaced by its job id."""
    data = dict(document.data)
    for key, inner in (("after", "job"), ("files", "artifacts_of")):
        entries = data.get(key)
        if isinstance(entries, list):
            data[key] = [_with_id(entry, inner, ids) for entry in entries]
    return replace(document, data=data)


def _with_id(entry: object, inner: str, ids: Mapping[str, str]) -> object:
    """Return one entry of `after` or `files` with its reference replaced."""
    if isinstance(entry, dict):
        name = entry.get(inner)
        if isinstance(name, str) and not looks_like_id(name) and name in ids:
            return {**entry, inner: ids[name]}
        return entry
    if inner == "job" and isinstance(entry, str) and not looks_like_id(entry):
        return ids.get(entry, entry)
    return entry
