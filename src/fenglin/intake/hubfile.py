"""The hub's own configuration, `fenglin.toml`, checked into records."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct, field

from fenglin.errors import FenglinError, InputError
from fenglin.model.site import Flavor, Node, Price, Queue, Site
from fenglin.model.states import ComputeClass
from fenglin.quantities.durations import parse_duration_ms
from fenglin.quantities.money import parse_money_micro
from fenglin.quantities.resources import Resources
from fenglin.quantities.sizes import parse_bytes, parse_milli

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_NODES = 100_000
Amount = str | float | int


class _Strict(Struct, forbid_unknown_fields=True, frozen=True):
    """Base: a misspelt key is an error, never silently ignored."""


class HubBlock(_Strict, frozen=True):
    """`[hub]`: how this hub runs.

    Attributes:
        listen: HOST:PORT.
        data: Folder of its state, relative to the configuration file.
        policy: Name of a built-in policy.
        auth: False lets anyone on this machine in; refused on any other address.
        log: Least level that is logged.
    """

    listen: str = "127.0.0.1:8642"
    data: str = "fenglin-data"
    policy: str = "balanced"
    auth: bool = True
    log: str = "info"


class _PriceBlock(_Strict, frozen=True):
    version: int = 1
    currency: str = "CNY"
    core_hour: Amount = 0
    memory_gib_hour: Amount = 0
    card_hour: Amount = 0
    task_minimum_time: Amount = 0
    task_minimum: Amount = 0


class _FlavorBlock(_Strict, frozen=True):
    compute_class: ComputeClass = field(name="class", default=ComputeClass.GENERAL)
    nodes: int = 1
    cpu: Amount = 1
    memory: Amount = "1GiB"
    disk: Amount = "10GiB"
    accelerators: Amount = 0
    accelerator: str = ""
    speed: Amount = 1
    price: _PriceBlock = _PriceBlock()
    note: str = ""


class _SiteBlock(_Strict, frozen=True):
    driver: str
    provider: str
    flavor: dict[str, _FlavorBlock]
    licences: dict[str, int] = {}
    settings: dict[str, Any] = {}


class _QueueBlock(_Strict, frozen=True):
    weight: Amount = 1
    cohort: str = ""
    quota: dict[str, Amount] | None = None


class _AccountBlock(_Strict, frozen=True):
    credit: Amount = 0


class _File(_Strict, frozen=True):
    hub: HubBlock = HubBlock()
    site: dict[str, _SiteBlock] = {}
    queue: dict[str, _QueueBlock] = {}
    account: dict[str, _AccountBlock] = {}


class HubConfig(Struct, frozen=True):
    """A checked configuration.

    Attributes:
        hub: How this hub runs.
        sites: The pool, by name.
        settings: Site name → settings for its driver.
        queues: Declared queues, by name.
        credits_micro: Account → what it is granted when first seen.
    """

    hub: HubBlock
    sites: tuple[Site, ...]
    settings: dict[str, dict[str, Any]]
    queues: tuple[Queue, ...]
    credits_micro: dict[str, int]


def read_hub_file(text: str, source: str) -> HubConfig:
    """Check a configuration.

    Args:
        text: TOML.
        source: Its name, for errors.

    Raises:
        InputError: not TOML, an unknown key, a wrong value; says where.
    """
    try:
        raw = tomllib.loads(text)
        file = msgspec.convert(raw, _File)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"not TOML: {error}", where=source) from error
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$.")
        raise InputError(
            what, where=f"{source}: {path.rstrip('`')}" if path else source,
            hint="see docs/reference/configuration.md for the known keys",
        ) from error  # fmt: skip
    try:
        return _config(file)
    except FenglinError as error:
        raise InputError(error.what, where=f"{source}: {error.where}", hint=error.hint) from error


def _config(file: _File) -> HubConfig:
    if not file.site:
        raise InputError("there is no site", where="site", hint="add a [site.NAME] block")
    accounts = {name: block.credit for name, block in file.account.items()} or {"default": 0}
    return HubConfig(
        hub=file.hub,
        sites=tuple(_site(name, file.site[name]) for name in sorted(file.site)),
        settings={name: block.settings for name, block in file.site.items()},
        queues=tuple(_queue(name, file.queue[name]) for name in sorted(file.queue)),
        credits_micro={
            name: _at(f"account.{name}.credit", parse_money_micro, credit)
            for name, credit in accounts.items()
        },
    )


def _site(name: str, block: _SiteBlock) -> Site:
    flavors: list[Flavor] = []
    nodes: list[Node] = []
    for flavor_name in sorted(block.flavor):
        where = f"site.{name}.flavor.{flavor_name}"
        flavor_block = block.flavor[flavor_name]
        if not 1 <= flavor_block.nodes <= MOST_NODES:
            raise InputError("nodes is out of range", where=where, hint=f"1 to {MOST_NODES}")
        flavors.append(_flavor(flavor_name, flavor_block, where))
        nodes += [Node(f"{flavor_name}-{i}", flavor_name) for i in range(flavor_block.nodes)]
    if not flavors:
        raise InputError("the site has no flavor", where=f"site.{name}")
    return Site(
        name=name,
        provider=block.provider,
        driver=block.driver,
        flavors=tuple(flavors),
        nodes=tuple(nodes),
        licences=tuple(sorted(block.licences.items())),
    )


def _flavor(name: str, block: _FlavorBlock, where: str) -> Flavor:
    price = block.price
    speed_milli = _at(f"{where}.speed", parse_milli, block.speed)
    if speed_milli < 1:
        raise InputError("speed must be above 0", where=where)
    return Flavor(
        name=name,
        compute_class=block.compute_class,
        node=Resources(
            cpu_milli=_at(f"{where}.cpu", parse_milli, block.cpu),
            memory_bytes=_at(f"{where}.memory", parse_bytes, block.memory),
            disk_bytes=_at(f"{where}.disk", parse_bytes, block.disk),
            accelerator_milli=_at(f"{where}.accelerators", parse_milli, block.accelerators),
        ),
        speed_milli=speed_milli,
        accelerator=block.accelerator,
        price=Price(
            version=price.version,
            currency=price.currency,
            core_hour_micro=_money(f"{where}.price.core_hour", price.core_hour),
            memory_gib_hour_micro=_money(f"{where}.price.memory_gib_hour", price.memory_gib_hour),
            card_hour_micro=_money(f"{where}.price.card_hour", price.card_hour),
            task_minimum_ms=_at(
                f"{where}.price.task_minimum_time", parse_duration_ms, price.task_minimum_time
            ),
            task_minimum_micro=_money(f"{where}.price.task_minimum", price.task_minimum),
        ),
        note=block.note,
    )


def _queue(name: str, block: _QueueBlock) -> Queue:
    where = f"queue.{name}"
    quota = None
    if block.quota is not None:
        parsers = {
            "cpu": ("cpu_milli", parse_milli),
            "memory": ("memory_bytes", parse_bytes),
            "disk": ("disk_bytes", parse_bytes),
            "accelerators": ("accelerator_milli", parse_milli),
        }
        unknown = sorted(set(block.quota) - set(parsers))
        if unknown:
            raise InputError(
                f"unknown resource {unknown[0]!r}", where=f"{where}.quota",
                hint=f"one of {', '.join(parsers)}",
            )  # fmt: skip
        # What a quota does not name is not limited by it.
        amounts = dict.fromkeys(
            ("cpu_milli", "memory_bytes", "disk_bytes", "accelerator_milli"), 2**62
        )
        for key, amount in block.quota.items():
            field_name, parser = parsers[key]
            amounts[field_name] = _at(f"{where}.quota.{key}", parser, amount)
        quota = Resources(**amounts)
    weight = _at(f"{where}.weight", parse_milli, block.weight)
    if weight < 1:
        raise InputError("weight must be above 0", where=where)
    return Queue(name, weight, quota, block.cohort)


def _money(where: str, value: Amount) -> int:
    amount_micro = _at(where, parse_money_micro, value)
    if amount_micro < 0:
        raise InputError("a price cannot be negative", where=where)
    return amount_micro


def _at(where: str, parser: Callable[[Any], int], value: Amount) -> int:
    """Parse a value; an error says where it stands."""
    try:
        return parser(value)
    except InputError as error:
        raise InputError(error.what, where=where, hint=error.hint) from error
