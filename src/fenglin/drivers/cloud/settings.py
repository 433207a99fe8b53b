"""Settings of a `[site.NAME]` block with `driver = "ec2"` or `driver = "openstack"`, checked."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from fenglin.errors import FenglinError, InputError
from fenglin.model.site import Flavor, Node
from fenglin.ports.discovery import load_factory
from fenglin.ports.driver import Capability
from fenglin.quantities.durations import parse_duration_ms
from fenglin.quantities.money import parse_money_micro

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fenglin.ports.driver import DriverContext

B = TypeVar("B", bound=Struct)
Amount = str | int | float
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
# An address that is nobody's (RFC 5737): the settings of hosts are tried on it.
_NOBODY = "192.0.2.1"
# Of an ssh site, but of what is bought only the hub knows.
_OURS = ("hosts", "user", "key_file", "known_hosts", "flavors", "nodes", "licences")
_GIVEN = ("flavors", "nodes", "licences")


class _Buy(Struct, frozen=True, forbid_unknown_fields=True):
    type: str
    hourly: Amount
    spot: bool = False


class _Block(Struct, frozen=True, forbid_unknown_fields=True):
    flavors: tuple[Flavor, ...]
    nodes: tuple[Node, ...]
    image: str
    licences: tuple[tuple[str, int], ...] = ()
    buy: dict[str, dict[str, Any]] = {}
    max_price_per_hour: Amount = 0
    currency: str = "CNY"
    idle: Amount = "5m"
    boot: Amount = "10m"
    orphan_grace: Amount = "10m"
    poll: Amount = "3s"
    user: str = "fenglin"
    key_file: str = ""
    port: int = 22
    tags: dict[str, str] = {}
    jump: str = ""
    ssh: dict[str, Any] = {}


class _Ec2Block(_Block, frozen=True, forbid_unknown_fields=True, kw_only=True):
    region: str
    subnet: str = ""
    security_groups: list[str] = []
    instance_profile: str = ""
    profile: str = ""
    endpoint: str = ""
    reach: Literal["private", "public"] = "private"


class _OpenStackBlock(_Block, frozen=True, forbid_unknown_fields=True, kw_only=True):
    cloud: str = ""
    region: str = ""
    network: str = ""
    security_groups: list[str] = []
    availability_zone: str = ""
    reach: str = ""


class Ec2Settings(Struct, frozen=True):
    """Where and how EC2 is asked; as the how-to page tells."""

    image: str
    region: str
    subnet: str
    security_groups: tuple[str, ...]
    instance_profile: str
    profile: str
    endpoint: str
    reach: str
    tags: tuple[tuple[str, str], ...]


class OpenStackSettings(Struct, frozen=True):
    """Where and how Nova is asked; as the how-to page tells."""

    image: str
    cloud: str
    region: str
    network: str
    security_groups: tuple[str, ...]
    availability_zone: str
    reach: str
    tags: tuple[tuple[str, str], ...]


class Offer(Struct, frozen=True):
    """What is bought for a node of a flavor.

    Attributes:
        machine: The provider's type.
        hour_micro: What an hour costs, at most when it is spot; micro-units of the currency.
        spot: Whether the provider may take it back.
    """

    machine: str
    hour_micro: int
    spot: bool


class CloudSettings(Struct, frozen=True):
    """What both kinds can be told.

    Attributes:
        flavors, nodes, licences: Of the site; its nodes are the most that are bought.
        offers: Flavor → what is bought for it.
        ceiling_micro: Most per hour for all instances together; 0 for no limit.
        currency: Of all prices here.
        idle_ms: An instance without work is given back after this long.
        boot_ms: One that SSH does not reach is given up after this long.
        orphan_ms: One with our tags that no record tells of is given back after this long.
        poll_s: Between two looks while something is coming up or going away.
        user: Account on the instances.
        key_file: The hub's private key; None to have one made.
        port: Of sshd.
        hosts: Settings for the ssh driver that all hosts have in common.
        host: Settings for the ssh driver of each host.
        capabilities: What the ssh driver can do with them.
    """

    flavors: tuple[Flavor, ...]
    nodes: tuple[Node, ...]
    licences: tuple[tuple[str, int], ...]
    offers: dict[str, Offer]
    ceiling_micro: int
    currency: str
    idle_ms: int
    boot_ms: int
    orphan_ms: int
    poll_s: float
    user: str
    key_file: Path | None
    port: int
    hosts: dict[str, object]
    host: dict[str, object]
    capabilities: frozenset[Capability] = frozenset()

    def flavor_of(self, node: str) -> str:
        """Return the flavor of a node.

        Raises:
            KeyError: there is no such node.
        """
        for one in self.nodes:
            if one.name == node:
                return one.flavor
        raise KeyError(node)


def read_ec2(
    context: DriverContext, settings: Mapping[str, object]
) -> tuple[CloudSettings, Ec2Settings]:
    """Check every setting of an EC2 site.

    Raises:
        InputError: a setting is unknown, missing or wrong.
    """
    where = f"site.{context.site}"
    block = _convert(settings, _Ec2Block, where)
    if not block.image.startswith("ami-"):
        raise InputError("image is not an AMI", where=f"{where}.settings.image", hint="ami-…")
    return _common(context, block, where), Ec2Settings(
        image=block.image,
        region=block.region,
        subnet=block.subnet,
        security_groups=tuple(block.security_groups),
        instance_profile=block.instance_profile,
        profile=block.profile,
        endpoint=block.endpoint,
        reach=block.reach,
        tags=tuple(sorted(block.tags.items())),
    )


def read_openstack(
    context: DriverContext, settings: Mapping[str, object]
) -> tuple[CloudSettings, OpenStackSettings]:
    """Check every setting of an OpenStack site.

    Raises:
        InputError: a setting is unknown, missing or wrong.
    """
    where = f"site.{context.site}"
    block = _convert(settings, _OpenStackBlock, where)
    common = _common(context, block, where)
    spot = [name for name, offer in common.offers.items() if offer.spot]
    if spot:
        raise InputError(
            "OpenStack sells no spot instances", where=f"{where}.settings.buy.{spot[0]}.spot"
        )
    return common, OpenStackSettings(
        image=block.image,
        cloud=block.cloud,
        region=block.region,
        network=block.network,
        security_groups=tuple(block.security_groups),
        availability_zone=block.availability_zone,
        reach=block.reach,
        tags=tuple(sorted(block.tags.items())),
    )


def _common(context: DriverContext, block: _Block, where: str) -> CloudSettings:
    own = f"{where}.settings"
    if not _CURRENCY.fullmatch(block.currency):
        raise InputError("currency is no ISO 4217 code", where=f"{own}.currency")
    if not _USER.fullmatch(block.user):
        raise InputError(f"{block.user[:80]!r} is not a user name", where=f"{own}.user")
    if any(not key or key.startswith(("fenglin-", "aws:")) for key in block.tags):
        raise InputError(
            "a tag must have a name that is not ours", where=f"{own}.tags",
            hint="names that begin with fenglin- are set by the hub",
        )  # fmt: skip
    taken = [name for name in _OURS if name in block.ssh]
    if taken:
        raise InputError(
            f"{taken[0]} is not for you to say", where=f"{own}.ssh.{taken[0]}",
            hint="the hub knows what it has bought",
        )  # fmt: skip
    checked = CloudSettings(
        flavors=block.flavors,
        nodes=block.nodes,
        licences=block.licences,
        offers=_offers(block, own),
        ceiling_micro=_money(block.max_price_per_hour, block, f"{own}.max_price_per_hour"),
        currency=block.currency,
        idle_ms=_duration(block.idle, f"{own}.idle"),
        boot_ms=_duration(block.boot, f"{own}.boot"),
        orphan_ms=_duration(block.orphan_grace, f"{own}.orphan_grace"),
        poll_s=max(0.05, _duration(block.poll, f"{own}.poll") / 1_000),
        user=block.user,
        key_file=Path(block.key_file).expanduser() if block.key_file else None,
        port=block.port,
        hosts={**block.ssh, "user": block.user},
        host={"port": block.port, **({"jump": block.jump} if block.jump else {})},
    )
    return replace(checked, capabilities=_try_hosts(context, checked, where))


def _offers(block: _Block, own: str) -> dict[str, Offer]:
    names = [flavor.name for flavor in block.flavors]
    unknown = sorted(set(block.buy) - set(names))
    missing = [name for name in names if name not in block.buy]
    if unknown or missing:
        name = (unknown or missing)[0]
        raise InputError(
            f"there is no flavor {name[:80]!r}" if unknown else "it is not said what to buy",
            where=f"{own}.buy.{name[:80]}",
            hint="each flavor needs a block [….settings.buy.FLAVOR] with type and hourly",
        )
    offers = {}
    for name in names:
        buy = _convert(block.buy[name], _Buy, f"{own}.buy.{name}")
        if not buy.type:
            raise InputError("type is empty", where=f"{own}.buy.{name}.type")
        hour_micro = _money(buy.hourly, block, f"{own}.buy.{name}.hourly")
        offers[name] = Offer(buy.type, hour_micro, buy.spot)
    return offers


def _try_hosts(
    context: DriverContext, settings: CloudSettings, where: str
) -> frozenset[Capability]:
    """Have the ssh driver check what it will be given; return what it can do with it.

    Raises:
        InputError: it refuses a setting, or is not installed.
    """
    flavor = settings.flavors[0]
    with tempfile.TemporaryDirectory(prefix="fenglin-cloud-") as folder:
        driver = load_factory("ssh", where)(
            replace(context, directory=Path(folder)),
            {
                **settings.hosts,
                "hosts": [{"address": _NOBODY, **settings.host}],
                "flavors": (flavor,),
                "nodes": (Node("n", flavor.name),),
                "licences": (),
            },
        )
    return driver.capabilities


def _money(value: Amount, block: _Block, where: str) -> int:
    try:
        micro = parse_money_micro(value, block.currency)
    except FenglinError as error:
        raise InputError(error.what, where=where, hint=error.hint) from error
    if micro < 0:
        raise InputError("a price is not negative", where=where)
    return micro


def _duration(value: Amount, where: str) -> int:
    try:
        return parse_duration_ms(value)
    except FenglinError as error:
        raise InputError(error.what, where=where, hint=error.hint) from error


def _convert(raw: Mapping[str, object], kind: type[B], where: str) -> B:
    """Read a block; an error says which keys there are."""
    try:
        return msgspec.convert(dict(raw), kind)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        keys = [f.name for f in msgspec.structs.fields(kind) if f.name not in _GIVEN]
        raise InputError(
            what, where=f"{where}{path.rstrip('`')}", hint=f"known here: {', '.join(keys)}"
        ) from error
