"""The lists of a job: files, artifacts, dependencies, retries."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from fenglin.errors import InputError
from fenglin.intake import words
from fenglin.intake.report import describe, show
from fenglin.model.ids import parse_job_id
from fenglin.model.job import AfterCondition, Dependency, FileInput, Retries
from fenglin.model.reason import Reason

if TYPE_CHECKING:
    from fenglin.intake.report import Path, Report

FILE_KEYS = ("artifacts_of", "executable", "sha256", "size", "source", "target")
AFTER_KEYS = ("condition", "job", "per_task")
RETRY_KEYS = ("exit_codes", "limit", "reasons")
FILE_SYNONYMS = {
    "src": "did you mean 'source'?",
    "path": "did you mean 'source'?",
    "from": "did you mean 'source'?",
    "dest": "did you mean 'target'?",
    "to": "did you mean 'target'?",
    "mode": "did you mean 'executable'?",
}
# Endings of a task that another try may change; the rest of `Reason` never ends a task, or
# ends it for good.
RETRYABLE = (
    Reason.EXIT_CODE,
    Reason.SIGNAL,
    Reason.TIMEOUT,
    Reason.MEMORY_EXCEEDED,
    Reason.DISK_EXCEEDED,
    Reason.STAGING_FAILED,
    Reason.SECRET_UNAVAILABLE,
    Reason.IMAGE_FAILED,
    Reason.START_FAILED,
    Reason.RUNNER_LOST,
    Reason.NODE_REBOOTED,
    Reason.SITE_LOST,
)
# Where the content of a folder goes that is to stand in the working directory itself.
HERE = "."
MAX_RETRIES = 100
MAX_FILES = 10_000
MAX_ARTIFACTS = 1_000
MAX_AFTER = 1_000
MAX_FILE_BYTES = 2**50
_SHA256 = re.compile(r"[0-9a-f]{64}")
_JOB_ID = re.compile(r"j\d+", re.ASCII)


def items(value: object, path: Path, report: Report, limit: int, hint: str) -> list[object]:
    """Return a list of at most `limit` items, or an empty one after noting the problem."""
    if type(value) is not list:
        report.wrong(path, value, "a list", hint)
        return []
    if len(value) > limit:
        report.add(path, f"a list of {len(value)} items", f"at most {limit}")
        return []
    return value


def looks_like_id(reference: str) -> bool:
    """Return whether a reference to a job is an id and not a name."""
    return _JOB_ID.fullmatch(reference) is not None


def job_reference(value: object, path: Path, report: Report) -> str | None:
    """Return a job id, or the name of an earlier document of the same file."""
    if type(value) is not str:
        report.wrong(path, value, "a job id", "a job id looks like j123")
        return None
    if report.names is not None and not looks_like_id(value):
        times = report.names.get(value, 0)
        if times == 1:
            return value
        what = f"no earlier job of this file is named {show(value)}"
        hint = "write a job id such as j123, or the name of a job further up"
        if times:
            what = f"{times} earlier jobs of this file are named {show(value)}"
            hint = "give them different names"
        report.add(path, what, hint)
        return None
    try:
        parse_job_id(value)
    except InputError as error:
        report.add(path, f"{show(value)} is not a job id", error.hint)
        return None
    return value


def relative(value: object, path: Path, report: Report, wanted: str) -> str | None:
    """Return a clean relative path that cannot leave the working directory."""
    if type(value) is not str:
        report.wrong(path, value, wanted)
        return None
    given = words.printable(value, path, report, words.MAX_PATH)
    if given is None:
        return None
    parts = [part for part in given.split("/") if part not in ("", ".")]
    wrong = ""
    if given.startswith(("/", "~")):
        wrong = "is absolute"
    elif "\\" in given:
        wrong = "has a backslash"
    elif ".." in parts:
        wrong = "leaves the working directory"
    elif not parts:
        wrong = "names nothing"
    elif max(len(part.encode()) for part in parts) > 255:
        wrong = "has a part longer than 255 bytes"
    if wrong:
        report.add(path, f"{show(given)} {wrong}", "write a path below the working directory")
        return None
    return "/".join(parts)


def default_target(source: str) -> str:
    """Return where a local file goes when no target is given.

    A plain relative path keeps its folders; an absolute one, or one with `..`, its last name.
    The folder of the job file itself, `.`, goes to the working directory.
    """
    parts = [part for part in source.split("/") if part not in ("", ".")]
    if not parts and source.startswith("."):
        return HERE
    if source.startswith(("/", "~")) or ".." in parts:
        return parts[-1] if parts else ""
    return "/".join(parts)


def files(value: object, out: dict[str, object], report: Report) -> None:
    """Set `files`."""
    hint = "write a list of {source: …} or {target: …, sha256: …, size: …}"
    found: list[FileInput] = []
    seen: dict[str, int] = {}
    for index, item in enumerate(items(value, ("files",), report, MAX_FILES, hint)):
        path: Path = ("files", index)
        file = _file(item, path, report)
        if file is None:
            continue
        if file.target in seen:
            what = f"files[{seen[file.target]}] has the same target {show(file.target)}"
            report.add(path, what, "give each file a target of its own")
        seen[file.target] = index
        found.append(file)
    for file in found:
        above = file.target.rpartition("/")[0]
        while above:
            if above in seen:
                at: Path = ("files", seen[file.target])
                what = f"the target {show(file.target)} is below another file's, {show(above)}"
                report.add(at, what, "choose other targets")
                break
            above = above.rpartition("/")[0]
    out["files"] = tuple(found)


def _file(item: object, path: Path, report: Report) -> FileInput | None:
    """Read one entry of `files` in any of its forms."""
    if type(item) is str:
        return _local({"source": item}, path, path, report)
    if type(item) is not dict:
        report.wrong(path, item, "a path or a mapping", "for example {source: scene.bin}")
        return None
    entry = cast("dict[str, object]", item)
    for key in entry:
        if key not in FILE_KEYS:
            report.unknown((*path, key), FILE_KEYS, FILE_SYNONYMS)
    kinds = [key for key in ("source", "sha256", "artifacts_of") if key in entry]
    if len(kinds) != 1:
        what = f"{' and '.join(kinds)} together" if kinds else "it has no origin"
        report.add(path, what, "give one of source, sha256, artifacts_of")
        return None
    if kinds[0] == "source":
        return _local(entry, path, (*path, "source"), report)
    if "target" not in entry:
        report.add(path, "target is missing", "say where the file goes in the working directory")
        return None
    target = relative(entry["target"], (*path, "target"), report, "a relative path")
    return (_uploaded if kinds[0] == "sha256" else _brought)(entry, target, path, report)


def _brought(
    entry: dict[str, object], target: str | None, path: Path, report: Report
) -> FileInput | None:
    """Read `{target, artifacts_of}`."""
    for key in ("size", "executable"):
        if key in entry:
            report.add((*path, key), f"{key} does not go with artifacts_of", "remove it")
    job = job_reference(entry["artifacts_of"], (*path, "artifacts_of"), report)
    if target is None or job is None:
        return None
    return FileInput(target, artifacts_of=job)


def _uploaded(
    entry: dict[str, object], target: str | None, path: Path, report: Report
) -> FileInput | None:
    """Read `{target, sha256, size, executable}`."""
    digest = entry["sha256"]
    if type(digest) is not str or not _SHA256.fullmatch(digest):
        report.wrong((*path, "sha256"), digest, "64 hexadecimal digits in lower case")
        digest = None
    if "size" not in entry:
        report.add(path, "size is missing", "give the file's size in bytes")
    size = words.whole(entry.get("size", 0), (*path, "size"), report, 0, MAX_FILE_BYTES)
    executable = words.truth(entry.get("executable", False), (*path, "executable"), report)
    if target is None or type(digest) is not str or size is None or executable is None:
        return None
    return FileInput(target, digest, size, executable)


def _local(entry: dict[str, object], path: Path, at: Path, report: Report) -> FileInput | None:
    """Check a file of the submitter's machine; the placeholder only serves further checks.

    Args:
        entry: The mapping, or one made of a plain path.
        path: Where the entry stands.
        at: Where the local path stands.
        report: Takes the problems.
    """
    if not report.local:
        hint = "`fenglin submit` uploads it; over HTTP, upload it and give sha256 and size"
        report.add(at, "a path on your own machine means nothing to the hub", hint)
        return None
    if "size" in entry:
        report.add((*path, "size"), "size does not go with source", "remove it")
    executable = words.truth(entry.get("executable", False), (*path, "executable"), report)
    source = words.text(entry["source"], at, report, words.MAX_PATH)
    if source is None:
        return None
    given = entry.get("target", default_target(source))
    target: str | None = HERE
    if given not in (HERE, f"{HERE}/"):
        where = (*path, "target") if "target" in entry else at
        target = relative(given, where, report, "a path")
    if target is None or executable is None:
        return None
    return FileInput(target, executable=executable)


def artifacts(value: object, out: dict[str, object], report: Report) -> None:
    """Set `artifacts`: globs below the working directory."""
    hint = 'write a list of globs, such as ["out/*.png"]'
    globs = []
    for index, item in enumerate(items(value, ("artifacts",), report, MAX_ARTIFACTS, hint)):
        glob = relative(item, ("artifacts", index), report, "a glob")
        if glob is not None:
            globs.append(glob)
    out["artifacts"] = tuple(dict.fromkeys(globs))


def after(value: object, out: dict[str, object], report: Report) -> None:
    """Set `after`."""
    hint = "write a list such as [j12] or [{job: j12, condition: any}]"
    parents: dict[str, Dependency] = {}
    for index, item in enumerate(items(value, ("after",), report, MAX_AFTER, hint)):
        path: Path = ("after", index)
        parent = _dependency(item, path, report)
        if parent is None:
            continue
        if parent.job in parents:
            report.add(path, f"{show(parent.job)} stands here twice", "remove one of them")
        parents[parent.job] = parent
    out["after"] = tuple(parents.values())


def _dependency(item: object, path: Path, report: Report) -> Dependency | None:
    """Read `j12` or `{job, condition, per_task}`."""
    if type(item) is not dict:
        job = job_reference(item, path, report)
        return None if job is None else Dependency(job)
    entry = cast("dict[str, object]", item)
    for key in entry:
        if key not in AFTER_KEYS:
            report.unknown((*path, key), AFTER_KEYS)
    if "job" not in entry:
        report.add(path, "job is missing", "write for example {job: j12, condition: any}")
        return None
    job = job_reference(entry["job"], (*path, "job"), report)
    condition = one_of(
        entry.get("condition", "ok"), (*path, "condition"), report, tuple(AfterCondition)
    )
    per_task = words.truth(entry.get("per_task", False), (*path, "per_task"), report)
    if job is None or condition is None or per_task is None:
        return None
    return Dependency(job, AfterCondition(condition), per_task)


def one_of(value: object, path: Path, report: Report, allowed: tuple[str, ...]) -> str | None:
    """Return one of a few words."""
    if type(value) is str and value in allowed:
        return value
    report.wrong(path, value, "one of " + ", ".join(allowed))
    return None


def retries(value: object, out: dict[str, object], report: Report) -> None:
    """Set `retries` from a count or `{limit, exit_codes, reasons}`."""
    path: Path = ("retries",)
    if type(value) is not dict:
        limit = words.whole(value, path, report, 0, MAX_RETRIES)
        out["retries"] = Retries(limit or 0)
        return
    entry = cast("dict[str, object]", value)
    for key in entry:
        if key not in RETRY_KEYS:
            synonyms = {"count": "did you mean 'limit'?", "max": "did you mean 'limit'?"}
            report.unknown((*path, key), RETRY_KEYS, synonyms)
    if "limit" not in entry:
        report.add(path, "limit is missing", "say how often a task is tried again: limit: 3")
        return
    limit = words.whole(entry["limit"], (*path, "limit"), report, 0, MAX_RETRIES)
    codes: set[int] = set()
    at: Path = (*path, "exit_codes")
    for index, item in enumerate(items(entry.get("exit_codes", []), at, report, 255, "[75, 111]")):
        code = words.whole(item, (*at, index), report, 1, 255)
        codes.update(() if code is None else (code,))
    reasons: set[Reason] = set()
    at = (*path, "reasons")
    for index, item in enumerate(items(entry.get("reasons", []), at, report, 64, "[site_lost]")):
        reasons.update(_reason(item, (*at, index), report))
    out["retries"] = Retries(limit or 0, tuple(sorted(codes)), tuple(sorted(reasons)))


def _reason(item: object, path: Path, report: Report) -> tuple[Reason, ...]:
    """Return the reason in a tuple, or nothing after noting the problem."""
    if type(item) is str and item in RETRYABLE:
        return (Reason(item),)
    what = f"{describe(item)} is not an ending that another try may change"
    report.add(path, what, "one of " + ", ".join(RETRYABLE))
    return ()
