"""The script of the native job: Slurm's variables, then the user's script as it is.

The user's script is written to a file and run by its own `#!` line, as slurmd does it, so that
every interpreter works and error messages name the user's own line numbers. What describes the
request (`SLURM_NTASKS`, `SLURM_ARRAY_TASK_ID`) is set by us on every site; what describes the
place (`SLURM_JOB_ID`, `SLURM_JOB_NODELIST`) stays as it is where a real Slurm has set it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fenglin.intake.dialects.sbatch.stand_ins import STAND_INS
from fenglin.intake.dialects.shell import command_line, here_document, quote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fenglin.intake.dialects.sbatch.values import Array, Run

# Job j12 has the number 12; its array task of index 7 gets a number of its own, 120000007,
# which no other job reaches before there are ten million jobs.
_TASK_NUMBERS = 10_000_000
_PLACE = """\
: "${SLURM_CLUSTER_NAME:=$FENGLIN_SITE}" "${SLURMD_NODENAME:=$FENGLIN_NODE}"
: "${SLURM_NODEID:=$FENGLIN_NODE_RANK}" "${SLURM_PROCID:=$FENGLIN_NODE_RANK}" "${SLURM_LOCALID:=0}"
: "${SLURM_JOB_NODELIST:=${FENGLIN_NODES:-$FENGLIN_NODE}}" "${SLURM_NODELIST:=$SLURM_JOB_NODELIST}"
SLURM_SUBMIT_DIR=$PWD
[ "$FENGLIN_ATTEMPT" = 1 ] || SLURM_RESTART_COUNT=$((FENGLIN_ATTEMPT - 1))
set +a
"""


def native_script(
    script: str, variables: Mapping[str, str], indices: Array | None, stdin: str
) -> str:
    """Return the text of `script`.

    Args:
        script: The user's, beginning with `#!`.
        variables: Those whose values are known now.
        indices: Of the array, if it is one.
        stdin: File to read from; empty for none.
    """
    lines = [
        "#!/bin/sh\n# Slurm's variables, then the script as it was given.\n",
        "fenglin_slurm=${SLURM_JOB_ID:-}\nset -a\n",
        _numbers(indices),
        *(f"{name}={quote(value)}\n" for name, value in variables.items()),
        _PLACE,
        "fenglin_dir=${FENGLIN_ARTIFACTS_DIR%/*}/slurm.$FENGLIN_NODE_RANK\n",
        'mkdir -p "$fenglin_dir/bin"\n',
        _stand_ins(script),
        f'cat > "$fenglin_dir/script" {here_document(script, "END_OF_SCRIPT")}',
        f'exec {command_line(_interpreter(script))} "$fenglin_dir/script"',
        f" < {quote(stdin)}\n" if stdin else "\n",
    ]
    return "".join(lines)


def _numbers(indices: Array | None) -> str:
    """Return the lines that set the ids of the job and of its array task."""
    if indices is None:
        return ': "${SLURM_JOB_ID:=${FENGLIN_JOB_ID#j}}" "${SLURM_JOBID:=$SLURM_JOB_ID}"\n'
    runs = indices.runs
    steps = {run.step for run in runs}
    number = f"$((SLURM_ARRAY_JOB_ID * {_TASK_NUMBERS} + FENGLIN_TASK_INDEX))"
    lines = [
        "SLURM_ARRAY_JOB_ID=${FENGLIN_JOB_ID#j}\n",
        f"SLURM_ARRAY_TASK_COUNT={indices.size}\n",
        f"SLURM_ARRAY_TASK_MIN={runs[0].first}\n",
        f"SLURM_ARRAY_TASK_MAX={indices.last}\n",
        f"SLURM_ARRAY_TASK_STEP={steps.pop() if len(steps) == 1 else 1}\n",
        _index(runs),
        f': "${{SLURM_JOB_ID:={number}}}" "${{SLURM_JOBID:=$SLURM_JOB_ID}}"\n',
    ]
    return "".join(lines)


def _index(runs: tuple[Run, ...]) -> str:
    """Return the lines that make the array index of Fenglin's, which counts from 0."""
    lines = []
    before = 0
    for number, run in enumerate(runs, 1):
        offset = run.first - run.step * before
        times = "" if run.step == 1 else f" * {run.step}"
        value = f"SLURM_ARRAY_TASK_ID=$((FENGLIN_TASK_INDEX{times} + {offset}))"
        if offset < 0:
            value = value.replace("+ -", "- ")
        before += run.size
        if len(runs) == 1:
            return f"{value}\n"
        test = f'[ "$FENGLIN_TASK_INDEX" -lt {before} ]; then'
        head = "if " + test if number == 1 else "elif " + test
        lines.append(f"{'else' if number == len(runs) else head} {value}\n")
    return "".join([*lines, "fi\n"])


def _stand_ins(script: str) -> str:
    """Return the lines that bring the programs of Slurm that the script names.

    Outside of a job of Slurm the real ones would fail or, on a login node, start a second job.
    """
    text = ""
    for name, program in STAND_INS.items():
        if re.search(rf"\b{name}\b", script):
            text += 'if [ -z "$fenglin_slurm" ]; then\n'
            text += f'cat > "$fenglin_dir/bin/{name}" {here_document(program, "END_OF_PROGRAM")}'
            text += f'chmod +x "$fenglin_dir/bin/{name}"\nfi\n'
    return f"{text}PATH=$fenglin_dir/bin:$PATH\n" if text else ""


def _interpreter(script: str) -> list[str]:
    """Return the words of the `#!` line, as the kernel cuts them."""
    words = script[2:].partition("\n")[0].strip().split(None, 1)
    return words or ["/bin/sh"]
