"""The columns of sacct, and how jobs are cut into its lines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fenglin.cli.slurm.format import Field
from fenglin.cli.slurm.jobfields import cluster, dependency, memory, reason, time_limit
from fenglin.cli.slurm.times import long_elapsed, moment

if TYPE_CHECKING:
    from fenglin.cli.slurm.rows import Row

_CODE = re.compile(r"(exit code|signal) (\d{1,5})")


def parts(row: Row) -> list[Row]:
    """Return a line for each task of an array that has ended or runs; one for those that wait."""
    return [row] if row.state == "PENDING" else row.single()


def exit_code(row: Row) -> str:
    """Return `code:signal` of what failed first."""
    match = _CODE.search(row.job.detail) if row.state == "FAILED" else None
    if match is None:
        return "1:0" if row.state == "FAILED" else "0:0"
    return f"{match[2]}:0" if match[1] == "exit code" else f"0:{match[2]}"


def _nodes(row: Row) -> str:
    """Return all nodes that the row's tasks were on."""
    names = row.nodes or list(dict.fromkeys(n for one in row.job.allocations for n in one.nodes))
    return ",".join(names) or "None assigned"


def _cores(row: Row) -> str:
    return "0" if row.state == "PENDING" else str(row.cores)


FIELDS = (
    Field("", "jobid", "JobID", lambda row: row.id_text),
    Field("", "jobidraw", "JobIDRaw", lambda row: str(row.own_number)),
    Field("", "jobname", "JobName", lambda row: row.job.name),
    Field("", "partition", "Partition", lambda row: row.job.queue),
    Field("", "account", "Account", lambda row: row.job.account),
    Field("", "user", "User", lambda row: row.user),
    Field("", "alloccpus", "AllocCPUS", _cores),
    Field("", "ncpus", "NCPUS", _cores),
    Field("", "reqcpus", "ReqCPUS", lambda row: str(row.cores)),
    Field("", "reqmem", "ReqMem", memory),
    Field("", "nnodes", "NNodes", lambda row: str(row.node_count)),
    Field("", "nodelist", "NodeList", _nodes),
    Field("", "state", "State", lambda row: row.state),
    Field("", "exitcode", "ExitCode", exit_code),
    Field("", "elapsed", "Elapsed", lambda row: long_elapsed(row.run_ms)),
    Field("", "elapsedraw", "ElapsedRaw", lambda row: str(row.run_ms // 1_000)),
    Field("", "timelimit", "Timelimit", time_limit),
    Field("", "submit", "Submit", lambda row: moment(row.job.submitted_ms, "Unknown")),
    Field("", "start", "Start", lambda row: moment(row.started_ms, "Unknown")),
    Field("", "end", "End", lambda row: moment(row.ended_ms, "Unknown")),
    Field("", "reason", "Reason", reason),
    Field("", "priority", "Priority", lambda row: str(row.job.priority)),
    Field("", "dependency", "Dependency", dependency),
    Field("", "workdir", "WorkDir", lambda row: row.spec.workdir),
    Field("", "cluster", "Cluster", cluster),
)
