"""Amazon EC2, and clouds that speak its API."""

from __future__ import annotations

import importlib
import threading
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fenglin.drivers.cloud.bodies import BoundedSession, counted
from fenglin.drivers.cloud.credentials import session_of
from fenglin.drivers.cloud.provider import (
    CONNECT_TIMEOUT_S,
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
    from collections.abc import Sequence

    from fenglin.drivers.cloud.provider import Wanted
    from fenglin.drivers.cloud.settings import Ec2Settings

_MIB = 2**20
_GIB = 2**30
_LIVES = {"pending": Life.PENDING, "running": Life.RUNNING}
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
_QUOTA = frozenset(
    {
        "InstanceLimitExceeded",
        "VcpuLimitExceeded",
        "MaxSpotInstanceCountExceeded",
        "MaxSpotFleetRequestCountExceeded",
        "VolumeLimitExceeded",
        "AddressLimitExceeded",
    }
)
_CAPACITY = frozenset(
    {
        "InsufficientInstanceCapacity",
        "InsufficientHostCapacity",
        "InsufficientCapacity",
        "InsufficientFreeAddressesInSubnet",
        "Unsupported",
    }
)
_PRICE = frozenset({"SpotMaxPriceTooLow"})
_DENIED = frozenset(
    {
        "AuthFailure",
        "Blocked",
        "InvalidClientTokenId",
        "OptInRequired",
        "PendingVerification",
        "SignatureDoesNotMatch",
        "UnauthorizedOperation",
    }
)
# They may have come after the effect.
_UNCLEAR = frozenset({"InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable"})
_THROTTLED = frozenset({"RequestLimitExceeded", "Throttling", "ThrottlingException"})
_RECLAIMED = "Server.SpotInstance"


class Ec2:
    """A region, by boto3 and its usual chain of credentials."""

    repeatable = True

    def __init__(self, settings: Ec2Settings, hub: str, site: str) -> None:
        """Take what to buy and how to tag it; nothing is asked yet."""
        self._settings = settings
        self._hub = hub
        self._site = site
        self._where = f"site {site}"
        self._making = threading.Lock()

    def machines(self, names: Sequence[str]) -> dict[str, Machine]:
        """Return the types of these names, by DescribeInstanceTypes.

        Raises:
            DriverError: the provider cannot be asked.
        """
        found = {}
        for name in names:
            try:
                told = self._ask("describe_instance_types", InstanceTypes=[name])
            except DriverError as error:
                if error.what.startswith("InvalidInstanceType"):
                    continue
                raise
            for one in told["InstanceTypes"]:
                found[name] = machine_of(one)
        return found

    def buy(self, wanted: Wanted) -> str:
        """Buy by RunInstances with a ClientToken.

        Raises:
            DriverError: refused for certain, with a `reason`; or unclear.
        """
        told = self._ask("run_instances", **self._request(wanted))
        return str(told["Instances"][0]["InstanceId"])

    def instances(self) -> list[Instance]:
        """Return all instances with our tags, by DescribeInstances, page by page.

        Raises:
            DriverError: the listing is not complete.
        """
        filters = [
            {"Name": f"tag:{TAG_HUB}", "Values": [self._hub]},
            {"Name": f"tag:{TAG_SITE}", "Values": [self._site]},
        ]
        found: list[Instance] = []
        more: dict[str, str] = {}
        with counted(self._where):
            while True:
                told = self._ask("describe_instances", Filters=filters, MaxResults=1000, **more)
                for group in told["Reservations"]:
                    found += [self._instance(one) for one in group["Instances"]]
                if not told.get("NextToken"):
                    return found
                more = {"NextToken": told["NextToken"]}

    def release(self, instance: str) -> None:
        """Give an instance back by TerminateInstances.

        Raises:
            DriverError: it is not certain that the provider has heard it.
        """
        try:
            self._ask("terminate_instances", InstanceIds=[instance])
        except DriverError as error:
            if not error.what.startswith("InvalidInstanceID.NotFound"):
                raise

    # --- small things -----------------------------------------------------------------------

    def _request(self, wanted: Wanted) -> dict[str, Any]:
        settings = self._settings
        tags = {
            "Name": f"fenglin-{self._site}-{wanted.node}",
            TAG_HUB: self._hub,
            TAG_SITE: self._site,
            TAG_NODE: wanted.node,
            TAG_PURCHASE: str(wanted.number),
            **dict(settings.tags),
        }
        listed = [{"Key": key, "Value": value} for key, value in tags.items()]
        request: dict[str, Any] = {
            "ClientToken": wanted.token,
            "ImageId": settings.image,
            "InstanceType": wanted.machine,
            "MinCount": 1,
            "MaxCount": 1,
            "UserData": wanted.user_data,
            "TagSpecifications": [
                {"ResourceType": kind, "Tags": listed} for kind in ("instance", "volume")
            ],
            "InstanceInitiatedShutdownBehavior": "terminate",
            # A task cannot reach the instance's metadata through a container's bridge.
            "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        }
        if settings.subnet:
            request["SubnetId"] = settings.subnet
        if settings.security_groups:
            request["SecurityGroupIds"] = list(settings.security_groups)
        if settings.instance_profile:
            request["IamInstanceProfile"] = {"Name": settings.instance_profile}
        if wanted.spot:
            options: dict[str, Any] = {
                "SpotInstanceType": "one-time",
                "InstanceInterruptionBehavior": "terminate",
            }
            if wanted.most_per_hour:
                options["MaxPrice"] = wanted.most_per_hour
            request["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": options}
        return request

    def _instance(self, told: dict[str, Any]) -> Instance:
        tags = {tag["Key"]: tag["Value"] for tag in told.get("Tags", ())}
        number = tags.get(TAG_PURCHASE, "")
        life = _LIVES.get(told["State"]["Name"], Life.GONE)
        why = told.get("StateReason") or {}
        said = f"{why.get('Code', '')} {why.get('Message', '')}".strip()
        reason = None
        if life is Life.GONE:
            taken = str(why.get("Code", "")).startswith(_RECLAIMED)
            full = "InsufficientInstanceCapacity" in said
            reason = Reason.NODE_RECLAIMED if taken else Reason.SITE_LOST
            reason = Reason.PROVIDER_CAPACITY if full else reason
        launched = told.get("LaunchTime")
        key = "PublicIpAddress" if self._settings.reach == "public" else "PrivateIpAddress"
        return Instance(
            id=str(told["InstanceId"]),
            number=int(number) if number.isascii() and number.isdecimal() else 0,
            life=life,
            address=str(told.get(key) or ""),
            launched_ms=int(launched.timestamp() * 1_000) if launched else 0,
            reason=reason,
            said=said[:200],
        )

    @cached_property
    def _client(self) -> Any:  # noqa: ANN401 - boto3 makes its classes at run time
        config = importlib.import_module("botocore.config").Config(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            retries={"mode": "standard", "max_attempts": 2},
        )
        session = session_of(self._settings.region, self._settings.profile, self._where)
        endpoint = self._settings.endpoint or None
        client = session.client("ec2", endpoint_url=endpoint, config=config)
        # Where else botocore would read whatever comes.
        ours = client._endpoint  # noqa: SLF001 - it has no other place for a session
        ours.http_session = BoundedSession(ours.http_session)
        return client

    def _ask(self, call: str, **words: Any) -> dict[str, Any]:  # noqa: ANN401 - the API's own types
        """Make a call.

        Raises:
            DriverError: as `translated` tells.
        """
        exceptions = importlib.import_module("botocore.exceptions")
        try:
            with self._making:
                client = self._client
            with counted(self._where):
                answer: dict[str, Any] = getattr(client, call)(**words)
        except exceptions.ClientError as error:
            told = error.response.get("Error", {})
            raise translated(
                str(told.get("Code", "")), str(told.get("Message", "")), self._where
            ) from error
        except (
            exceptions.NoCredentialsError,
            exceptions.PartialCredentialsError,
            exceptions.ParamValidationError,
            exceptions.ProfileNotFound,
        ) as error:
            raise refused(
                str(error), self._where, Reason.START_FAILED,
                "the hub needs credentials of its own: see docs/how-to/add-a-cloud.md",
            ) from error  # fmt: skip
        except exceptions.EndpointConnectionError as error:
            raise refused(str(error), self._where, Reason.START_FAILED) from error
        except (exceptions.BotoCoreError, exceptions.HTTPClientError) as error:
            raise unclear(str(error), self._where) from error
        return answer


def translated(code: str, message: str, where: str) -> DriverError:
    """Return our error for one of the API's."""
    what = f"{code}: {message}"
    if code in _UNCLEAR:
        return unclear(what, where)
    if code in _QUOTA:
        return refused(
            what, where, Reason.PROVIDER_QUOTA,
            "ask the provider for a higher quota, or lower `nodes` of the flavor",
        )  # fmt: skip
    if code in _CAPACITY:
        return refused(
            what, where, Reason.PROVIDER_CAPACITY,
            "it is tried again by itself; a subnet of another zone may have some",
        )  # fmt: skip
    if code in _PRICE:
        return refused(
            what, where, Reason.PRICE_CEILING, "the market is above the flavor's `hourly`"
        )
    if code in _DENIED:
        return refused(
            what, where, Reason.START_FAILED,
            "the hub's credentials may not do this: see docs/how-to/add-a-cloud.md",
        )  # fmt: skip
    hint = "it is tried again by itself" if code in _THROTTLED else ""
    return refused(what, where, Reason.START_FAILED, hint)


def machine_of(told: dict[str, Any]) -> Machine:
    """Return a type as DescribeInstanceTypes tells of it."""
    cards = told.get("GpuInfo", {}).get("Gpus", [])
    card = cards[0] if cards else {}
    return Machine(
        name=str(told["InstanceType"]),
        cpu_milli=int(told["VCpuInfo"]["DefaultVCpus"]) * 1_000,
        memory_bytes=int(told["MemoryInfo"]["SizeInMiB"]) * _MIB,
        disk_bytes=int(told.get("InstanceStorageInfo", {}).get("TotalSizeInGB", 0)) * 10**9,
        cards=sum(int(one.get("Count", 0)) for one in cards),
        card=str(card.get("Name", "")),
        card_memory_gib=round(card.get("MemoryInfo", {}).get("SizeInMiB", 0) * _MIB / _GIB),
    )
