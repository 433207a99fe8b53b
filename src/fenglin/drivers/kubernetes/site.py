"""A Kubernetes namespace as the engine sees it: orders become Jobs, pods' ends become news."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fenglin.drivers.kubernetes import CAPABILITIES, inventory, manifests
from fenglin.drivers.kubernetes.api import read_config
from fenglin.drivers.kubernetes.cluster import Cluster
from fenglin.drivers.kubernetes.keeper import Keeper
from fenglin.drivers.kubernetes.logs import Logs, read_kept
from fenglin.drivers.kubernetes.manifests import STOP, VOID, Terms
from fenglin.drivers.kubernetes.names import checked_key, is_name
from fenglin.drivers.kubernetes.observer import Observer
from fenglin.drivers.kubernetes.starting import Starter
from fenglin.errors import DriverError, InputError
from fenglin.model.reason import Reason
from fenglin.ports.driver import Capability, LogChunk, Presence
from fenglin.quantities.taskset import TaskSet
from fenglin.runner.host.journal import JOURNAL
from fenglin.runner.host.workspace import WorkspaceError, keep, remove_tree
from fenglin.runner.records import total

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from fenglin.drivers.kubernetes.record import Record
    from fenglin.drivers.kubernetes.settings import KubernetesSettings
    from fenglin.model.allocation import Usage
    from fenglin.ports.driver import DriverContext, Observation, SiteReport, StartOrder


class KubernetesDriver:
    """A site with a scheduler of its own. See the package for how orders are mapped.

    Attributes:
        capabilities: Without a shared claim no artifacts.
    """

    kind = "kubernetes"

    def __init__(self, context: DriverContext, settings: KubernetesSettings) -> None:
        """Read the kubeconfig; the cluster is not asked.

        Raises:
            InputError: it is wrong, or the hub's id is no name that Kubernetes takes.
        """
        where = f"site.{context.site}"
        if not is_name(context.hub):
            raise InputError(
                f"the hub's id {context.hub[:80]!r} is no name that Kubernetes takes",
                where=where,
                hint="lower-case letters, digits and -",
            )
        config = read_config(settings.kubeconfig, settings.context, where)
        lacks = frozenset() if settings.shared_dir else frozenset({Capability.ARTIFACTS})
        self.capabilities = CAPABILITIES - lacks
        self._settings = settings
        self._context = context
        self._where = f"site {context.site}"
        self._folder = context.directory / "attempts"
        tags = manifests.labels(context.hub, context.site, "")
        self._cluster = Cluster(config, settings.namespace, tags, self._changed, self._where)
        self._observer = Observer(
            self._cluster, self._folder, self._deliver, settings.lost_after_ms, context.now_ms
        )
        self._keeper = Keeper(self._cluster, self._observer, settings, context.now_ms)
        self._starter = Starter(self._cluster, self._keeper, settings, self._where)
        self._logs = Logs(self._cluster.api, self._cluster.pods_path, self._where)

    async def inventory(self) -> SiteReport:
        """Return the declared nodes, as many of them up as the cluster has usable ones.

        Raises:
            DriverError: the cluster cannot be asked, or a queue was named and it has no Kueue.
        """
        await self._cluster.version()
        queues = [self._settings.queue, *(g.queue for g in self._settings.groups.values())]
        if any(queues) and not await self._cluster.has_kueue():
            raise DriverError(
                "a queue is configured, but the cluster has no Kueue",
                where=self._where,
                hint="install Kueue, or take `queue` out of the site's settings",
            )
        return await inventory.report(self._cluster, self._settings)

    async def start(self, order: StartOrder) -> None:
        """Make the attempt's claim, Secret and Jobs, each at most once.

        Raises:
            InputError: the key is none of this hub's.
            DriverError: refused, or unclear whether the cluster has taken it.
        """
        checked_key(order.key, self._context.hub)
        self._keeper.begin()
        await self._starter.start(order)

    async def observe(self, cursors: Mapping[str, str]) -> Sequence[Observation]:
        """Return one observation per key, by what the watches have brought.

        Raises:
            DriverError: the cluster cannot be asked now.
        """
        self._keeper.begin()
        if not cursors:
            return []
        seen = await self._observer.observe(cursors)
        if self._observer.unread:
            self._context.wake()
        return seen

    async def stop(self, key: str, grace_ms: int) -> None:
        """Write the wish into the claim; a later start of a never-started key will not run.

        The grace is the order's own, which the cluster was told at the start.

        Raises:
            InputError: the key is none of this hub's.
            DriverError: it is not certain that the wish is written.
        """
        checked_key(key, self._context.hub)
        self._keeper.begin()
        claim = await self._cluster.claim(key)
        if claim is None:
            tags = manifests.labels(self._context.hub, self._context.site, key)
            await self._starter.forbid(key, tags)
            claim = await self._cluster.claim(key)
        if claim is None or VOID in claim.data or STOP in claim.data:
            return
        record = await asyncio.to_thread(self._observer.record, key)
        if record is None or not record.done:
            await self._cluster.wish(claim, grace_ms)
        self._keeper.changed(key)

    async def stop_tasks(self, key: str, tasks: TaskSet, grace_ms: int) -> None:  # noqa: ARG002
        """Write into the claim which tasks are not wanted; the grace is the order's own.

        Raises:
            InputError: the key is none of this hub's.
            DriverError: it is not certain that the wish is written.
        """
        checked_key(key, self._context.hub)
        self._keeper.begin()
        claim = await self._cluster.claim(key)
        if claim is None or VOID in claim.data or STOP in claim.data:
            return
        try:
            terms = manifests.terms_of(claim)
            own = tasks & TaskSet.parse(terms.tasks) if terms is not None else TaskSet()
            await self._cluster.cross_out(claim, own)
        except ValueError as error:
            raise DriverError(f"the claim was changed: {error}", where=self._where) from error
        self._changed(key)

    async def usage(self, key: str) -> Usage:
        """Return the total of the ends in the journal.

        Raises:
            DriverError: there is no record of the key, or it cannot be read.
        """
        checked_key(key, self._context.hub)
        try:
            data = await asyncio.to_thread((self._folder / key / JOURNAL).read_bytes)
        except OSError as error:
            raise DriverError(
                f"no record of attempt {key}: {error.strerror}", where=self._where
            ) from error
        return total(data)

    async def read_log(self, key: str, task: int, offset: int, limit: int) -> LogChunk:
        """Return up to `limit` bytes (at most 1 MiB) of a task's output.

        Raises:
            DriverError: it is there and cannot be read.
        """
        checked_key(key, self._context.hub)
        path = self._log_path(key, task)
        kept = await self._kept(path, offset, limit)
        if kept is not None:
            return kept
        await self._cluster.ready()
        record = await asyncio.to_thread(self._observer.record, key)
        pod = self._pod_of(key, record, task) if record is not None else None
        if record is None or pod is None:
            over = record is not None and (record.done or task in record.ended)
            return LogChunk(b"", offset, complete=over)
        cap = record.log_cap_bytes
        if record.done or task in record.ended:
            await self._logs.bring(pod, path, cap)
            return await self._kept(path, offset, limit) or LogChunk(b"", offset, complete=True)
        data = await self._logs.live(pod, offset, limit, cap)
        return LogChunk(data, offset + len(data), complete=False)

    async def keys(self) -> frozenset[str]:
        """Return the keys of all claims and Jobs that carry our tags.

        Raises:
            DriverError: they cannot be listed.
        """
        return await self._cluster.keys()

    async def forget(self, key: str) -> None:
        """Bring the logs home, then delete the attempt's objects; journal and logs stay here.

        Raises:
            InputError: the key is none of this hub's.
            DriverError: it still runs, or the cluster cannot be asked.
        """
        checked_key(key, self._context.hub)
        claim = await self._cluster.claim(key)
        if claim is not None and VOID not in claim.data:
            (seen,) = await self._observer.observe({key: ""})
            if seen.presence in {Presence.RUNNING, Presence.UNKNOWN}:
                raise DriverError(
                    f"attempt {key} still runs", where=self._where, hint="stop it first"
                )
            await self._bring_logs(key)
            # Before anything is deleted, so that nobody takes what is missing for not yet made.
            await self._cluster.wish(claim, 0)
        elif claim is None and not (self._folder / key / JOURNAL).exists():
            return
        await self._cluster.drop(key)
        await asyncio.to_thread(self._drop, key)

    async def close(self) -> None:
        """Stop watching and tending. What runs goes on."""
        await self._keeper.close()
        await self._logs.close()
        await self._cluster.close()

    # --- inside ------------------------------------------------------------------------------

    def _changed(self, key: str) -> None:
        """Hear of a change at the cluster."""
        self._observer.changed(key)
        self._keeper.changed(key)
        self._context.wake()

    def _log_path(self, key: str, task: int) -> Path:
        return self._folder / key / f"{task}.log"

    async def _kept(self, path: Path, offset: int, limit: int) -> LogChunk | None:
        try:
            return await asyncio.to_thread(read_kept, path, offset, limit)
        except OSError as error:
            raise DriverError(
                f"cannot read {error.filename}: {error.strerror}", where=self._where
            ) from error

    def _pod_of(self, key: str, record: Record, task: int) -> str | None:
        """Return the name of the pod that runs or ran a task."""
        for pod in self._cluster.pods.of(key).values():
            if record.task_of(pod) == task and not record.is_stray(pod):
                return pod.metadata.name
        return None

    async def _bring_logs(self, key: str) -> None:
        """Bring home every log that is not."""
        record = await asyncio.to_thread(self._observer.record, key)
        if record is None:
            return
        pods = {record.task_of(pod): pod for pod in self._cluster.pods.of(key).values()}
        await asyncio.gather(
            *(
                self._logs.bring(
                    pods[task].metadata.name, self._log_path(key, task), record.log_cap_bytes
                )
                for task in sorted(record.ended)
                if task in pods
            )
        )

    def _deliver(self, key: str, terms: Terms, task: int) -> Reason | None:
        """Bring a successful task's artifacts home (in a worker thread)."""
        if self._settings.shared_dir is None or not terms.artifacts_dir:
            return None
        own = str(self._shared(key) / "scratch" / f"{key}-{task}")
        target = f"{terms.artifacts_dir}/{task}"
        try:
            keep(own, own, list(terms.artifacts), list(terms.inputs), target, move=True)
        except (WorkspaceError, OSError):
            return Reason.STAGING_FAILED
        return None

    def _shared(self, key: str) -> Path:
        assert self._settings.shared_dir is not None  # noqa: S101 - asked where it is None
        base = manifests.shared_path(self._context.hub, self._context.site, key)
        return self._settings.shared_dir / base

    def _drop(self, key: str) -> None:
        """Drop what an attempt left on our disks, but its journal and its logs."""
        self._observer.forget(key)
        if self._settings.shared_dir is not None:
            try:
                remove_tree(str(self._shared(key)))
            except OSError as error:
                raise DriverError(
                    f"cannot remove {error.filename}: {error.strerror}",
                    where=self._where,
                    hint="set run_as to the hub's own user, so that it may remove what tasks made",
                ) from error
