"""The columns of jobs, by Slurm's letters and names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.cli.slurm.format import Field
from fenglin.cli.slurm.rows import COMMAND
from fenglin.cli.slurm.states import SHORT, reason_word
from fenglin.cli.slurm.times import elapsed, moment

if TYPE_CHECKING:
    from fenglin.cli.slurm.rows import Row

NONE = "(null)"
_UNLIMITED = "UNLIMITED"


def reason(row: Row) -> str:
    """Return Slurm's word for why a row waits or failed; `None` for no reason."""
    if row.state in {"RUNNING", "COMPLETED", "COMPLETING", "CANCELLED"}:
        return "None"
    return reason_word(row.job.reason)


def nodes_or_reason(row: Row) -> str:
    """Return the nodes of what runs, the reason in parentheses of what does not."""
    if row.nodes:
        return ",".join(row.nodes)
    why = reason(row)
    return "" if why == "None" and row.state != "PENDING" else f"({why})"


def cards(row: Row) -> str:
    """Return `gres/gpu:2` or `gres/gpu:A100:2`; `N/A` for none."""
    count = -(-row.spec.resources.accelerator_milli // 1_000)
    if not count:
        return "N/A"
    model = row.spec.accelerator.model if row.spec.accelerator else ""
    return f"gres/gpu:{model}:{count}" if model else f"gres/gpu:{count}"


def memory(row: Row) -> str:
    """Return the memory of a node in MiB, such as `512M`."""
    return f"{-(-row.spec.resources.memory_bytes // 2**20)}M"


def time_limit(row: Row) -> str:
    """Return the limit of one task's time."""
    return elapsed(row.spec.timeout_ms) if row.spec.timeout_ms else _UNLIMITED


def time_left(row: Row) -> str:
    """Return what is left of the limit."""
    if not row.spec.timeout_ms:
        return _UNLIMITED
    return elapsed(max(0, row.spec.timeout_ms - row.run_ms))


def start(row: Row) -> str:
    """Return when a row began; `N/A` while it waits."""
    return moment(row.started_ms)


def end(row: Row) -> str:
    """Return when a row ended, or is expected to."""
    expected = row.part.expected_finish_ms if row.part else row.job.expected_finish_ms
    return moment(row.ended_ms or expected)


def dependency(row: Row) -> str:
    """Return what a row waits for, such as `afterok:11`."""
    words = {"ok": "afterok", "any": "afterany", "fail": "afternotok"}
    return (
        ",".join(
            f"{'aftercorr' if one.per_task else words[one.condition.value]}:{one.job[1:]}"
            for one in row.spec.after
        )
        or NONE
    )


def cluster(row: Row) -> str:
    """Return the sites of a row; `N/A` while it waits for one."""
    return ",".join(row.sites) or "N/A"


FIELDS = (
    Field("i", "jobarrayid", "JOBID", lambda row: row.id_text),
    Field("A", "jobid", "JOBID", lambda row: str(row.own_number)),
    Field("F", "arrayjobid", "ARRAY_JOB_ID", lambda row: str(row.number)),
    Field("K", "arraytaskid", "ARRAY_TASK_ID", lambda row: row.index_text),
    Field("P", "partition", "PARTITION", lambda row: row.job.queue),
    Field("j", "name", "NAME", lambda row: row.job.name),
    Field("u", "username", "USER", lambda row: row.user),
    Field("", "user", "USER", lambda row: row.user),
    Field("a", "account", "ACCOUNT", lambda row: row.job.account),
    Field("t", "statecompact", "ST", lambda row: SHORT[row.state]),
    Field("T", "state", "STATE", lambda row: row.state),
    Field("M", "timeused", "TIME", lambda row: elapsed(row.run_ms), deep=True),
    Field("l", "timelimit", "TIME_LIMIT", time_limit, deep=True),
    Field("L", "timeleft", "TIME_LEFT", time_left, deep=True),
    Field("D", "numnodes", "NODES", lambda row: str(row.node_count), deep=True),
    Field("C", "numcpus", "CPUS", lambda row: str(row.cores), deep=True),
    Field("m", "minmemory", "MIN_MEMORY", memory, deep=True),
    Field("b", "tres-per-node", "TRES_PER_NODE", cards, deep=True),
    Field("R", "reasonlist", "NODELIST(REASON)", nodes_or_reason, deep=True),
    Field("r", "reason", "REASON", reason),
    Field("N", "nodelist", "NODELIST", lambda row: ",".join(row.nodes), deep=True),
    Field("Q", "priority", "PRIORITY", lambda row: str(row.job.priority)),
    Field("V", "submittime", "SUBMIT_TIME", lambda row: moment(row.job.submitted_ms)),
    Field("S", "starttime", "START_TIME", start, deep=True),
    Field("e", "endtime", "END_TIME", end, deep=True),
    Field("E", "dependency", "DEPENDENCY", dependency, deep=True),
    Field("Z", "workdir", "WORK_DIR", lambda row: row.spec.workdir or NONE, deep=True),
    Field("o", "command", "COMMAND", lambda row: row.job.labels.get(COMMAND, NONE)),
    Field("q", "qos", "QOS", lambda row: NONE),  # noqa: ARG005 - Slurm shows the same without QoS
    Field("v", "reservation", "RESERVATION", lambda row: NONE),  # noqa: ARG005 - the same
    Field("", "cluster", "CLUSTER", cluster, deep=True),
)
