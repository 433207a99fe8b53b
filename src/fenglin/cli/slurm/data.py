"""`squeue --json`: the shape that Slurm 22.05 gives, with the fields that have a meaning here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.cli.slurm.jobfields import cards, dependency, reason
from fenglin.cli.slurm.rows import COMMAND

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fenglin.cli.slurm.rows import Row


def head() -> dict[str, object]:
    """Return what stands above the rows."""
    from fenglin import __version__  # noqa: PLC0415 - only here

    return {"meta": {"plugin": {"type": "", "name": "fenglin"}, "Fenglin": __version__}}


def jobs_data(rows: Iterable[Row]) -> dict[str, object]:
    """Return the answer of `squeue --json`."""
    return {**head(), "errors": [], "jobs": [_job(row) for row in rows]}


def _job(row: Row) -> dict[str, object]:
    """Return one job; times are Unix seconds, the limit minutes, memory MiB, as in Slurm."""
    spec, job = row.spec, row.job
    index = next(iter(row.tasks)) if row.is_array and len(row.tasks) == 1 else None
    gpus = cards(row)
    return {
        "account": job.account,
        "array_job_id": row.number if row.is_array else 0,
        "array_task_id": int(row.index_text) if index is not None else None,
        "array_max_tasks": spec.concurrency,
        "array_task_string": row.index_text if row.is_array and index is None else "",
        "cluster": ",".join(row.sites),
        "command": job.labels.get(COMMAND, ""),
        "cpus": row.cores,
        "current_working_directory": spec.workdir,
        "dependency": "" if not spec.after else dependency(row),
        "end_time": row.ended_ms // 1_000,
        "job_id": row.own_number,
        "job_state": row.state,
        "memory_per_node": -(-spec.resources.memory_bytes // 2**20),
        "name": job.name,
        "node_count": row.node_count,
        "nodes": ",".join(row.nodes),
        "partition": job.queue,
        "priority": job.priority,
        "start_time": row.started_ms // 1_000,
        "state_description": job.detail,
        "state_reason": reason(row),
        "submit_time": job.submitted_ms // 1_000,
        "time_limit": -(-spec.timeout_ms // 60_000) or None,
        "tres_per_node": "" if gpus == "N/A" else gpus,
        "user_name": row.user,
    }
