"""One namespace of a cluster, as much of it as is ours: what is there, and calls that change it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from fenglin.drivers.kubernetes import names
from fenglin.drivers.kubernetes.api import MERGE, Api, ApiError
from fenglin.drivers.kubernetes.manifests import (
    EPOCH,
    STOP,
    UNWANTED,
    unwanted_of,
    unwanted_text,
)
from fenglin.drivers.kubernetes.mirror import Mirror
from fenglin.drivers.kubernetes.views import Claim, Job, Named, Node, Pod, attempt_of
from fenglin.errors import DriverError
from fenglin.model.reason import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lightkube.config.kubeconfig import SingleConfig

    from fenglin.quantities.taskset import TaskSet

MISSING, CONFLICT, FORBIDDEN = 404, 409, 403
MOST_TRIES = 8
VERSION_FOR_S = 600.0


class _Version(Struct):
    major: str = ""
    minor: str = ""


class Cluster:
    """The objects of one hub and site.

    Attributes:
        api: The server.
        claims, jobs, pods: What is there.
        pods_path: Where pods are.
    """

    def __init__(
        self,
        config: SingleConfig,
        namespace: str,
        tags: Mapping[str, str],
        changed: Callable[[str], None],
        where: str,
    ) -> None:
        """Take how it is reached and whose objects are ours; nothing is asked yet."""
        self.api = Api(config, where)
        self._where = where
        self._namespace = f"/api/v1/namespaces/{namespace}"
        self._claims_path = f"{self._namespace}/configmaps"
        self._secrets_path = f"{self._namespace}/secrets"
        self._jobs_path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self.pods_path = f"{self._namespace}/pods"
        self._selector = ",".join(f"{name}={tags[name]}" for name in (names.HUB, names.SITE))
        self.claims = Mirror(self.api, self._claims_path, Claim, self._selector, changed)
        self.jobs = Mirror(self.api, self._jobs_path, Job, self._selector, changed)
        self.pods = Mirror(self.api, self.pods_path, Pod, self._selector, changed)
        self._version: tuple[int, int] | None = None
        self._version_s = 0.0

    async def ready(self) -> None:
        """Have everything listed once, and watched since.

        Raises:
            DriverError: the cluster cannot be asked.
        """
        await asyncio.gather(self.claims.ready(), self.jobs.ready(), self.pods.ready())

    async def relist(self) -> None:
        """List everything anew, completely. Claims last: what is made comes in that order.

        Raises:
            DriverError: it cannot be listed.
        """
        await self.claims.relist()
        await asyncio.gather(self.jobs.relist(), self.pods.relist())

    async def generation(self) -> str:
        """Return the namespace's uid: another one has lost all that the former held.

        Raises:
            DriverError: the cluster cannot be asked, or there is no such namespace.
        """
        data = await self.api.call("GET", self._namespace)
        return msgspec.json.decode(data, type=Named).metadata.uid

    async def version(self) -> tuple[int, int]:
        """Return the server's (major, minor) version, at most ten minutes old.

        Raises:
            DriverError: it cannot be asked.
        """
        now_s = asyncio.get_running_loop().time()
        if self._version is None or now_s > self._version_s + VERSION_FOR_S:
            told = msgspec.json.decode(await self.api.call("GET", "/version"), type=_Version)
            digits = [
                "".join(c for c in text if c.isdecimal()) for text in (told.major, told.minor)
            ]
            self._version = (int(digits[0] or 0), int(digits[1] or 0))
            self._version_s = now_s
        return self._version

    async def has_kueue(self) -> bool:
        """Return whether the cluster knows Kueue's queues.

        Raises:
            DriverError: it cannot be asked.
        """
        try:
            await self.api.call("GET", "/apis/kueue.x-k8s.io")
        except ApiError as error:
            if error.status == MISSING:
                return False
            raise
        return True

    async def nodes(self) -> list[Node] | None:
        """Return the cluster's nodes; None when we may not see them.

        Raises:
            DriverError: it cannot be asked.
        """
        try:
            return (await self.api.pages("/api/v1/nodes", Node))[0]
        except ApiError as error:
            if error.status == FORBIDDEN:
                return None
            raise

    async def keys(self) -> frozenset[str]:
        """Return the keys of all claims and Jobs, by listings made now.

        Raises:
            DriverError: a listing is not complete.
        """
        listings = await asyncio.gather(
            *(
                self.api.pages(path, Named, self._selector, metadata=True)
                for path in (self._claims_path, self._jobs_path)
            )
        )
        return frozenset(attempt_of(one) for found, _ in listings for one in found) - {""}

    async def claim(self, key: str) -> Claim | None:
        """Return an attempt's claim as it is now; None when there is none.

        Raises:
            DriverError: it cannot be asked.
        """
        try:
            data = await self.api.call("GET", f"{self._claims_path}/{names.claim_name(key)}")
        except ApiError as error:
            if error.status == MISSING:
                return None
            raise
        return self.claims.put(data)

    async def make_claim(self, manifest: dict[str, Any]) -> Claim | None:
        """Make a claim; return None when it is there already.

        Raises:
            DriverError: refused or unclear.
        """
        data = await self._make(self._claims_path, manifest)
        return self.claims.put(data) if data is not None else None

    async def make_secret(self, manifest: dict[str, Any]) -> None:
        """Make a Secret, unless it is there.

        Raises:
            DriverError: refused or unclear.
        """
        await self._make(self._secrets_path, manifest)

    async def make_job(self, manifest: dict[str, Any]) -> None:
        """Make a Job, unless it is there.

        Raises:
            DriverError: refused or unclear.
        """
        data = await self._make(self._jobs_path, manifest)
        if data is not None:
            self.jobs.put(data)

    async def raise_epoch(self, claim: Claim, epoch: int) -> None:
        """Note a leader's epoch at the claim; refuse one below what is there.

        Raises:
            DriverError: the key was seen under a higher epoch, or it is unclear.
        """
        found: Claim | None = claim
        for _ in range(MOST_TRIES):
            if found is None:
                return
            seen = int(found.data.get(EPOCH, "0"))
            if seen > epoch:
                raise DriverError(
                    f"the attempt was seen under epoch {seen}, this hub has {epoch}",
                    where=self._where,
                    hint="another hub leads now",
                )
            if seen == epoch or await self._change(found, {EPOCH: str(epoch)}):
                return
            found = await self.claim(found.metadata.labels[names.ATTEMPT])
        raise DriverError("the claim changes all the time", where=self._where, effect_unknown=True)

    async def wish(self, claim: Claim, grace_ms: int, reason: Reason = Reason.CANCELLED) -> None:
        """Write down that an attempt shall end; the first wish stays.

        Raises:
            DriverError: it is not certain that it is written.
        """
        found: Claim | None = claim
        for _ in range(MOST_TRIES):
            if found is None or STOP in found.data:
                return
            if await self._change(found, {STOP: f"{grace_ms} {reason.value}"}):
                return
            found = await self.claim(found.metadata.labels[names.ATTEMPT])
        raise DriverError("the claim changes all the time", where=self._where, effect_unknown=True)

    async def cross_out(self, claim: Claim, tasks: TaskSet) -> None:
        """Write down that some tasks are not wanted, besides those of former wishes.

        Raises:
            DriverError: it is not certain that it is written.
            ValueError: somebody has changed what stands there.
        """
        found: Claim | None = claim
        for _ in range(MOST_TRIES):
            if found is None:
                return
            before = unwanted_of(found)
            both = before | tasks
            if both == before or await self._change(found, {UNWANTED: unwanted_text(both)}):
                return
            found = await self.claim(found.metadata.labels[names.ATTEMPT])
        raise DriverError("the claim changes all the time", where=self._where, effect_unknown=True)

    async def patch_job(self, name: str, patch: dict[str, Any]) -> None:
        """Change a Job; one that is gone is no error.

        Raises:
            DriverError: it is not certain.
        """
        with _unless(MISSING):
            data = await self.api.call("PATCH", f"{self._jobs_path}/{name}", patch, kind=MERGE)
            self.jobs.put(data)

    async def end_pod(self, name: str) -> None:
        """Have the kubelet end a pod that runs, with its grace; one that is gone is no error.

        Raises:
            DriverError: it is not certain.
        """
        with _unless(MISSING):
            patch = {"spec": {"activeDeadlineSeconds": 1}}
            self.pods.put(
                await self.api.call("PATCH", f"{self.pods_path}/{name}", patch, kind=MERGE)
            )

    async def delete_pod(self, name: str) -> None:
        """Delete a pod; one that is gone is no error.

        Raises:
            DriverError: it is not certain.
        """
        with _unless(MISSING):
            await self.api.call("DELETE", f"{self.pods_path}/{name}")

    async def drop(self, key: str) -> None:
        """Delete all objects of an attempt, the claim last.

        Raises:
            DriverError: it is not certain; what is left is found again.
        """
        background = {"propagationPolicy": "Background"}
        for name in sorted({names.claim_name(key), *self.jobs.of(key)}):
            with _unless(MISSING):
                await self.api.call("DELETE", f"{self._jobs_path}/{name}", background)
        for path in (self._secrets_path, self._claims_path):
            with _unless(MISSING):
                await self.api.call("DELETE", f"{path}/{names.claim_name(key)}")
        for mirror in (self.claims, self.jobs, self.pods):
            mirror.forget(key)

    async def close(self) -> None:
        """Stop watching and close connections. Idempotent."""
        await asyncio.gather(self.claims.close(), self.jobs.close(), self.pods.close())
        await self.api.close()

    async def _make(self, path: str, manifest: dict[str, Any]) -> bytes | None:
        try:
            return await self.api.call("POST", path, manifest)
        except ApiError as error:
            # Also while a namespace ends, which is no sign that the object is there.
            if error.status == CONFLICT and "already exists" in error.what:
                return None
            raise

    async def _change(self, claim: Claim, data: dict[str, str]) -> bool:
        """Change a claim's data; return False when somebody was faster."""
        version = claim.metadata.resource_version
        patch = {"metadata": {"resourceVersion": version}, "data": data}
        path = f"{self._claims_path}/{claim.metadata.name}"
        try:
            self.claims.put(await self.api.call("PATCH", path, patch, kind=MERGE))
        except ApiError as error:
            if error.status in {CONFLICT, MISSING}:
                return False
            raise
        return True


@contextlib.contextmanager
def _unless(status: int) -> Any:  # noqa: ANN401 - a context manager of nothing
    """Take an answer of this status for done."""
    try:
        yield
    except ApiError as error:
        if error.status != status:
            raise
