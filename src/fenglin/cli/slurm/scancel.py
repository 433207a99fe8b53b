"""`fenglin scancel`: the end of jobs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from fenglin.cli.humane import now_ms
from fenglin.cli.output import safe
from fenglin.cli.session import hub_client
from fenglin.cli.slurm.states import LIVE
from fenglin.cli.slurm.words import FAILED, Given, Habit, app_of, options, tell
from fenglin.errors import ConflictError, InputError, NotFoundError
from fenglin.quantities.taskset import TaskSet

if TYPE_CHECKING:
    from fenglin.cli.slurm.rows import Row
    from fenglin.client import Client

OPTIONS = """
name n = only jobs of this name
jobname - =
partition p = only jobs of this queue
account A = only jobs of this account
user u = only jobs of this user, or of this account where nothing tells the user
me - - only your own jobs
state t = only jobs in this state
clusters M = only jobs on these sites
signal s = TERM, INT or KILL: each ends the job; no other can be sent
quiet Q - say nothing of jobs that are not there
verbose v - say which jobs are ended
full f -
batch b -
hurry H -
"""
_ENDING = {"TERM", "INT", "KILL", "HUP", "QUIT", "15", "2", "9", "1", "3"}
_FILTERS = ("name", "partition", "account", "user", "me", "states", "clusters")


def run(given: Given) -> int:
    """End the jobs that are meant; a job that is not there is said and is no failure."""
    from fenglin.cli.slurm import ask  # noqa: PLC0415 - help needs no client

    given = _as_squeue(given)
    ids = [part for word in given.operands for part in ask.split_ids(word)]
    if not ids and not any(name in given.values for name in _FILTERS):
        raise InputError("No job identification provided")
    signal = given.values.get("signal", "TERM").upper().removeprefix("SIG")
    if signal not in _ENDING:
        hint = "TERM, INT, HUP, QUIT and KILL end a job, with the grace of the site"
        raise InputError(f"the signal {signal[:32]} cannot be sent to a job", hint=hint)
    wanted = ask.ask(Given({**given.values, "jobs": ""}, []), LIVE)
    code = 0
    with hub_client(given.values.get("hub", "")) as client:
        if not ids:
            return _end(client, ask.rows(client, wanted, now_ms(), deep=False), given)
        for one in ids:
            try:
                rows = ask.rows(client, wanted._replace(ids=(one,)), now_ms(), deep=False)
            except NotFoundError as error:
                if "quiet" not in given.values:
                    tell("scancel", f"Kill job error on job id {one}: {error.what}")
                continue
            code = max(code, _end(client, rows, given))
    return code


def _as_squeue(given: Given) -> Given:
    """Return what is given with the names that squeue has for the same options."""
    names = {"state": "states", "jobname": "name"}
    return Given({names.get(name, name): v for name, v in given.values.items()}, given.operands)


def _end(client: Client, rows: list[Row], given: Given) -> int:
    """Cancel the jobs of the rows, or those of their tasks that are meant."""
    from fenglin.cli.slurm.rows import rows_of  # noqa: PLC0415 - help needs no client

    code = 0
    jobs = {row.job.id: row.job for row in rows}
    for job_id, job in jobs.items():
        rest, meant = TaskSet(), TaskSet()
        for row in rows_of(job, 0):
            rest |= row.tasks if row.state in LIVE else TaskSet()
        for row in rows:
            if row.job.id == job_id:
                meant |= row.tasks
        part = str(meant) if rest - meant else ""
        if "verbose" in given.values:
            name = f"{job_id[1:]}_[{part}]" if part else job_id[1:]
            sys.stderr.write(f"scancel: Terminating job {safe(name)}\n")
        try:
            client.cancel(job_id, part)
        except ConflictError as error:
            tell("scancel", f"Kill job error on job id {job_id[1:]}: {error.what}")
            code = FAILED
    return code


app = app_of(Habit("scancel", "End jobs, as Slurm's scancel does.", options(OPTIONS), run))
