"""What the submitter's side must replace before a document is sent: local files and names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fenglin.intake.things import default_target, looks_like_id

if TYPE_CHECKING:
    from collections.abc import Mapping

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
            found.append(LocalFile(index, source, target, wanted, line, column))
    return tuple(found)


def with_upload(
    document: JobDocument, file: LocalFile, sha256: str, size_bytes: int, *, executable: bool
) -> JobDocument:
    """Return the document with one local file replaced by its uploaded content.

    Args:
        document: The document that `local_files` was asked about.
        file: One of the answers.
        sha256: Content address, 64 hexadecimal digits in lower case.
        size_bytes: Size of the content.
        executable: Execute bit of the local file; what the document says goes before it.
    """
    entries = document.data["files"]
    assert isinstance(entries, list)  # noqa: S101 - `file` came from this list
    bit = executable if file.executable is None else file.executable
    entry: dict[str, object] = {"target": file.target, "sha256": sha256, "size": size_bytes}
    if bit:
        entry["executable"] = True
    changed = [*entries[: file.index], entry, *entries[file.index + 1 :]]
    return replace(document, data={**document.data, "files": changed})


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
