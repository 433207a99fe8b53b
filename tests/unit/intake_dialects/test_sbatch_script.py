"""The script of a converted job, run by a real shell as the runner would."""

from __future__ import annotations

import os
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fenglin.errors import InputError
from fenglin.intake.dialects.registry import read_jobs
from fenglin.intake.dialects.sbatch.script import _index
from fenglin.intake.dialects.sbatch.values import array

NOW_MS = 1_800_000_000_000


@pytest.fixture
def run(tmp_path):
    """Run the task of an index of a script, and return what it prints."""

    def start(text, index=0, *, code=0, **more):
        job = read_jobs(text, "dir/my job.sh", NOW_MS).jobs[0]
        spec = job.document.spec(NOW_MS)
        path = tmp_path / "native"
        path.write_text(spec.script)
        env = {
            "PATH": os.defpath + ":" + os.environ["PATH"],
            "FENGLIN_JOB_ID": "j12", "FENGLIN_TASK_INDEX": str(index),
            "FENGLIN_TASK_COUNT": str(spec.tasks), "FENGLIN_ATTEMPT": "1",
            "FENGLIN_SITE": "gz1", "FENGLIN_NODE": "n1", "FENGLIN_NODE_RANK": "0",
            "FENGLIN_NODE_COUNT": str(spec.nodes),
            "FENGLIN_ARTIFACTS_DIR": str(tmp_path / "artifacts"),
            **dict(spec.env), **more,
        }  # fmt: skip
        done = subprocess.run(
            ["/bin/sh", str(path)],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (code, "")
        return done.stdout

    return start


def script(body, *directives, by="/bin/bash"):
    """Return a script for sbatch."""
    return f"#!{by}\n" + "".join(f"#SBATCH {one}\n" for one in directives) + body


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash -eu", "/usr/bin/env bash"])
def test_variables_of_a_plain_job(run, shell, tmp_path):
    text = script(
        'echo "$SLURM_JOB_ID $SLURM_JOBID $SLURM_JOB_NAME $SLURM_NTASKS $SLURM_CPUS_PER_TASK"\n'
        'echo "$SLURM_JOB_NODELIST $SLURM_NODEID $SLURM_PROCID $SLURM_JOB_NUM_NODES"\n'
        'echo "$SLURM_SUBMIT_DIR ${SLURM_ARRAY_TASK_ID-none} ${SLURM_RESTART_COUNT-first}"\n',
        "-c 4 -n 2 -N 1 --job-name='it''s $(a) `job`'",
        by=shell,
    )
    assert run(text) == f"12 12 its $(a) `job` 2 4\nn1 0 0 1\n{tmp_path} none first\n"


def test_what_a_real_slurm_says_of_the_place_stays(run):
    text = script('echo "$SLURM_JOB_ID $SLURM_JOB_NODELIST $SLURM_NTASKS"\n', "-n 3 -N 1")
    assert run(text, SLURM_JOB_ID="777", SLURM_JOB_NODELIST="c[1-2]", SLURM_NTASKS="1") == (
        "777 c[1-2] 3\n"
    )


def test_array_tasks_have_numbers_of_their_own(run):
    text = script(
        'echo "$SLURM_ARRAY_JOB_ID $SLURM_JOB_ID $SLURM_ARRAY_TASK_ID $SLURM_ARRAY_TASK_MIN '
        '$SLURM_ARRAY_TASK_MAX $SLURM_ARRAY_TASK_COUNT $SLURM_ARRAY_TASK_STEP"\n',
        "--array=2-9:3",
    )
    assert [run(text, index) for index in range(3)] == [
        "12 120000000 2 2 8 3 3\n", "12 120000001 5 2 8 3 3\n", "12 120000002 8 2 8 3 3\n",
    ]  # fmt: skip


def test_irregular_arrays(run):
    text = script('echo "$SLURM_ARRAY_TASK_ID"\n', "--array=3,17,18,19,44,101-104,1")
    found = [int(run(text, index)) for index in (0, 1, 2, 3, 4, 5, 6, 9)]
    assert found == [1, 3, 17, 18, 19, 44, 101, 104]


RANGES = st.tuples(st.integers(0, 60), st.integers(0, 30), st.integers(1, 7))


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.lists(RANGES, min_size=1, max_size=5))
def test_runs_hold_every_index_once_and_in_order(parts):
    spelled = ",".join(f"{first}-{first + more}:{step}" for first, more, step in parts)
    wanted = sorted(
        {i for first, more, step in parts for i in range(first, first + more + 1, step)}
    )
    found = array(spelled)
    assert [run.first + run.step * i for run in found.runs for i in range(run.size)] == wanted
    assert (found.size, found.last) == (len(wanted), wanted[-1])


@settings(max_examples=20, deadline=None)
@given(st.lists(RANGES, min_size=1, max_size=4), st.data())
def test_the_shell_computes_the_same_index(parts, data):
    spelled = ",".join(f"{first}-{first + more}:{step}" for first, more, step in parts)
    found = array(spelled)
    wanted = [run.first + run.step * i for run in found.runs for i in range(run.size)]
    index = data.draw(st.integers(0, found.size - 1))
    text = f"FENGLIN_TASK_INDEX={index}\n{_index(found.runs)}echo $SLURM_ARRAY_TASK_ID\n"
    done = subprocess.run(["/bin/sh", "-c", text], capture_output=True, text=True, check=True)
    assert int(done.stdout) == wanted[index]


def test_arrays_without_any_rule_are_refused():
    squares = ",".join(str(number * number) for number in range(1_990))
    with pytest.raises(InputError, match="too irregular"):
        array(squares)
    assert array("0-4000000").size == 4_000_001


def test_lines_interpreter_and_text_are_the_users_own(run):
    text = script('echo "$LINENO ${0##*/}"\ncat <<END_OF_SCRIPT\n$HOME_X\nEND_OF_SCRIPT', "-n 1")
    assert run(text, HOME_X="'x'") == "3 script\n'x'\n"
    python = script("import os, sys\nprint(os.environ['SLURM_JOB_ID'], len(sys.argv))", "-t 5",
                    by="/usr/bin/env python3")  # fmt: skip
    assert run(python) == "12 1\n"


def test_exit_codes_and_restarts(run):
    assert run(script("exit 7\n", "-n 1"), code=7) == ""
    assert run(script("echo $SLURM_RESTART_COUNT\n", "-n 1"), FENGLIN_ATTEMPT="3") == "2\n"


def test_standard_input(run, tmp_path):
    (tmp_path / "in put.txt").write_text("given\n")
    assert run(script("cat\n", "--input='in put.txt'")) == "given\n"


def test_srun_starts_the_copies_of_this_node(run):
    text = script(
        "srun --mpi=none -l sh -c 'echo $SLURM_PROCID $SLURM_LOCALID $SLURM_NTASKS' | sort\n"
        "srun -n1 -N1 echo once\n"
        "srun --nodelist=other echo never\n"
        "srun -n 3 sh -c 'exit $((SLURM_PROCID * 5))'\n",
        "-N 2 --ntasks-per-node=2",
    )
    assert run(text, code=5) == "0 0 4\n1 1 4\nonce\n"


def test_srun_on_the_second_node(run):
    text = script("srun sh -c 'echo $SLURM_PROCID' | sort\nsrun -n1 echo once\n",
                  "-N 2 --ntasks-per-node=2")  # fmt: skip
    assert run(text, FENGLIN_NODE_RANK="1") == "2\n3\n"


def test_scontrol_lists_the_nodes(run):
    text = script('scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1\n', "-N 2")
    assert run(text, FENGLIN_NODES="n1,n2") == "n1\n"
