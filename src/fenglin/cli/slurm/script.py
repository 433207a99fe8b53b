"""A script and sbatch's command line become one native job, with labels that squeue reads."""

from __future__ import annotations

import getpass
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fenglin.cli.documents import STANDARD_INPUT, Source
from fenglin.cli.slurm.rows import ARRAY, COMMAND, USER
from fenglin.errors import InputError
from fenglin.intake.dialects.notes import Draft
from fenglin.intake.dialects.registry import SBATCH, read_jobs
from fenglin.intake.dialects.sbatch.lines import directive_words, split
from fenglin.intake.dialects.sbatch.options import parse
from fenglin.intake.dialects.shell import command_line
from fenglin.intake.limits import MAX_DOCUMENT_BYTES
from fenglin.intake.native import decoded

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHELL = re.compile(r"#!\s*(?:\S*/env\s+)?(?:\S*/)?(?:ba|da|k|z|a)?sh\b")
_MAX_LABEL = 256


def read_script(
    wrap: str | None, words: Sequence[str], options: str, now_ms: int
) -> tuple[Source, dict[str, str]]:
    """Return the job of a script, and the labels that the other commands read.

    Args:
        wrap: Command in place of a script; None for none.
        words: The script and its arguments; no words stand for standard input.
        options: Options of the command line; they win over the script's.
        now_ms: Unix time.

    Raises:
        InputError: the script cannot be read, or takes no arguments.
        InputProblems: the script or the options cannot be understood.
    """
    name, text = ("wrap", f"#!/bin/sh\n\n{wrap}\n") if wrap is not None else _read(words)
    if len(words) > 1:
        text = _with_arguments(text, words[1:])
    reading = read_jobs(text, name, now_ms, dialect=SBATCH, options=options)
    source = Source(
        name,
        Path(),
        tuple(job.document for job in reading.jobs),
        reading.dialect,
        tuple(job.notes for job in reading.jobs),
    )
    source.check(now_ms)
    labels = {USER: getpass.getuser(), ARRAY: _array(text, options, now_ms)}
    if wrap is None and words:
        labels[COMMAND] = str(Path(words[0]).absolute())
    kept = {key: value for key, value in labels.items() if value and len(value) <= _MAX_LABEL}
    return source, kept


def _read(words: Sequence[str]) -> tuple[str, str]:
    """Return the name and the text of the script."""
    if not words or words[0] == "-":
        data, name = sys.stdin.buffer.read(MAX_DOCUMENT_BYTES + 1), STANDARD_INPUT
    else:
        name = words[0]
        try:
            with Path(name).open("rb") as file:
                data = file.read(MAX_DOCUMENT_BYTES + 1)
        except OSError as error:
            raise InputError(f"Unable to open file {name}", hint=error.strerror or "") from error
    return name, decoded(data, name)


def _with_arguments(text: str, words: Sequence[str]) -> str:
    """Return a shell's script that begins by setting its arguments, below its directives."""
    if not _SHELL.match(text):
        what = "arguments are given to scripts of a shell only"
        raise InputError(what, hint="write them into the script, or pass them as variables")
    lines = text.split("\n")
    at = next((n for n, line in enumerate(lines) if line.strip() and line[:1] != "#"), len(lines))
    head, rest = lines[:at], lines[at:]
    first = rest[0] if rest else ""
    return "\n".join([*head, f"set -- {command_line(words)}; {first}", *rest[1:]])


def _array(text: str, options: str, now_ms: int) -> str:
    """Return the array indices as they were given; empty for none."""
    draft = Draft(now_ms)  # what is wrong has been said already
    given = parse([*directive_words(text, draft), *(split(options, 0) or [])], draft)
    return next((one.value for one in reversed(given) if one.name == "array"), "")
