"""One listing of all jobs, shared by everyone who wants to know, and whose jobs they are."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from msgspec import Struct

from fenglin.drivers.ray.rest import Job

if TYPE_CHECKING:
    from fenglin.drivers.ray.rest import RayApi

# Metadata of our jobs.
HUB = "fenglin_hub"
SITE = "fenglin_site"
JOB = "fenglin_job"
NAME = "fenglin_job_name"
TARGET = "fenglin_artifacts"
VOID = "fenglin_void"


class Listing(Struct, frozen=True):
    """All jobs of a cluster, completely.

    Attributes:
        session: The cluster's life; asked after the jobs were, so it is never an older one.
        jobs: Submission id → job, everybody's.
    """

    session: str
    jobs: dict[str, Job]


class Lister:
    """Asks for listings, never two at once."""

    def __init__(self, api: RayApi, hub: str, site: str) -> None:
        """Take the cluster and whose jobs are ours."""
        self._api = api
        self._hub = hub
        self._site = site
        self._lock = asyncio.Lock()
        self._last: Listing | None = None
        self._asked_s = float("-inf")
        self._session_s = 0.0

    def is_ours(self, job: Job) -> bool:
        """Return whether a job carries our tag."""
        tags = job.metadata or {}
        return tags.get(HUB) == self._hub and tags.get(SITE) == self._site

    async def get(self, age_s: float = 0.0) -> Listing:
        """Return a listing that was asked for at most so long ago, or now.

        Raises:
            DriverError: Ray cannot be asked.
        """
        wanted_s = time.monotonic() - age_s
        async with self._lock:
            if self._last is not None and self._asked_s >= wanted_s:
                return self._last
            asked_s = time.monotonic()
            jobs = await self._api.jobs()
            session = await self._api.session()
            if self._last is None or self._last.session != session:
                self._session_s = asked_s
            found = {job.submission_id: job for job in jobs if job.submission_id}
            self._last, self._asked_s = Listing(session, found), asked_s
            return self._last

    @property
    def session_age_s(self) -> float:
        """For how long the present life of the cluster is known to us."""
        return time.monotonic() - self._session_s
