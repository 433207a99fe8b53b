"""What must be done at the cluster between the hub's calls: wishes carried out, slots refilled.

Everything here follows from what the cluster holds (the claim and its Jobs and pods), may be done
twice, and is done again by the next hub when this one is killed in the middle.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import msgspec

from fenglin.drivers.kubernetes import manifests, names
from fenglin.drivers.kubernetes.manifests import STOP, TEMPLATE, Mode, terms_of
from fenglin.drivers.kubernetes.script import tasks_of
from fenglin.drivers.kubernetes.sights import sight_of
from fenglin.errors import DriverError
from fenglin.model.reason import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from fenglin.drivers.kubernetes.cluster import Cluster
    from fenglin.drivers.kubernetes.manifests import Terms
    from fenglin.drivers.kubernetes.observer import Observer
    from fenglin.drivers.kubernetes.settings import KubernetesSettings
    from fenglin.drivers.kubernetes.views import Claim, Pod
    from fenglin.quantities.taskset import TaskSet

TICK_S = 1.0


class Keeper:
    """Tends the attempts of one site."""

    def __init__(
        self,
        cluster: Cluster,
        observer: Observer,
        settings: KubernetesSettings,
        now_ms: Callable[[], int],
    ) -> None:
        """Take the cluster, what is known of the attempts, and the clock."""
        self._cluster = cluster
        self._observer = observer
        self._settings = settings
        self._now_ms = now_ms
        self._stirred: set[str] = set()
        self._again: set[str] = set()
        self._stir = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def changed(self, key: str) -> None:
        """Note that something of an attempt has changed."""
        self._stirred.add(key)
        self._stir.set()

    def begin(self) -> None:
        """Tend from now on."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop tending. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def fill(self, key: str, claim: Claim, terms: Terms) -> None:
        """Make Jobs for the next tasks, as many as slots are free.

        Raises:
            DriverError: one was refused, or it is unclear.
        """
        jobs = self._cluster.jobs.of(key)
        ended = set(self._observer.ended(key))
        live = self._live(key)
        template = msgspec.json.decode(claim.data[TEMPLATE])
        ended |= set(manifests.unwanted_of(claim))
        for task in tasks_of(terms.tasks):
            if live >= terms.slots:
                return
            if names.task_name(key, task) in jobs or task in ended:
                continue
            await self._cluster.make_job(manifests.of_task(template, key, task))
            live += 1

    async def _run(self) -> None:
        while True:
            # Not `wait_for`: before Python 3.12 it may lose a cancellation that meets the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._stir.wait()
            self._stir.clear()
            keys, self._stirred = self._stirred | self._again, set()
            self._again = set()
            for key in sorted(keys):
                try:
                    again = await self._tend(key)
                except (DriverError, ValueError, KeyError):
                    again = True
                if again:
                    self._again.add(key)

    async def _tend(self, key: str) -> bool:
        """Do what is due for one attempt; return whether time alone may make more due."""
        claim = self._cluster.claims.of(key).get(names.claim_name(key))
        terms = terms_of(claim) if claim is not None else None
        if claim is None or terms is None:
            return False
        pods = list(self._cluster.pods.of(key).values())
        if STOP in claim.data:
            await self._end(key, terms, pods)
            return any(not sight_of(pod, stopped=True).over for pod in pods)
        unwanted = manifests.unwanted_of(claim)
        await self._end_some(key, terms, pods, unwanted)
        for pod in pods:
            if self._observer.task_of(key, pod) in unwanted:
                continue
            if self._observer.is_stray(key, pod) and pod.metadata.deletion_timestamp is None:
                await self._end_stray(key, terms, pod)
        reason, waits = self._patience(pods)
        if reason is not None:
            await self._cluster.wish(claim, 0, reason)
            return True
        if terms.mode is Mode.TASKS and self._cluster.jobs.of(key):
            await self._refill(key, claim, terms)
        return waits

    async def _refill(self, key: str, claim: Claim, terms: Terms) -> None:
        """Make the next Jobs, unless the attempt is over by now.

        A Job may be missing because all of them are being deleted: then the claim, which was
        marked before, says so when it is asked now.
        """
        jobs = self._cluster.jobs.of(key)
        ended = self._observer.ended(key) | set(manifests.unwanted_of(claim))
        left = any(
            task not in ended and names.task_name(key, task) not in jobs
            for task in tasks_of(terms.tasks)
        )
        if not left or self._live(key) >= terms.slots:
            return
        now = await self._cluster.claim(key)
        if now is not None and STOP not in now.data and now.metadata.uid == claim.metadata.uid:
            await self.fill(key, now, terms)

    def _live(self, key: str) -> int:
        """Return how many slots are taken.

        A Job that may have no pods takes one only while it has. It may never be over: Kubernetes
        1.20 fails a Job for its pods' failure only while it has fewer pods than it may have, so
        not when we are faster to take its pods away than its controller is to see the failure.
        If it hears of the Job before the pod, it deletes the pod, and has no failure to count.
        """
        busy = {
            _job_of(pod, key)
            for pod in self._cluster.pods.of(key).values()
            if not sight_of(pod, stopped=True).over
        }
        return sum(
            not job.over and (job.spec.parallelism != 0 or name in busy)
            for name, job in self._cluster.jobs.of(key).items()
        )

    async def _end_some(self, key: str, terms: Terms, pods: list[Pod], unwanted: TaskSet) -> None:
        """End the pods of tasks that are not wanted, as `_end` does those of all."""
        busy = set()
        for pod in pods:
            sight = sight_of(pod, stopped=True)
            if sight.over or self._observer.task_of(key, pod) not in unwanted:
                continue
            if sight.started_ms:
                busy.add(_job_of(pod, key))
            if pod.metadata.deletion_timestamp is None:
                await self._end_one(key, terms, pod, began=bool(sight.started_ms))
        if terms.mode is Mode.SINGLE and unwanted:
            await self._close_jobs(key, {names.claim_name(key)} - busy)
        elif terms.mode is Mode.TASKS:
            await self._close_jobs(key, {names.task_name(key, task) for task in unwanted} - busy)

    async def _end_one(self, key: str, terms: Terms, pod: Pod, *, began: bool) -> None:
        """End the pod of a task that is not wanted.

        In an Indexed Job whose places do not fail for themselves, a place whose pod has ended so
        is given another, which sees the wish and runs nothing.
        """
        name = _job_of(pod, key)
        job = self._cluster.jobs.of(key).get(name)
        if began and terms.mode is Mode.INDEXED and job and job.spec.backoff_limit == 0:
            await self._cluster.patch_job(name, {"spec": {"backoffLimit": manifests.NEVER}})
        if began and pod.spec.active_deadline_seconds != 1:
            await self._cluster.end_pod(pod.metadata.name)
        elif not began and terms.mode is Mode.PER_INDEX:
            await self._cluster.delete_pod(pod.metadata.name)

    async def _close_jobs(self, key: str, unwanted: set[str]) -> None:
        """Let Jobs of single tasks have no pods, which takes those that have not begun."""
        for name, job in sorted(self._cluster.jobs.of(key).items()):
            if name in unwanted and not job.over and job.spec.parallelism != 0:
                await self._cluster.patch_job(name, {"spec": {"parallelism": 0}})

    async def _end_stray(self, key: str, terms: Terms, pod: Pod) -> None:
        """End a pod whose task another pod has run; a Job of one task then makes no more."""
        if terms.mode in {Mode.SINGLE, Mode.TASKS}:
            await self._cluster.patch_job(_job_of(pod, key), {"spec": {"parallelism": 0}})
        else:
            await self._cluster.delete_pod(pod.metadata.name)

    def _patience(self, pods: list[Pod]) -> tuple[Reason | None, bool]:
        """Return why an attempt is given up, and whether it may yet come to that."""
        waits = False
        for pod in pods:
            sight = sight_of(pod, stopped=False)
            if sight.over or sight.refused is None:
                continue
            bound_ms = self._settings.image_patience_ms
            if not pod.spec.node_name:
                bound_ms = self._settings.schedule_patience_ms
                if not bound_ms:
                    continue
            if not sight.patient or self._now_ms() - sight.since_ms >= bound_ms:
                return sight.refused, False
            waits = True
        return None, waits

    async def _end(self, key: str, terms: Terms, pods: list[Pod]) -> None:
        """Carry out a stop.

        A pod that runs is given a deadline that has passed: so the kubelet ends it politely, and
        its status and its log stay, which a deletion would take away. When none runs any more,
        its Job may have no pods: that takes those that have not begun.
        """
        running: dict[str, list[Pod]] = {}
        for pod in pods:
            sight = sight_of(pod, stopped=True)
            if not sight.over and sight.started_ms:
                running.setdefault(_job_of(pod, key), []).append(pod)
        for name, job in sorted(self._cluster.jobs.of(key).items()):
            if job.over or job.spec.parallelism == 0:
                continue
            if name not in running:
                await self._cluster.patch_job(name, {"spec": {"parallelism": 0}})
            elif terms.mode is Mode.INDEXED:
                # Else the first that ends would have the others deleted within their grace.
                await self._cluster.patch_job(name, {"spec": {"backoffLimit": manifests.NEVER}})
        for pod in (pod for some in running.values() for pod in some):
            if pod.spec.active_deadline_seconds != 1 and pod.metadata.deletion_timestamp is None:
                await self._cluster.end_pod(pod.metadata.name)


def _job_of(pod: Pod, key: str) -> str:
    """Return the name of the Job that a pod belongs to."""
    return pod.metadata.labels.get("job-name", names.claim_name(key))
