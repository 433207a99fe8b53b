"""The table of dialects: which one a file is written in, and its jobs as native documents."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from fenglin.errors import InputError, InputProblems, Problem
from fenglin.intake.dialects import dstack, kubernetes, skypilot, tes
from fenglin.intake.dialects.branch import Branch
from fenglin.intake.dialects.notes import Converted, Draft
from fenglin.intake.dialects.sbatch.convert import read_sbatch
from fenglin.intake.native import decoded, documents, read_trees
from fenglin.intake.report import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fenglin.intake.dialects.notes import Note
    from fenglin.intake.report import Tree

NATIVE = "native"
SBATCH = "sbatch"
_SCRIPT = re.compile(r"\ufeff?#!|(?:.*\n){0,200}?#SBATCH\b")


class Manifest(NamedTuple):
    """A dialect whose files are mappings.

    Attributes:
        title: What a file of it is called.
        recognises: Whether a document is of this dialect; all of its keys may be looked at.
        convert: Takes the document, and the name for a job that has none. It leaves the draft
            empty when the document is no job but may stand beside one.
        head: Takes a first document that tells about the others and is no job itself; returns
            whether it was one. None where there is no such thing.
        chained: Whether each job of a file waits for the one before it.
    """

    title: str
    recognises: Callable[[Mapping[str, object]], bool]
    convert: Callable[[Branch, str], None]
    head: Callable[[Branch], bool] | None = None
    chained: bool = False


MANIFESTS = {
    "kubernetes": Manifest("a Kubernetes Job", kubernetes.recognises, kubernetes.convert),
    "tes": Manifest("a task of GA4GH TES", tes.recognises, tes.convert),
    "dstack": Manifest("a dstack task", dstack.recognises, dstack.convert),
    "skypilot": Manifest(
        "a SkyPilot task", skypilot.recognises, skypilot.convert, skypilot.head, chained=True
    ),
}
TITLES = {
    NATIVE: "a native job file",
    SBATCH: "a script for sbatch",
    **{name: manifest.title for name, manifest in MANIFESTS.items()},
}


class Reading(NamedTuple):
    """The jobs of a file.

    Attributes:
        dialect: In which it is written, a key of `TITLES`.
        jobs: In order.
    """

    dialect: str
    jobs: tuple[Converted, ...]


def read_jobs(
    text: str | bytes, source: str, now_ms: int, *, dialect: str = "", options: str = ""
) -> Reading:
    """Return the jobs of a file in any dialect.

    What is wrong with single fields is said by `check_documents`, as for native files.

    Args:
        text: The file's content; bytes must be UTF-8.
        source: Name for messages; its suffix may tell the format.
        now_ms: Unix time against which relative times are reckoned.
        dialect: A key of `TITLES`; empty to tell it by the content.
        options: Options as on sbatch's command line; they win over those of a script.

    Raises:
        LimitError: the text is longer than 1 MiB.
        InputProblems: the text cannot be read, or holds no job.
        InputError: the dialect is unknown, or takes no options.
    """
    if dialect and dialect not in TITLES:
        hint = "one of " + ", ".join(TITLES)
        raise InputError(f"there is no dialect {dialect!r}", hint=hint)
    content = decoded(text, source)
    if dialect == SBATCH or (not dialect and _SCRIPT.match(content)):
        return Reading(SBATCH, tuple(read_sbatch(content, source, options, now_ms)))
    if options:
        what = "options for sbatch go with a script only"
        raise InputError(what, where=source, hint="leave --sbatch out")
    trees = read_trees(content, source)
    found = dialect or _recognised(trees)
    if found == NATIVE:
        return Reading(NATIVE, tuple(Converted(one) for one in documents(trees, source)))
    return Reading(found, _manifests(trees, source, now_ms, MANIFESTS[found]))


def _recognised(trees: Sequence[Tree]) -> str:
    """Return the dialect of the first document that is of any, else the native one."""
    for tree in trees:
        if isinstance(tree.data, dict):
            for name, manifest in MANIFESTS.items():
                if manifest.recognises(tree.data):
                    return name
    return NATIVE


def _manifests(
    trees: Sequence[Tree], source: str, now_ms: int, manifest: Manifest
) -> tuple[Converted, ...]:
    """Return the job of each document; what is said of others goes to the first job."""
    jobs: list[Converted] = []
    names: Counter[str] = Counter()
    beside: list[Note] = []
    wrong: list[Problem] = []
    stem = _stem(source)
    for number, tree in enumerate(trees, 1):
        draft = Draft(now_ms)
        draft.problems.extend(tree.problems)
        root = Branch(tree.data, (), tree.marks, draft)
        if isinstance(tree.data, dict) and manifest.recognises(tree.data):
            manifest.convert(root, stem if len(trees) == 1 else f"{stem}-{number}")
        elif number > 1 or manifest.head is None or not manifest.head(root):
            what = f"expected {manifest.title}, found {describe(tree.data)} of another kind"
            draft.problem(root.place(), "", what, "put it into a file of its own")
        if draft.data:
            if manifest.chained and jobs:
                draft.put(("after",), [jobs[-1].document.data["name"]], root.place())
            jobs.append(draft.finish(source, len(jobs), dict(names)))
            names[str(draft.data.get("name"))] += 1
        else:
            beside += draft.notes
            wrong += draft.problems
    if wrong or not jobs:
        nothing = Problem("", "the file holds no job", f"expected {manifest.title}", 1, 1)
        raise InputProblems(source, tuple(wrong) or (nothing,))
    if beside:
        jobs[0] = replace(jobs[0], notes=(*beside, *jobs[0].notes))
    return tuple(jobs)


def _stem(source: str) -> str:
    """Return what a job without a name is called: as its file, without the suffix."""
    name = source.rpartition("/")[2].partition(".")[0]
    shown = "".join(char for char in name if char.isprintable())[:120].strip()
    return shown or "job"
