"""Slurm's commands over a real hub with three sites."""

import json
import re

import pytest

pytestmark = pytest.mark.xdist_group("e2e-slurm")

SCRIPT = """#!/bin/bash
#SBATCH --job-name=sweep
#SBATCH --mem=16M
#SBATCH --time=1-00:00:00
"""


def test_a_job_from_sbatch_to_its_end(fenglin, job_file, eventually):
    path = job_file(SCRIPT + 'echo "$SLURM_JOB_ID $1"\n', "a.sh")

    done = fenglin("sbatch", "-J", "mine", path, "two words")

    assert done.code == 0, done.err
    number = re.fullmatch(r"Submitted batch job (\d+)\n", done.out)[1]
    assert fenglin("job", "wait", f"j{number}").code == 0
    assert fenglin("job", "logs", f"j{number}").out == f"{number} two words\n"
    assert eventually(lambda: not fenglin("squeue", "-hj", number).out)
    shown = fenglin("squeue", "-h", "-j", number, "-t", "all", "-o", "%i|%j|%t|%l|%R").out
    assert shown == f"{number}|mine|CD|1-00:00:00|\n"


def test_running_array_is_seen_and_ended(fenglin, job_file, eventually):
    path = job_file(SCRIPT + "sleep 60\n", "b.sh")
    done = fenglin("sbatch", "--parsable", "--array=1-9:4", path)
    assert done.code == 0, done.err
    number = done.out.strip()

    def running():
        words = ("squeue", "-h", "-r", "-j", number, "-t", "R", "-O", "jobarrayid:12,cluster")
        lines = fenglin(*words).out.splitlines()
        return lines if len(lines) == 3 else None

    lines = [line.split() for line in eventually(running)]
    assert sorted(one[0] for one in lines) == [f"{number}_{index}" for index in (1, 5, 9)]
    assert {one[1] for one in lines} <= {"ai", "general", "super"}
    data = json.loads(fenglin("squeue", "--me", "--json").out)
    assert {job["name"] for job in data["jobs"]} == {"sweep"}
    part = fenglin("scancel", f"{number}_5")
    assert part.code == 0, part.err

    def left():
        words = ("squeue", "-h", "-r", "-j", number, "-t", "R", "-O", "jobarrayid:12")
        lines = fenglin(*words).out.split()
        return lines if len(lines) == 2 else None

    assert sorted(eventually(left)) == [f"{number}_{index}" for index in (1, 9)]
    assert fenglin("scancel", "-n", "sweep").code == 0

    assert fenglin("job", "wait", f"j{number}").code == 8
    ends = fenglin("squeue", "-h", "-j", number, "-t", "all", "-o", "%T").out
    assert set(ends.split()) == {"CANCELLED"}


def test_waiting_for_the_end_gives_the_exit_code(fenglin):
    done = fenglin("sbatch", "--wrap", "exit 3", "--mem=16M", "-W")
    assert done.code == 3, done.err
    assert fenglin("squeue", "-j", "999999").code == 1
