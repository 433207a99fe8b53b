"""OpenStack Nova, by openstacksdk and its usual chain of credentials (`clouds.yaml`, `OS_…`)."""

from __future__ import annotations

import base64
import importlib
import threading
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fenglin.drivers.cloud.bodies import bound, counted
from fenglin.drivers.cloud.provider import (
    READ_TIMEOUT_S,
    TAG_HUB,
    TAG_NODE,
    TAG_PURCHASE,
    TAG_SITE,
    Instance,
    Life,
    Machine,
    refused,
    unclear,
)
from fenglin.errors import DriverError
from fenglin.model.reason import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fenglin.drivers.cloud.provider import Wanted
    from fenglin.drivers.cloud.settings import OpenStackSettings

_MIB = 2**20
_GIB = 2**30
_LIVES = {
    "ACTIVE": Life.RUNNING,
    "ERROR": Life.FAILED,
    "DELETED": Life.GONE,
    "SOFT_DELETED": Life.GONE,
}
_PENDING = frozenset({"BUILD", "REBUILD", "REBOOT", "HARD_REBOOT", "UNKNOWN"})
_NO_HOST = ("No valid host", "No hosts", "exceeded max scheduling attempts", "MaxRetriesExceeded")


class OpenStack:
    """A region of a cloud. Nova knows no tokens: what is unclear is looked for by its tags."""

    repeatable = False

    def __init__(self, settings: OpenStackSettings, hub: str, site: str) -> None:
        """Take what to buy and how to tag it; nothing is asked yet."""
        self._settings = settings
        self._hub = hub
        self._site = site
        self._where = f"site {site}"
        self._making = threading.Lock()

    def machines(self, names: Sequence[str]) -> dict[str, Machine]:
        """Return the flavors of these names, with what their extra specs say of cards.

        Raises:
            DriverError: the cloud cannot be asked.
        """
        told = self._ask(lambda c: list(c.compute.flavors(details=True, get_extra_specs=True)))
        return {one.name: machine_of(one.to_dict()) for one in told if one.name in names}

    def buy(self, wanted: Wanted) -> str:
        """Create a server; what it is for stands in its metadata.

        Raises:
            DriverError: refused for certain, with a `reason`; or unclear.
        """
        request = self._request(wanted)
        return str(self._ask(lambda c: c.compute.create_server(**request)).id)

    def instances(self) -> list[Instance]:
        """Return all servers of the project that carry our tags.

        Raises:
            DriverError: the listing is not complete.
        """
        told = self._ask(lambda c: list(c.compute.servers(details=True)))
        ours = {TAG_HUB: self._hub, TAG_SITE: self._site}
        return [
            self._instance(one.to_dict())
            for one in told
            if ours.items() <= (one.metadata or {}).items()
        ]

    def release(self, instance: str) -> None:
        """Delete a server; one that is gone is no error.

        Raises:
            DriverError: it is not certain that the cloud has heard it.
        """
        self._ask(lambda c: c.compute.delete_server(instance, ignore_missing=True))

    # --- small things -----------------------------------------------------------------------

    def _request(self, wanted: Wanted) -> dict[str, Any]:
        settings = self._settings
        flavor = self._ask(lambda c: c.compute.find_flavor(wanted.machine, ignore_missing=False))
        request: dict[str, Any] = {
            "name": f"fenglin-{self._site}-{wanted.node}-{wanted.number}",
            "image_id": settings.image,
            "flavor_id": flavor.id,
            "networks": [{"uuid": settings.network}] if settings.network else "auto",
            "user_data": base64.b64encode(wanted.user_data.encode()).decode(),
            "metadata": {
                TAG_HUB: self._hub,
                TAG_SITE: self._site,
                TAG_NODE: wanted.node,
                TAG_PURCHASE: str(wanted.number),
                **dict(settings.tags),
            },
        }
        if settings.security_groups:
            request["security_groups"] = [{"name": name} for name in settings.security_groups]
        if settings.availability_zone:
            request["availability_zone"] = settings.availability_zone
        return request

    def _instance(self, told: dict[str, Any]) -> Instance:
        status = str(told.get("status") or "")
        life = Life.PENDING if status in _PENDING else _LIVES.get(status, Life.GONE)
        number = str((told.get("metadata") or {}).get(TAG_PURCHASE, ""))
        said = str((told.get("fault") or {}).get("message", ""))
        reason = Reason.SITE_LOST if life is Life.GONE else None
        if life is Life.FAILED:
            full = any(word in said for word in _NO_HOST)
            reason = Reason.PROVIDER_CAPACITY if full else Reason.START_FAILED
        return Instance(
            id=str(told["id"]),
            number=int(number) if number.isascii() and number.isdecimal() else 0,
            life=life,
            address=next(self._addresses(told.get("addresses") or {}), ""),
            launched_ms=_milliseconds(str(told.get("launched_at") or "")),
            reason=reason,
            said=said[:200] or f"status {status}",
        )

    def _addresses(self, networks: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
        """Yield the addresses by which a server can be reached, those on `reach` alone if set."""
        for name, addresses in sorted(networks.items()):
            if self._settings.reach in ("", name):
                yield from (str(one["addr"]) for one in addresses)

    @cached_property
    def _cloud(self) -> Any:  # noqa: ANN401 - openstacksdk makes its classes at run time
        openstack = importlib.import_module("openstack")
        cloud = openstack.connect(
            cloud=self._settings.cloud or None,
            region_name=self._settings.region or None,
            api_timeout=READ_TIMEOUT_S,
        )
        # Through this session of requests goes all that is asked, of Keystone too.
        cloud.session.session.hooks["response"].append(bound)
        return cloud

    def _ask(self, call: Callable[[Any], Any]) -> Any:  # noqa: ANN401 - the SDK's own types
        """Make a call.

        Raises:
            DriverError: as `translated` tells.
        """
        sdk = importlib.import_module("openstack.exceptions")
        auth = importlib.import_module("keystoneauth1.exceptions")
        try:
            with self._making:
                cloud = self._cloud
            with counted(self._where):
                return call(cloud)
        except sdk.HttpException as error:
            status = int(error.status_code or 0)
            said = str(error.details or error.message or error)
            raise translated(status, said, self._where) from error
        except (sdk.ConfigException, auth.ConnectFailure, auth.ConnectTimeout) as error:
            raise refused(
                str(error), self._where, Reason.START_FAILED,
                "is there a clouds.yaml, and does the cloud answer?",
            ) from error  # fmt: skip
        except auth.HttpError as error:
            raise translated(int(error.http_status or 0), str(error), self._where) from error
        except (sdk.SDKException, auth.ClientException) as error:
            raise unclear(str(error), self._where) from error


def translated(status: int, said: str, where: str) -> DriverError:
    """Return our error for one of the API's."""
    what = f"{status}: {said}"
    if status >= 500 or status == 0:
        return unclear(what, where)
    if status in (403, 413) and "uota" in said:
        return refused(
            what, where, Reason.PROVIDER_QUOTA,
            "ask the provider for a higher quota, or lower `nodes` of the flavor",
        )  # fmt: skip
    if any(word in said for word in _NO_HOST):
        return refused(what, where, Reason.PROVIDER_CAPACITY, "it is tried again by itself")
    hint = ""
    if status in (401, 403):
        hint = "the hub's credentials may not do this: see docs/how-to/add-a-cloud.md"
    return refused(what, where, Reason.START_FAILED, hint)


def machine_of(told: dict[str, Any]) -> Machine:
    """Return a flavor with its cards, as `pci_passthrough:alias` or `resources:VGPU` say."""
    specs = told.get("extra_specs") or {}
    card, cards = "", 0
    for alias in str(specs.get("pci_passthrough:alias", "")).split(","):
        name, _, count = alias.strip().partition(":")
        if name and not card:
            card, cards = name, int(count) if count.isdecimal() else 1
    if not cards and str(specs.get("resources:VGPU", "")).isdecimal():
        cards = int(specs["resources:VGPU"])
    return Machine(
        name=str(told["name"]),
        cpu_milli=int(told["vcpus"]) * 1_000,
        memory_bytes=int(told["ram"]) * _MIB,
        disk_bytes=int(told.get("disk") or 0) * _GIB,
        cards=cards,
        card=card,
    )


def _milliseconds(text: str) -> int:
    """Return Unix time of `2026-11-22T23:00:00.000000`, UTC without saying so; 0 for none."""
    try:
        return int(datetime.fromisoformat(f"{text}+00:00").timestamp() * 1_000)
    except ValueError:
        return 0
