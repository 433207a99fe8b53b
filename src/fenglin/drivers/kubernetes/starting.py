"""Making an attempt exist at most once: first a claim named after its key, then the rest.

The claim (a ConfigMap) is what two starts, or a start and a stop, meet at: who comes second finds
it. Everything else has the same name, so that making it again changes nothing, and a pod that
starts after a stop reads the wish from the claim itself and runs nothing.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from fenglin.drivers.kubernetes import inputs, manifests, script
from fenglin.drivers.kubernetes.inventory import card_resource
from fenglin.drivers.kubernetes.manifests import EPOCH, STOP, TEMPLATE, TERMS, VOID, Mode, Terms
from fenglin.drivers.kubernetes.settings import is_image
from fenglin.errors import DriverError
from fenglin.model.reason import Reason
from fenglin.ports.crashpoint import crash_point

if TYPE_CHECKING:
    from fenglin.drivers.kubernetes.cluster import Cluster
    from fenglin.drivers.kubernetes.inputs import Brought
    from fenglin.drivers.kubernetes.keeper import Keeper
    from fenglin.drivers.kubernetes.settings import KubernetesSettings
    from fenglin.ports.driver import StartOrder


class Starter:
    """Starts attempts of one site."""

    def __init__(
        self, cluster: Cluster, keeper: Keeper, settings: KubernetesSettings, where: str
    ) -> None:
        """Take the cluster and who fills slots."""
        self._cluster = cluster
        self._keeper = keeper
        self._settings = settings
        self._where = where

    async def start(self, order: StartOrder) -> None:
        """Make the attempt exist.

        Raises:
            DriverError: refused, or unclear.
        """
        resource = self._check(order)
        mode = manifests.choose_mode(_count(order), await self._cluster.version())
        start = script.start_file(order, self._where)
        job = manifests.template(order, mode, self._settings, resource)
        tags = manifests.labels(order.hub, order.site, order.key)
        data = {
            EPOCH: str(order.epoch),
            TERMS: msgspec.json.encode(self._terms(order, mode)).decode(),
            TEMPLATE: msgspec.json.encode(job).decode(),
        }
        try:
            inputs.check(order.inputs)
            brought = await asyncio.to_thread(self._bring, order)
        except inputs.StagingError:
            # The order is taken and its end is told: what lacks is the job's, not the site's.
            data[STOP] = f"0 {Reason.STAGING_FAILED.value}"
            await self._claim(order, tags, data)
            return
        claim = await self._claim(order, tags, data)
        if VOID in claim.data or STOP in claim.data:
            return
        crash_point("c4")
        truthful = mode is not Mode.INDEXED
        files = {
            **brought.files,
            "run": script.run_file(order, brought.lines, truthful=truthful).encode(),
            "start": start.encode(),
        }
        if order.script:
            files["script"] = order.script.encode()
        await self._cluster.make_secret(manifests.secret(order.key, tags, files))
        if mode is Mode.TASKS:
            await self._keeper.fill(order.key, claim, self._terms(order, mode))
        else:
            await self._cluster.make_job(job)

    async def forbid(self, key: str, tags: dict[str, str]) -> None:
        """Have a key that was never started run nothing when its start comes.

        Raises:
            DriverError: it is not certain.
        """
        data = {VOID: Reason.CANCELLED.value}
        await self._cluster.make_claim(manifests.claim(key, tags, data))

    async def _claim(self, order: StartOrder, tags: dict[str, str], data: dict[str, str]) -> Any:  # noqa: ANN401
        """Return the attempt's claim, made now or found."""
        made = await self._cluster.make_claim(manifests.claim(order.key, tags, data))
        if made is not None:
            return made
        found = await self._cluster.claim(order.key)
        if found is None:
            raise DriverError(
                "the claim was there and is gone", where=self._where, effect_unknown=True
            )
        await self._cluster.raise_epoch(found, order.epoch)
        return found

    def _check(self, order: StartOrder) -> str:
        """Return the extended resource that the order needs; refuse what cannot be done."""
        if order.nodes > 1:
            raise DriverError(
                "this driver does not start gangs over several nodes",
                where=self._where,
                hint="set nodes: 1 in the job, or allow other sites",
                reason=Reason.CAPABILITY_MISSING.value,
            )
        if order.setup:
            raise DriverError(
                "this driver runs no setup script",
                where=self._where,
                hint="put what it makes into the image",
                reason=Reason.CAPABILITY_MISSING.value,
            )
        if order.artifacts and self._settings.shared_dir is None:
            raise DriverError(
                "artifacts need a claim that the hub sees too",
                where=self._where,
                hint="set shared_claim and shared_dir of the site",
                reason=Reason.CAPABILITY_MISSING.value,
            )
        image = order.image or self._settings.image
        if not is_image(image):
            raise DriverError(
                f"{image[:80]!r} is no image" if image else "the job names no image",
                where=self._where,
                hint="name one in the job, or set `image` of the site",
                reason=Reason.IMAGE_FAILED.value,
            )
        if not order.resources.accelerator_milli:
            return ""
        return card_resource(self._settings, order.flavor, self._where)

    def _bring(self, order: StartOrder) -> Brought:
        """Make the inputs ready (in a worker thread)."""
        try:
            if self._settings.shared_dir is not None:
                base = manifests.shared_path(order.hub, order.site, order.key)
                folder = self._settings.shared_dir / base
                (folder / "in").mkdir(mode=0o700, parents=True, exist_ok=True)
                (folder / "scratch").mkdir(mode=0o700, exist_ok=True)
                return inputs.by_claim(order.inputs, folder / "in")
            return inputs.by_secret(order.inputs, inputs.MOST_BYTES - _own_bytes(order))
        except inputs.TooLargeError as error:
            raise DriverError(
                f"script and inputs are more than a Secret holds ({error.size} bytes)",
                where=self._where,
                hint="bring them through a claim: set shared_claim and shared_dir of the site",
            ) from error
        except OSError as error:
            raise DriverError(
                f"cannot bring {error.filename or 'the inputs'}: {error.strerror}",
                where=self._where,
                hint="is the file there, and the shared file system mounted and not full?",
            ) from error
        except UnicodeEncodeError as error:
            raise DriverError(f"a text is not valid Unicode: {error}", where=self._where) from error

    def _terms(self, order: StartOrder, mode: Mode) -> Terms:
        return Terms(
            tasks=order.tasks,
            slots=order.slots,
            mode=mode,
            log_cap_bytes=min(order.log_cap_bytes, self._settings.log_cap_bytes),
            artifacts=order.artifacts,
            artifacts_dir=order.artifacts_dir,
            inputs=tuple(item.target for item in order.inputs),
        )


def _own_bytes(order: StartOrder) -> int:
    """Return how much of a Secret the order itself takes, at most."""
    hidden = (secret.reveal() for _, secret in order.secrets)
    texts = (order.script, *order.command, *(value for _, value in order.env), *hidden)
    # Every quote of a text becomes four characters.
    return 8_000 + sum(len(text.encode()) + 3 * text.count("'") for text in texts)


def _count(order: StartOrder) -> int:
    return sum(1 for _ in script.tasks_of(order.tasks))
