"""Waiting for jobs, with progress on a terminal, and what the end means as an exit code."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import typer

from fenglin.cli.humane import ahead, now_ms
from fenglin.cli.output import safe
from fenglin.model.states import JobState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.client import Client
    from fenglin.wire.views import JobView

CANCELLED = 8
TIMED_OUT = 9
INTERRUPTED = 130
_STEP_S = 50.0
_LIVE_STEP_S = 1.0


def wait_for(client: Client, job_ids: Sequence[str], timeout_s: float | None) -> list[JobView]:
    """Return the jobs when all have ended or the time is over.

    Raises:
        typer.Exit: the user pressed Ctrl-C; the jobs go on, and that is said.
    """
    live = sys.stderr.isatty()
    end = None if timeout_s is None else time.monotonic() + timeout_s
    jobs: list[JobView] = []
    try:
        for job_id in job_ids:
            left = None if end is None else max(0.0, end - time.monotonic())
            jobs.append(
                client.wait(
                    job_id,
                    left,
                    step_s=_LIVE_STEP_S if live else _STEP_S,
                    seen=_show_progress if live else None,
                )
            )
    except KeyboardInterrupt:
        open_ids = " ".join(job_ids[len(jobs) :])
        _clear(live=live)
        sys.stderr.write(
            f"stopped waiting; {open_ids} goes on\n"
            f"  hint: `fenglin job wait {open_ids}` waits again, "
            f"`fenglin job cancel {open_ids}` ends it\n"
        )
        raise typer.Exit(INTERRUPTED) from None
    finally:
        _clear(live=live)
    return jobs


def exit_code(jobs: Sequence[JobView]) -> int:
    """Return 1 if a job failed, else 8 if one was cancelled, else 9 if one goes on, else 0."""
    states = {job.state for job in jobs}
    if JobState.FAILED in states:
        return 1
    if JobState.CANCELLED in states:
        return CANCELLED
    return 0 if states <= {JobState.SUCCEEDED} else TIMED_OUT


def _show_progress(job: JobView) -> None:
    """Overwrite one line of the terminal with how far the job is."""
    tasks = job.tasks
    ended = tasks.succeeded + tasks.failed + tasks.cancelled
    parts = [f"{job.id} {safe(job.state)}", f"{ended}/{job.task_count} tasks"]
    if tasks.running:
        parts.append(f"{tasks.running} running")
    if job.expected_finish_ms:
        parts.append(f"finish {ahead(job.expected_finish_ms, now_ms())}")
    if job.reason:
        parts.append(safe(job.reason))
    sys.stderr.write("\r\x1b[K" + ", ".join(parts)[:79])
    sys.stderr.flush()


def _clear(*, live: bool) -> None:
    """Remove the line of progress."""
    if live:
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()


def tell(job: JobView) -> None:
    """Say on standard error how a job stands."""
    why = ": ".join(part for part in (job.reason, job.detail) if part)
    sys.stderr.write(f"{job.id} {safe(job.state)}{f' ({safe(why)})' if why else ''}\n")
