"""The hub's own configuration, `fenglin.toml`, checked into records."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import Struct, field

from fenglin.catalog.pricebook.items import check_name
from fenglin.errors import InputError
from fenglin.fairness.tree import NO_LIMIT, check_queues
from fenglin.intake.hubblock import HubBlock, check_database
from fenglin.intake.hubbooks import (
    BooksBlock,
    LedgerBlock,
    Sealing,
    patience_of,
    sealing_of,
    zone_of,
)
from fenglin.intake.hubbudgets import BudgetBlock, budgets_of
from fenglin.intake.hubdeals import deal_line, deals_of
from fenglin.intake.hubhours import HoursBlock, hours_of
from fenglin.intake.hublogin import LoginBlock, login_of
from fenglin.intake.hubmetering import MeteringBlock, tolerances_of
from fenglin.intake.hubplace import (
    BANDWIDTH,
    CARBON,
    LATENCY,
    POWER,
    check_links,
    labels_of,
    nodes_of,
    region_of,
)
from fenglin.ledger.accounts import due
from fenglin.ledger.budgets import Budget
from fenglin.ledger.metering.reconcile import Tolerance
from fenglin.ledger.posting import CURRENCY
from fenglin.ledger.settlement_deal import Deal
from fenglin.ledger.standing import Limits
from fenglin.model.role import LoginSettings
from fenglin.model.site import Flavor, Link, Node, Price, Queue, Site
from fenglin.model.states import ComputeClass
from fenglin.quantities.durations import parse_duration_ms
from fenglin.quantities.money import parse_money_micro
from fenglin.quantities.resources import DIMENSIONS, Resources
from fenglin.quantities.sizes import parse_bytes, parse_milli

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_NODES = 100_000
MOST_LICENCES = 10**9
MOST_VERSION = 10**9
Amount = str | float | int
T = TypeVar("T", bound=Struct)
# Sites and flavors name folders, nodes and variables; queues and accounts are for people.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
_LABEL = re.compile(r"\w[\w.@+-]{0,127}")


class _Strict(Struct, forbid_unknown_fields=True, frozen=True):
    """Base: a misspelt key is an error, never silently ignored."""


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
    power: Amount = 0
    blocks: int = 0
    block_size: int = 0
    labels: dict[str, str | int | float] = {}
    price: _PriceBlock = _PriceBlock()
    note: str = ""


class _LinkBlock(_Strict, frozen=True):
    latency: Amount = 0
    bandwidth: Amount = 0
    egress: Amount = 0


class _SiteBlock(_Strict, frozen=True):
    driver: str
    provider: str
    flavor: dict[str, dict[str, Any]] = {}
    licences: dict[str, int] = {}
    region: str = ""
    labels: dict[str, str | int | float] = {}
    carbon: Amount = 0
    pue: Amount = 1
    link: dict[str, dict[str, Any]] = {}
    settings: dict[str, Any] = {}


class _QueueBlock(_Strict, frozen=True):
    weight: Amount = 1
    cohort: str = ""
    parent: str = ""
    quota: dict[str, Amount] | None = None
    borrow: dict[str, Amount] | None = None
    lend: dict[str, Amount] | None = None


class _AccountBlock(_Strict, frozen=True):
    credit: Amount = 0
    credit_limit: Amount = 0
    low: Amount = 0
    user_class: str = field(name="class", default="")
    budget: dict[str, BudgetBlock] = {}
    hours: dict[str, HoursBlock] = {}


class CatalogBlock(_Strict, frozen=True):
    """`[catalog]`.

    Attributes:
        devices: A device file, relative to the configuration; empty for none.
    """

    devices: str = ""


class _File(_Strict, frozen=True):
    # Blocks are read one by one, so that an error can say in which it is.
    hub: dict[str, Any] = {}
    site: dict[str, dict[str, Any]] = {}
    queue: dict[str, dict[str, Any]] = {}
    account: dict[str, dict[str, Any]] = {}
    ledger: dict[str, Any] = {}
    books: dict[str, Any] = {}
    catalog: dict[str, Any] = {}
    metering: dict[str, dict[str, Any]] = {}
    deal: dict[str, Any] = {}
    login: dict[str, Any] = {}


class HubConfig(Struct, frozen=True):
    """A checked configuration.

    Attributes:
        hub: How this hub runs.
        sites: The pool, by name.
        settings: Site name → settings for its driver.
        queues: Declared queues, by name.
        credits_micro: Account → what it is granted when first seen.
        limits: Account → its limits.
        hours_limits: `model.hours.purse` → limits of an account's hours.
        classes: Account → class of user for which prices differ; without those of none.
        budgets: Account → what it may use per span, of money and of hours.
        offset_min: Minutes by which the books' clock is ahead of UTC.
        patience_ms: How long the inventory may differ before an anomaly is opened.
        sealing: How the ledger is sealed.
        catalog: What is added to what the program knows.
        deals: By provider, what it gets of what its work is charged.
        tolerances: Kind of driver → how far its site's records may differ from ours.
        login: Whose word makes tokens; None for nobody's.
    """

    hub: HubBlock
    sites: tuple[Site, ...]
    settings: dict[str, dict[str, Any]]
    queues: tuple[Queue, ...]
    credits_micro: dict[str, int]
    limits: dict[str, Limits]
    hours_limits: dict[str, Limits]
    classes: dict[str, str]
    budgets: dict[str, tuple[Budget, ...]]
    offset_min: int
    patience_ms: int
    sealing: Sealing
    catalog: CatalogBlock = CatalogBlock()
    deals: dict[str, tuple[Deal, ...]] = {}
    tolerances: dict[str, Tolerance] = {}
    login: LoginSettings | None = None


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
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"not TOML: {error}", where=source) from error
    except (ValueError, RecursionError) as error:  # a number or a nesting beyond all measure
        raise InputError(f"not readable as TOML: {error}", where=source) from error
    try:
        return check_hub_document(raw, source)
    except InputError as error:
        line = deal_line(text, error.where.removeprefix(f"{source}: "))
        if not line:
            raise
        where = error.where.replace(source, f"{source}:{line}", 1)
        raise InputError(error.what, where=where, hint=error.hint) from error


def check_hub_document(raw: object, source: str) -> HubConfig:
    """Check a configuration that was read from TOML, or from YAML of the same form.

    Raises:
        InputError: an unknown key, a wrong value; says where.
    """
    try:
        return _config(_block(raw, _File, ""))
    except InputError as error:
        where = f"{source}: {error.where}" if error.where else source
        raise InputError(error.what, where=where, hint=error.hint) from error


def _block(raw: object, kind: type[T], where: str) -> T:
    """Read one block; an error says in which, and which keys there are."""
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$.")
        keys = ", ".join(found.encode_name for found in msgspec.structs.fields(kind))
        raise InputError(
            what,
            where=".".join(filter(None, (where, path.rstrip("`")))),
            hint=f"known here: {keys}; see docs/reference/configuration.md",
        ) from error


def _named(blocks: dict[str, dict[str, Any]], kind: type[T], what: str) -> dict[str, T]:
    """Read named blocks, in the order of their names."""
    for name in blocks:
        _check_name(name, what)
    return {name: _block(blocks[name], kind, f"{what}.{name}") for name in sorted(blocks)}


def _check_name(name: str, what: str) -> None:
    """Refuse a name that cannot stand where such names are written."""
    if what in ("queue", "account"):
        good = _LABEL.fullmatch(name) is not None and unicodedata.is_normalized("NFC", name)
        hint = "1 to 128 letters, digits, . _ @ + - in NFC, and a letter or digit first"
    else:
        good = _NAME.fullmatch(name) is not None
        hint = "1 to 63 of A-Z a-z 0-9 . _ - and a letter or digit first"
    if not good:
        raise InputError(f"{name[:80]!r} cannot be a name here", where=what, hint=hint)


def _config(file: _File) -> HubConfig:
    hub = _block(file.hub, HubBlock, "hub")
    check_database(hub)
    sites = _named(file.site, _SiteBlock, "site")
    queues = _named(file.queue, _QueueBlock, "queue")
    accounts = _named(file.account, _AccountBlock, "account") or {"default": _AccountBlock()}
    if not sites:
        raise InputError("there is no site", where="site", hint="add a [site.NAME] block")
    pool = tuple(_site(name, block) for name, block in sites.items())
    check_links(pool)
    hours = {name: hours_of(name, block.hours) for name, block in accounts.items()}
    return HubConfig(
        hub=hub,
        sites=pool,
        settings={name: block.settings for name, block in sites.items()},
        queues=_queues(queues),
        credits_micro={
            name: _money(f"account.{name}.credit", block.credit) for name, block in accounts.items()
        },
        limits={
            name: Limits(
                _money(f"account.{name}.credit_limit", block.credit_limit),
                _money(f"account.{name}.low", block.low),
            )
            for name, block in accounts.items()
        },
        hours_limits={purse: one for each in hours.values() for purse, one in each.limits.items()},
        classes={name: _class(name, one) for name, one in accounts.items() if one.user_class},
        budgets={
            name: (*budgets_of(block.budget, f"account.{name}.budget"), *hours[name].budgets)
            for name, block in accounts.items()
        },
        offset_min=zone_of(_block(file.books, BooksBlock, "books")),
        patience_ms=patience_of(_block(file.books, BooksBlock, "books")),
        sealing=sealing_of(_block(file.ledger, LedgerBlock, "ledger")),
        catalog=_block(file.catalog, CatalogBlock, "catalog"),
        deals=deals_of(file.deal),
        tolerances=tolerances_of(_named(file.metering, MeteringBlock, "metering")),
        login=login_of(_block(file.login, LoginBlock, "login")) if file.login else None,
    )


def _class(name: str, block: _AccountBlock) -> str:
    check_name(block.user_class, f"account.{name}.class")
    return block.user_class


def _site(name: str, block: _SiteBlock) -> Site:
    flavors: list[Flavor] = []
    nodes: list[Node] = []
    _provider(block.provider, f"site.{name}.provider")
    for licence, count in block.licences.items():
        if not 0 <= count <= MOST_LICENCES:
            raise InputError(
                f"{count} licences", where=f"site.{name}.licences.{licence}",
                hint=f"0 to {MOST_LICENCES}",
            )  # fmt: skip
    blocks = _named(block.flavor, _FlavorBlock, f"site.{name}.flavor")
    for flavor_name, flavor_block in blocks.items():
        where = f"site.{name}.flavor.{flavor_name}"
        if not 1 <= flavor_block.nodes <= MOST_NODES:
            raise InputError(
                "nodes is out of range", where=f"{where}.nodes", hint=f"1 to {MOST_NODES}"
            )
        flavors.append(_flavor(flavor_name, flavor_block, where))
        nodes += nodes_of(
            flavor_name, flavor_block.nodes, flavor_block.blocks, flavor_block.block_size, where
        )
    if not flavors:
        raise InputError(
            "the site has no flavor", where=f"site.{name}",
            hint=f"add a [site.{name}.flavor.NAME] block",
        )  # fmt: skip
    return Site(
        name=name,
        provider=block.provider,
        driver=block.driver,
        flavors=tuple(flavors),
        nodes=tuple(nodes),
        licences=tuple(sorted(block.licences.items())),
        region=region_of(block.region, f"site.{name}.region"),
        labels=labels_of(block.labels, f"site.{name}.labels"),
        carbon_g_kwh=_at(f"site.{name}.carbon", CARBON.parse, block.carbon),
        pue_milli=_pue(block.pue, f"site.{name}.pue"),
        links=tuple(
            _link(there, link, f"site.{name}.link.{there}")
            for there, link in _named(block.link, _LinkBlock, f"site.{name}.link").items()
        ),
    )


def _pue(value: Amount, where: str) -> int:
    """Return thousandths; a facility uses at least what its machines do."""
    pue_milli = _at(where, parse_milli, value)
    if not 1_000 <= pue_milli <= 10_000:
        raise InputError("pue is out of range", where=where, hint="1 to 10, such as 1.3")
    return pue_milli


def _link(there: str, block: _LinkBlock, where: str) -> Link:
    return Link(
        there,
        latency_us=_at(f"{where}.latency", LATENCY.parse, block.latency) if block.latency else 0,
        bandwidth_mbit_s=(
            _at(f"{where}.bandwidth", BANDWIDTH.parse, block.bandwidth) if block.bandwidth else 0
        ),
        egress_gib_micro=_money(f"{where}.egress", block.egress),
    )


def _flavor(name: str, block: _FlavorBlock, where: str) -> Flavor:
    price = block.price
    speed_milli = _at(f"{where}.speed", parse_milli, block.speed)
    if speed_milli < 1:
        raise InputError("speed must be above 0", where=f"{where}.speed")
    if price.currency != CURRENCY:
        raise InputError(
            f"the currency {price.currency[:20]!r} is not supported",
            where=f"{where}.price.currency",
            hint=f"accounts are kept in {CURRENCY}",
        )
    if not 1 <= price.version <= MOST_VERSION:
        raise InputError(
            "the version is out of range", where=f"{where}.price.version",
            hint=f"1 to {MOST_VERSION}",
        )  # fmt: skip
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
        power_watts=_at(f"{where}.power", POWER.parse, block.power),
        labels=labels_of(block.labels, f"{where}.labels"),
    )


def _queues(blocks: dict[str, _QueueBlock]) -> tuple[Queue, ...]:
    """Return the queues by name, as one tree that makes sense."""
    queues = tuple(_queue(name, block) for name, block in blocks.items())
    check_queues(queues)
    return queues


def _queue(name: str, block: _QueueBlock) -> Queue:
    where = f"queue.{name}"
    weight = _at(f"{where}.weight", parse_milli, block.weight)
    if weight < 1:
        raise InputError("weight must be above 0", where=f"{where}.weight")
    return Queue(
        name,
        weight,
        quota=_limits(f"{where}.quota", block.quota),
        cohort=block.cohort,
        parent=block.parent,
        borrow=_limits(f"{where}.borrow", block.borrow),
        lend=_limits(f"{where}.lend", block.lend),
    )


def _limits(where: str, written: dict[str, Amount] | None) -> Resources | None:
    """Return amounts per resource; what is not named is not limited."""
    if written is None:
        return None
    parsers = {
        "cpu": ("cpu_milli", parse_milli),
        "memory": ("memory_bytes", parse_bytes),
        "disk": ("disk_bytes", parse_bytes),
        "accelerators": ("accelerator_milli", parse_milli),
    }
    unknown = sorted(set(written) - set(parsers))
    if unknown:
        raise InputError(
            f"unknown resource {unknown[0]!r}", where=where, hint=f"one of {', '.join(parsers)}"
        )
    amounts = dict.fromkeys(DIMENSIONS, NO_LIMIT)
    for key, amount in written.items():
        field_name, parser = parsers[key]
        amounts[field_name] = _at(f"{where}.{key}", parser, amount)
    return Resources(**amounts)


def _provider(name: str, where: str) -> None:
    """Refuse a provider that the ledger could not pay."""
    try:
        due(name)
    except InputError as error:
        raise InputError(error.what, where=where, hint=error.hint) from error


def _money(where: str, value: Amount) -> int:
    amount_micro = _at(where, parse_money_micro, value)
    if amount_micro < 0:
        raise InputError("an amount cannot be negative", where=where)
    return amount_micro


def _at(where: str, parser: Callable[[Any], int], value: Amount) -> int:
    """Parse a value; an error says where it stands."""
    try:
        return parser(value)
    except InputError as error:
        raise InputError(error.what, where=where, hint=error.hint) from error
