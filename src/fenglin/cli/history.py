"""Writing a hub's past jobs to a file that the simulator reads."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fenglin.cli.failure import show_warning
from fenglin.cli.files import replacing
from fenglin.client import requests
from fenglin.client.requests import Filter
from fenglin.errors import InputError
from fenglin.model.states import JobState
from fenglin.simulator.readers.history import history_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fenglin.client import Client

_PAGE_ROWS = 1_000


def export(client: Client, cut: Filter, out: Path) -> int:
    """Write a line for each job that has ended, in the order of submission; return how many.

    A job whose document this version does not understand is left out, and named on standard
    error. Jobs are fetched one by one: the listing has no needs.

    Raises:
        FenglinError: the hub does not answer, or denies.
    """
    speeds = {
        (site.name, flavor.name): flavor.speed_milli
        for site in client.sites(Filter()).items
        for flavor in client.site(site.name).flavors
    }
    ended = tuple(("state", one.value) for one in JobState if one.terminal)
    count = 0
    with replacing(out) as file:
        for job_id in _ids(client, replace(cut, fields=(*ended, *cut.fields))):
            try:
                file.write(history_line(client.job(job_id), speeds))
            except InputError as error:
                show_warning(f"{job_id} is left out: {error}")
            else:
                count += 1
    return count


def _ids(client: Client, cut: Filter) -> Iterator[str]:
    """Yield the ids of a listing, page by page."""
    cut = replace(cut, limit=_PAGE_ROWS)
    while True:
        page = client.call(requests.jobs(cut))
        yield from (job.id for job in page.items)
        if not page.next:
            return
        cut = replace(cut, cursor=page.next)
