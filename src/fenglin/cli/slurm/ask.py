"""Which jobs a command means, and how they are fetched: the hub filters what it can."""

from __future__ import annotations

import getpass
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from fenglin.cli.slurm.rows import parent_of, parse_id, rows_of, task_of
from fenglin.cli.slurm.states import LIVE, job_states, parse_states
from fenglin.client.requests import Filter
from fenglin.errors import InputError, NotFoundError
from fenglin.quantities.taskset import TaskSet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fenglin.cli.slurm.rows import Row
    from fenglin.cli.slurm.words import Given
    from fenglin.client import Client
    from fenglin.wire.views import JobView


# Ids that one listing is asked for: a query must not grow too long.
MOST_IDS = 100


class Ask(NamedTuple):
    """What is asked for; empty fields do not filter.

    Attributes:
        ids: Jobs as the user writes them.
        states: Slurm's names.
        queues, accounts, names, users, sites: Any of them.
    """

    ids: tuple[str, ...]
    states: frozenset[str]
    queues: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()

    def takes(self, row: Row) -> bool:
        """Return whether a row is meant."""
        job = row.job
        return (
            row.state in self.states
            and (not self.queues or job.queue in self.queues)
            and (not self.accounts or job.account in self.accounts)
            and (not self.names or job.name in self.names)
            and (not self.users or row.user in self.users)
            and (not self.sites or bool(set(self.sites) & set(row.sites)))
        )


def ask(given: Given, default: frozenset[str] = LIVE) -> Ask:
    """Return what the options say.

    Raises:
        InputError: a state is unknown.
    """
    users = [getpass.getuser()] if "me" in given.values else given.items("user")
    states = parse_states(given.items("states")) if given.items("states") else default
    sites = [] if given.values.get("clusters") == "all" else given.items("clusters")
    return Ask(
        ids=tuple(split_ids(given.values.get("jobs", ""))),
        states=states,
        queues=tuple(given.items("partition")),
        accounts=tuple(given.items("account")),
        names=tuple(given.items("name")),
        users=tuple(users),
        sites=tuple(sites),
    )


def split_ids(text: str) -> list[str]:
    """Cut at the commas outside of brackets."""
    parts, depth = [""], 0
    for char in text:
        depth += (char == "[") - (char == "]")
        if char == "," and not depth:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts if part.strip()]


def rows(client: Client, wanted: Ask, now_ms: int, *, deep: bool) -> list[Row]:
    """Return the rows that are meant.

    Args:
        client: Of the hub.
        wanted: What is meant.
        now_ms: Unix time.
        deep: Whether allocations and documents are needed, beyond what a plain listing tells.

    Raises:
        NotFoundError: the only job asked for does not exist.
    """
    found = []
    for job, tasks in _jobs(client, wanted, deep=deep):
        for row in rows_of(job, now_ms):
            if tasks is not None:
                kept = _only(row, tasks)
                found += [kept] if kept and wanted.takes(kept) else []
            elif wanted.takes(row):
                found.append(row)
    return found


def _only(row: Row, tasks: TaskSet) -> Row | None:
    """Return a row cut to some of its tasks."""
    both = row.tasks & tasks
    return replace(row, tasks=both) if both else None


def _jobs(client: Client, wanted: Ask, *, deep: bool) -> Iterator[tuple[JobView, TaskSet | None]]:
    """Yield jobs, and of each the tasks that are meant; None for all."""
    if wanted.ids:
        for text in wanted.ids:
            try:
                yield named(client, text)
            except NotFoundError as error:
                if len(wanted.ids) == 1:
                    raise NotFoundError("Invalid job id specified", where=text) from error
        return
    fields = [("state", state) for state in job_states(wanted.states)]
    fields += [("queue", queue) for queue in wanted.queues]
    fields += [("account", account) for account in wanted.accounts]
    if not job_states(wanted.states):
        return
    detail = deep or bool(wanted.sites)
    listed = [
        job
        for job in client.jobs(Filter(tuple(fields), sort="id", detail=detail)).items
        if not wanted.names or job.name in wanted.names
    ]
    # Only the detail tells which tasks of an array are where.
    arrays = [] if detail else [job.id for job in listed if _in_parts(job)]
    whole: dict[str, JobView] = {}
    for start in range(0, len(arrays), MOST_IDS):
        ids = tuple(("id", one) for one in arrays[start : start + MOST_IDS])
        whole |= {job.id: job for job in client.jobs(Filter(ids, detail=True)).items}
    for job in listed:
        yield whole.get(job.id, job), None


def _in_parts(job: JobView) -> bool:
    """Return whether tasks of an array may be in different states."""
    done = job.tasks
    counts = (done.pending, done.running, done.succeeded, done.failed, done.cancelled)
    return job.task_count > 1 and max(counts) < job.task_count


def named(client: Client, text: str) -> tuple[JobView, TaskSet | None]:
    """Return the job that a user names, and of it the tasks that are meant; None for all.

    Raises:
        InputError: it is no job id.
        NotFoundError: there is no such job or array task.
    """
    number, indices = parse_id(text)
    parent = parent_of(number)
    if parent and indices is None:
        return client.job(f"j{parent[0]}"), TaskSet.of([parent[1]])
    job = client.job(f"j{number}")
    if indices is None:
        return job, None
    tasks = TaskSet.of(task for index in indices if (task := task_of(job, index)) >= 0)
    if not tasks:
        raise NotFoundError("Invalid job id specified", where=text)
    return job, tasks


def refuse_operands(given: Given) -> None:
    """Refuse words that no option takes.

    Raises:
        InputError: there are some.
    """
    if given.operands:
        raise InputError(f"Unrecognized option: {given.operands[0][:64]}", hint="see --help")
