"""The native job file: text, files or request bodies in, `JobSpec` out.

Two ways lead to the same check. A request body goes the quick way: decode, prove that no key
stands twice, check. Whatever that refuses, and every file, goes the thorough way, whose readers
know positions. The quick way never accepts what the thorough one refuses, nor reads it
differently (a property test holds them together).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from fenglin.errors import InputError, InputProblems, LimitError, Problem
from fenglin.intake.fields import check_job
from fenglin.intake.limits import (
    MAX_BATCH_BYTES,
    MAX_BATCH_JOBS,
    MAX_DOCUMENT_BYTES,
    check_size,
)
from fenglin.intake.read_json import read_json
from fenglin.intake.read_toml import read_toml
from fenglin.intake.read_yaml import read_yaml
from fenglin.intake.report import MAX_PROBLEMS, Mark, Path, Report, Tree, locate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fenglin.model.job import JobSpec

FORMATS = ("json", "toml", "yaml")
_SUFFIXES = {"json": "json", "toml": "toml", "yaml": "yaml", "yml": "yaml"}
_LOOKS_LIKE_TOML = re.compile(
    r"(?:[ \t]*(?:#[^\n]*)?\n)*[ \t]*(?:[\w-]+[ \t]*=|\[[\w.-]+\][ \t]*\n)"
)
_BODY = "request body"
_DECODER = msgspec.json.Decoder()
_RAW_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_ENCODER = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class JobDocument:
    """One job of a file, parsed but not yet a `JobSpec`.

    Attributes:
        data: The document as plain data; send it as JSON.
        source: Name of the file.
        index: Number of the document in the file, from 0.
        earlier: How often each name was given to an earlier document of the file.
        marks: Where each value stands.
        reading: What the reader found wrong.
    """

    data: dict[str, object]
    source: str
    index: int = 0
    earlier: Mapping[str, int] = field(default_factory=dict)
    marks: Mapping[Path, Mark] = field(default_factory=dict)
    reading: tuple[Problem, ...] = ()

    def problems(self, now_ms: int) -> tuple[Problem, ...]:
        """Return what the submitter must mend before anything is uploaded or sent.

        Paths of the submitter's machine and names of earlier jobs of the file are allowed.
        """
        report = Report(now_ms, local=True, names=self.earlier)
        check_job(self.data, report)
        return _in_order((*self.reading, *locate(report, self.marks)))

    def spec(self, now_ms: int) -> JobSpec:
        """Return the job as the hub will see it.

        Raises:
            InputProblems: anything is wrong, or a local file or a name is not yet replaced.
        """
        report = Report(now_ms)
        spec = check_job(self.data, report)
        found = _in_order((*self.reading, *locate(report, self.marks)))
        if found or spec is None:
            raise InputProblems(self.source, found)
        return spec

    def place(self, path: Path) -> tuple[int, int]:
        """Return line and column of a value, (0, 0) when unknown."""
        mark = self.marks.get(path)
        return (mark.value.line, mark.value.column) if mark else (0, 0)


def read_file_text(
    text: str | bytes, source_name: str, format_name: str | None = None
) -> list[JobDocument]:
    """Return the jobs of a file: one, or one per document of a YAML stream.

    Args:
        text: The file's content; bytes must be UTF-8.
        source_name: Name for messages; its suffix tells the format.
        format_name: `yaml`, `json` or `toml` when the suffix does not tell.

    Raises:
        LimitError: the text is longer than 1 MiB.
        InputProblems: the text cannot be read, or holds no job. What is wrong with the fields
            is said by `check_documents`, together for all documents.
        InputError: the format is unknown.
    """
    return documents(read_trees(decoded(text, source_name), source_name, format_name), source_name)


def read_trees(text: str, source_name: str, format_name: str | None = None) -> list[Tree]:
    """Return the plain data of each document of a text, with positions.

    Raises:
        InputProblems: the text cannot be read.
        InputError: the format is unknown.
    """
    if format_name is None:
        format_name = _guess(text, source_name)
    trees: list[Tree]
    if format_name == "yaml":
        trees = read_yaml(text)
    elif format_name == "json":
        trees = [read_json(text)]
    elif format_name == "toml":
        trees = [read_toml(text)]
    else:
        raise InputError(f"unknown format {format_name!r}", hint="one of " + ", ".join(FORMATS))
    if any(tree.broken for tree in trees):
        raise InputProblems(source_name, tuple(p for tree in trees for p in tree.problems))
    return trees


def documents(trees: Sequence[Tree], source: str) -> list[JobDocument]:
    """Return the documents, each with the names that stand above it.

    Raises:
        InputProblems: there is none, or one is no mapping.
    """
    if not trees:
        hint = "write at least name and command or script"
        raise InputProblems(source, (Problem("", "the file holds no job", hint, 1, 1),))
    found: list[JobDocument] = []
    names: Counter[str] = Counter()
    for index, tree in enumerate(trees):
        if not isinstance(tree.data, dict):
            report = Report(0)
            check_job(tree.data, report)
            raise InputProblems(source, (*tree.problems, *locate(report, tree.marks)))
        found.append(JobDocument(tree.data, source, index, dict(names), tree.marks, tree.problems))
        name = tree.data.get("name")
        if isinstance(name, str):
            names[name] += 1
    return found


def check_documents(submitted: Iterable[JobDocument], now_ms: int) -> None:
    """Check all documents of a submission and say everything that is wrong with them at once.

    Raises:
        InputProblems: anything is.
    """
    listed = list(submitted)
    found = tuple(problem for document in listed for problem in document.problems(now_ms))
    if found:
        raise InputProblems(listed[0].source, found)


def decode_json(body: bytes, now_ms: int) -> JobSpec:
    """Return the job of a request body.

    Raises:
        LimitError: the body is longer than 1 MiB.
        InputProblems: anything is wrong with it.
    """
    check_size(len(body), MAX_DOCUMENT_BYTES, _BODY)
    data = _quick(body)
    if data is not None:
        spec = check_job(data, Report(now_ms))
        if spec is not None:
            return spec
    spec, found = _thorough(body, now_ms, ())
    if spec is None:
        raise InputProblems(_BODY, found)
    return spec


def decode_batch(body: bytes, now_ms: int) -> list[JobSpec]:
    """Return the jobs of a JSON array or of NDJSON, in order; all of them or none.

    Paths of problems begin with the number of the item, from 0: `[7].resources.memory`.

    Raises:
        LimitError: the body is longer than 32 MiB, an item longer than 1 MiB, or there are more
            than 50,000 items.
        InputProblems: anything is wrong with any item.
    """
    check_size(len(body), MAX_BATCH_BYTES, _BODY)
    specs = _quick_batch(body, now_ms)
    return _thorough_batch(body, now_ms) if specs is None else specs


def _quick(body: bytes) -> object | None:
    r"""Return the plain data of a body; None when it is broken or a key may stand twice.

    msgspec keeps the last of equal keys. Each key has one colon, so the encoded result has as
    many colons as the body exactly when nothing was dropped; an escape could hide a colon of a
    text (`\u003a`), so such bodies go the thorough way.
    """
    try:
        data: object = _DECODER.decode(body)
        if b"\\u003" in body or _ENCODER.encode(data).count(b":") != body.count(b":"):
            return None
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return data


def _quick_batch(body: bytes, now_ms: int) -> list[JobSpec] | None:
    """Return all jobs, or None when any needs a closer look."""
    try:
        if _is_array(body):
            items: object = _DECODER.decode(body)
        else:
            items = [_DECODER.decode(line) for line in body.split(b"\n") if line.strip()]
        if b"\\u003" in body or _ENCODER.encode(items).count(b":") != body.count(b":"):
            return None
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    if not isinstance(items, list) or not 0 < len(items) <= MAX_BATCH_JOBS:
        return None
    if len(body) > MAX_DOCUMENT_BYTES and _may_hold_a_long_item(body, items):
        return None
    specs = []
    report = Report(now_ms)
    for item in items:
        spec = check_job(item, report)
        if spec is None:
            return None
        specs.append(spec)
    return specs


def _may_hold_a_long_item(body: bytes, items: list[object]) -> bool:
    """Return whether an item of the batch may be longer than one document may be."""
    if not _is_array(body):
        return any(len(line) > MAX_DOCUMENT_BYTES for line in body.split(b"\n"))
    raw: list[msgspec.Raw] = _RAW_ITEMS.decode(body)
    return len(raw) != len(items) or any(len(bytes(item)) > MAX_DOCUMENT_BYTES for item in raw)


def _is_array(body: bytes) -> bool:
    """Return whether a batch is a JSON array and not lines."""
    return body[:64].lstrip()[:1] == b"["


def _thorough(body: bytes, now_ms: int, prefix: Path) -> tuple[JobSpec | None, tuple[Problem, ...]]:
    """Return the job of one body, or None and all that is wrong with it."""
    try:
        tree = read_json(body.decode())
    except UnicodeDecodeError as error:
        return None, (_not_utf8(body, error, prefix),)
    found = tuple(_prefixed(problem, prefix) for problem in tree.problems)
    if tree.broken:
        return None, found
    report = Report(now_ms)
    spec = check_job(tree.data, report)
    found = _in_order((*found, *locate(report, tree.marks, prefix)))
    return (None if found else spec), found


def _thorough_batch(body: bytes, now_ms: int) -> list[JobSpec]:
    """Look at the items one by one, until enough problems are found."""
    raws = _raw_items(body)
    if not raws:
        raise InputProblems(_BODY, (Problem("", "the batch holds no job", "send at least one"),))
    if len(raws) > MAX_BATCH_JOBS:
        raise LimitError(
            f"the batch has {len(raws)} jobs, at most {MAX_BATCH_JOBS} are taken",
            where=_BODY,
            hint="send several batches",
        )
    specs: list[JobSpec] = []
    found: list[Problem] = []
    for index, raw in enumerate(raws):
        check_size(len(raw), MAX_DOCUMENT_BYTES, f"{_BODY}[{index}]")
        data = _quick(raw)
        spec = None if data is None else check_job(data, Report(now_ms))
        if spec is None:
            spec, problems = _thorough(raw, now_ms, (index,))
            # Places count from the item's own begin; in a batch only the path is of use.
            found.extend(_prefixed(problem, ()) for problem in _unplaced(problems))
        if spec is not None:
            specs.append(spec)
        if len(found) >= MAX_PROBLEMS:
            found.append(Problem("", "the items after this one were not looked at"))
            break
    if found:
        raise InputProblems(_BODY, tuple(found))
    return specs


def _raw_items(body: bytes) -> list[bytes]:
    """Return the bytes of every item of a batch."""
    if not _is_array(body):
        return [line for line in body.split(b"\n") if line.strip()]
    try:
        return [bytes(item) for item in _RAW_ITEMS.decode(body)]
    except RecursionError:
        what, at = "nested too deep", 0
    except (msgspec.MsgspecError, UnicodeError) as error:
        what = str(error)[:200]
        offset = re.search(r"\(byte (\d+)\)", what)
        at = int(offset[1]) if offset else 0
    line = body.count(b"\n", 0, at) + 1
    hint = "send a JSON array of jobs, or one job per line"
    raise InputProblems(_BODY, (Problem("", what, hint, line, at - body.rfind(b"\n", 0, at)),))


def _unplaced(problems: Iterable[Problem]) -> Iterable[Problem]:
    """Return problems without line and column."""
    return (Problem(problem.path, problem.what, problem.hint) for problem in problems)


def _prefixed(problem: Problem, prefix: Path) -> Problem:
    """Return a problem whose path begins with the number of its item."""
    if not prefix:
        return problem
    dot = "." if problem.path and not problem.path.startswith("[") else ""
    path = f"[{prefix[0]}]{dot}{problem.path}"
    return Problem(path, problem.what, problem.hint, problem.line, problem.column)


def _in_order(problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
    """Return problems in the order of the text; those without a place last."""
    return tuple(sorted(problems, key=lambda p: (p.line == 0, p.line, p.column)))


def decoded(text: str | bytes, source: str) -> str:
    """Return a text without byte order mark.

    Raises:
        LimitError: it is longer than 1 MiB.
        InputProblems: it is not UTF-8.
    """
    raw = text
    if isinstance(raw, str):
        try:
            raw = raw.encode()
        except UnicodeEncodeError as error:
            line = error.object.count("\n", 0, error.start) + 1
            column = error.start - error.object.rfind("\n", 0, error.start)
            problem = Problem("", "half a surrogate pair", "save as UTF-8", line, column)
            raise InputProblems(source, (problem,)) from None
    check_size(len(raw), MAX_DOCUMENT_BYTES, source)
    try:
        return raw.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise InputProblems(source, (_not_utf8(raw, error, ()),)) from None


def _not_utf8(body: bytes, error: UnicodeDecodeError, prefix: Path) -> Problem:
    """Return the problem of bytes that are not UTF-8."""
    line = body.count(b"\n", 0, error.start) + 1
    column = error.start - body.rfind(b"\n", 0, error.start)
    what = f"the byte 0x{body[error.start]:02x} is not UTF-8"
    return _prefixed(Problem("", what, "save the text as UTF-8", line, column), prefix)


def _guess(text: str, source: str) -> str:
    """Return the format that the suffix names, else the one that the text looks like."""
    suffix = source.rpartition(".")[2].lower() if "." in source else ""
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    if text.lstrip()[:1] == "{":
        return "json"
    return "toml" if _LOOKS_LIKE_TOML.match(text) else "yaml"
