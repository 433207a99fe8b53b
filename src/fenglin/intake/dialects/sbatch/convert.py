"""One script for sbatch becomes one native document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.errors import InputError, InputProblems, Problem
from fenglin.intake.dialects.notes import Converted, Draft
from fenglin.intake.dialects.sbatch.fields import carry
from fenglin.intake.dialects.sbatch.lines import directive_words, split
from fenglin.intake.dialects.sbatch.options import Given, parse
from fenglin.intake.dialects.sbatch.script import native_script
from fenglin.intake.dialects.sbatch.shape import CARDS, MEMORY, Asked, Shape, shape
from fenglin.intake.report import Place

if TYPE_CHECKING:
    from collections.abc import Iterable


# Of each of these groups only the last option counts, as in sbatch.
_GROUPS = (MEMORY, ("requeue", "no-requeue"), ("exclusive", "oversubscribe"))
_FIRST_LINE = Place(1, 1)


def read_sbatch(text: str, source: str, options: str, now_ms: int) -> list[Converted]:
    """Return the job of a script.

    Args:
        text: The script.
        source: Its name, for messages; the job is called so unless it says otherwise.
        options: Options as on sbatch's command line; they win over the script's.
        now_ms: Unix time against which relative times are reckoned.

    Raises:
        InputProblems: the script has Windows line ends.
        InputError: a quote in the options is not closed.
    """
    if "\r" in text:
        line = text.count("\n", 0, text.index("\r")) + 1
        hint = "save it with Unix line ends (LF), for example with `sed -i 's/\\r$//' FILE`"
        raise InputProblems(source, (Problem("", "Windows line ends", hint, line, 1),))
    draft = Draft(now_ms)
    if not text.startswith("#!"):
        what = "the first line names no interpreter, so that sbatch would refuse it too"
        draft.problem(_FIRST_LINE, "", what, "begin the file with #!/bin/bash")
    more = split(options, 0)
    if more is None:
        raise InputError("a quote in the options for sbatch is not closed", where=options)
    given = _last(parse([*directive_words(text, draft), *more], draft), draft)
    asked = Asked(given, draft)
    job = shape(asked)
    name = _name(source)
    draft.put(("name",), name, _FIRST_LINE)
    carried = carry(asked, job)
    variables = _variables(draft, asked, job)
    script = native_script(text, variables, carried.indices, carried.stdin)
    draft.put(("script",), script, _FIRST_LINE)
    _submit_dir(text, draft)
    return [draft.finish(source, 0, {})]


def _last(given: Iterable[Given], draft: Draft) -> dict[str, Given]:
    """Return the option that counts of each name, and say so where two contradict each other."""
    found: dict[str, Given] = {}
    for option in given:
        if not option.known:
            text = "not an option of sbatch itself; perhaps of a plugin of one site"
            draft.lost(option.place, option.field, text)
            continue
        group = next((names for names in _GROUPS if option.name in names), (option.name,))
        for name in group:
            earlier = found.pop(name, None)
            overridden = option.place.line == 0
            if earlier and not overridden and earlier[:2] != option[:2]:
                where = f"line {option.place.line}"
                text = f"{option.field} in {where} counts, as the last one does in sbatch"
                if name in MEMORY and name != option.name:
                    text = f"{option.field} in {where} counts; sbatch may refuse the two together"
                draft.ignored(earlier.place, earlier.field, text)
        found[option.name] = option
    return found


def _name(source: str) -> str:
    """Return what a job without a name is called: as its file, or `sbatch`."""
    name = source.rpartition("/")[2]
    shown = "".join(char for char in name if char.isprintable())[:128].strip()
    return "sbatch" if not shown or source == "standard input" else shown


def _variables(draft: Draft, asked: Asked, job: Shape) -> dict[str, str]:
    """Return Slurm's variables whose values are known before the job runs."""
    given, data = asked.given, draft.data
    per_node = str(job.copies_per_node)
    each = per_node if job.nodes == 1 else f"{per_node}(x{job.nodes})"
    cores = str(job.cores) if job.nodes == 1 else f"{job.cores}(x{job.nodes})"
    nodes, copies = str(job.nodes), str(job.copies)
    found = {
        "SLURM_JOB_NAME": str(data["name"]),
        "SLURM_JOB_PARTITION": str(data.get("queue", "default")),
        "SLURM_JOB_ACCOUNT": str(data.get("account", "default")),
        "SLURM_JOB_NUM_NODES": nodes,
        "SLURM_NNODES": nodes,
        "SLURM_NTASKS": copies,
        "SLURM_NPROCS": copies,
        "SLURM_TASKS_PER_NODE": each,
        "SLURM_CPUS_ON_NODE": str(job.cores),
        "SLURM_JOB_CPUS_PER_NODE": cores,
    }
    if "ntasks-per-node" in given:
        found["SLURM_NTASKS_PER_NODE"] = given["ntasks-per-node"].value
    if job.cores_per_copy:
        found["SLURM_CPUS_PER_TASK"] = str(job.cores_per_copy)
    if "mem-per-cpu" in given and job.memory_bytes:
        found["SLURM_MEM_PER_CPU"] = str(job.memory_bytes // job.cores // 2**20)
    elif "mem" in given and job.memory_bytes:
        found["SLURM_MEM_PER_NODE"] = str(job.memory_bytes // 2**20)
    if job.cards:
        found["SLURM_GPUS_ON_NODE"] = str(job.cards)
        if any(name in given for name in CARDS if name != "gres"):
            found["SLURM_GPUS"] = str(job.cards * job.nodes)
            found["SLURM_GPUS_PER_NODE"] = str(job.cards)
    return found


def _submit_dir(text: str, draft: Draft) -> None:
    """Say once that there is no directory of submission where the job runs."""
    at = text.find("SLURM_SUBMIT_DIR")
    if at < 0:
        return
    line = text.count("\n", 0, at) + 1
    where = "the directory of --chdir" if "workdir" in draft.data else "the task's own directory"
    note = f"{where}: the directory of submission is not there where the job runs"
    draft.approximated(Place(line, 1), "SLURM_SUBMIT_DIR", note)
