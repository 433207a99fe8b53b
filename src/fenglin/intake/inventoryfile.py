"""A declaration of facilities: TOML, in which each figure has its evidence or its block's."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, cast

from fenglin.catalog.device import Grade
from fenglin.catalog.inventory.checks import PRECISIONS
from fenglin.catalog.inventory.facts import LINK_UNITS, TEXTS, UNITS, Facility, Fact, Group, Status
from fenglin.errors import InputError
from fenglin.model.states import ComputeClass
from fenglin.quantities.period import parse_period
from fenglin.quantities.sizes import parse_milli

if TYPE_CHECKING:
    from collections.abc import Mapping
    from enum import StrEnum

MOST_FACILITIES = 10_000
MOST_GROUPS = 1_000
MOST_MILLI = 10**15
MOST_TEXT = 500
_HOUR_MS = 3_600_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])(?:-(?:0[1-9]|[12][0-9]|3[01]))?", re.ASCII)
_EVIDENCE = ("grade", "date", "document")
_FACILITY = (*_EVIDENCE, "sites", "status", "period", "compute", "link", *TEXTS, *UNITS)
_COUNTS = ("count", "nodes", "sellable", "reserved")
_MEASURED = tuple(f"measured_{one}" for one in PRECISIONS)
_GROUP = (*_EVIDENCE, "class", "device", *_COUNTS, *PRECISIONS, *_MEASURED)
_GROUP_UNITS = {
    "count": "devices",
    "nodes": "nodes",
    "sellable": "devices",
    "reserved": "devices",
    **{key: "TOPS" if "int8" in key else "TFLOPS" for key in (*PRECISIONS, *_MEASURED)},
}
_LEVELS_MILLI = tuple(range(1_000, 6_000, 1_000))
Block = dict[str, object]


def read_inventory_file(text: str, source: str) -> tuple[Facility, ...]:
    """Return the facilities that a file declares.

    Raises:
        InputError: not TOML, an unknown key, a figure without evidence; says where.
    """
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not TOML: {error}", where=source) from error
    try:
        _known(raw, ("facility",), "")
        blocks = _mapping(raw.get("facility"), "facility.NAME")
        facilities = tuple(
            _facility(name, _mapping(block, f"facility.{name}"))
            for name, block in sorted(blocks.items())
        )
        for facility in facilities:
            _check_facility(facility)
        _check_together(facilities)
    except InputError as error:
        where = f"{source}: {error.where}" if error.where else source
        if error.where and (line := line_of(text, error.where)):
            where = f"{source}:{line}: {error.where}"
        raise InputError(error.what, where=where, hint=error.hint) from error
    return facilities


def line_of(text: str, where: str) -> int:
    """Return the line on which a key such as `facility.gz1.compute.a100.fp16` stands, or its block.

    0 when it cannot be told; blocks written in line are told by the line of their parent.
    """
    block, best, depth = "", 0, 0
    for number, line in enumerate(text.splitlines(), 1):
        words = line.strip()
        if words.startswith("["):
            head = words.lstrip("[").partition("]")[0]
            block = "".join(char for char in head if char not in " \"'")
            path = block
        else:
            key = words.partition("=")[0].strip().strip("\"'") if "=" in words else ""
            path = f"{block}.{key}" if key and not key.startswith("#") else ""
        if path and len(path) > depth and f"{where}.".startswith(f"{path}."):
            best, depth = number, len(path)
    return best


def _check_together(facilities: tuple[Facility, ...]) -> None:
    """Check that each site stands in one facility."""
    owners: dict[str, str] = {}
    for facility in facilities:
        for site in facility.sites:
            if site in owners:
                raise InputError(
                    f"the site {site} stands in {owners[site]} already",
                    where=f"facility.{facility.name}.sites",
                    hint="a site stands in one facility, once",
                )
            owners[site] = facility.name


def _check_facility(facility: Facility) -> None:
    where = f"facility.{facility.name[:80]}"
    for name in (facility.name, *facility.sites, *(group.name for group in facility.groups)):
        if not _NAME.fullmatch(name):
            raise InputError(
                f"{name[:80]!r} cannot be a name here", where=where,
                hint="1 to 63 of A-Z a-z 0-9 . _ - and a letter or digit first",
            )  # fmt: skip
    _known(facility.texts, TEXTS, where)
    _known(facility.facts, tuple(UNITS), where)
    for key, said in facility.texts.items():
        _line(said, f"{where}.{key}")
    if facility.period_h != _hours(facility.period, f"{where}.period"):
        raise InputError(f"{facility.period} has other hours", where=f"{where}.period_h")
    if len(facility.groups) > MOST_GROUPS:
        raise InputError(f"more than {MOST_GROUPS} groups", where=where)
    if len({group.name for group in facility.groups}) != len(facility.groups):
        raise InputError("two groups have one name", where=where)
    _check_figures(facility, where)


def _check_figures(facility: Facility, where: str) -> None:
    for key, fact in facility.facts.items():
        _check_fact(fact, f"{where}.{key}")
    level = facility.facts.get("protection_level")
    if level is not None and level.milli not in _LEVELS_MILLI:
        raise InputError(
            "no protection level", where=f"{where}.protection_level", hint="a whole number, 1 to 5"
        )
    for group in facility.groups:
        _check_group(group, f"{where}.compute.{group.name}")
    for place, facts in facility.links.items():
        _line(place, f"{where}.link")
        _known(facts, tuple(LINK_UNITS), f"{where}.link.{place}")
        for key, fact in facts.items():
            _check_fact(fact, f"{where}.link.{place}.{key}")


def _check_group(group: Group, where: str) -> None:
    _line(group.device, f"{where}.device")
    _known(group.stated, PRECISIONS, where)
    _known(group.measured, PRECISIONS, where)
    for key, fact in group.figures().items():
        _check_fact(fact, f"{where}.{key}")
        if key in _COUNTS and fact.milli % 1_000:
            raise InputError("not a whole number", where=f"{where}.{key}")


def _check_fact(fact: Fact, where: str) -> None:
    if not 0 <= fact.milli <= MOST_MILLI:
        raise InputError("the figure is out of range", where=where, hint="0 to 10^12")
    if not _DATE.fullmatch(fact.date):
        raise InputError(
            f"{fact.date[:40]!r} is no date", where=f"{where}.date", hint="such as 2026-10-31"
        )
    if not fact.document:
        raise InputError(
            "the figure has no evidence", where=f"{where}.document", hint="name a document"
        )
    _line(fact.document, f"{where}.document")


def _facility(name: str, block: Block) -> Facility:
    where = f"facility.{name}"
    _known(block, _FACILITY, where)
    groups = _mapping(block.get("compute", {}), f"{where}.compute")
    period = _text(block.get("period", ""), f"{where}.period")
    sites = block.get("sites", [])
    if not isinstance(sites, list):
        raise InputError("not a list of names", where=f"{where}.sites", hint='["gz1"]')
    status = _choice(block.get("status", "in_use"), Status, f"{where}.status")
    return Facility(
        name=name,
        sites=tuple(_text(one, f"{where}.sites") for one in sites),
        status=Status(status),
        texts={key: _text(block[key], f"{where}.{key}") for key in TEXTS if key in block},
        period=period,
        period_h=_hours(period, f"{where}.period"),
        facts={
            key: _fact(block[key], block, f"{where}.{key}", unit)
            for key, unit in UNITS.items()
            if key in block
        },
        groups=tuple(
            _group(one, {**_evidence(block), **_mapping(group, f"{where}.compute.{one}")}, where)
            for one, group in sorted(groups.items())
        ),
        links={
            place: _link(
                {**_evidence(block), **_mapping(one, f"{where}.link.{place}")}, where, place
            )
            for place, one in sorted(_mapping(block.get("link", {}), f"{where}.link").items())
        },
    )


def _link(block: Block, above: str, place: str) -> dict[str, Fact]:
    where = f"{above}.link.{place}"
    _known(block, (*_EVIDENCE, *LINK_UNITS), where)
    return {
        key: _fact(block[key], block, f"{where}.{key}", unit)
        for key, unit in LINK_UNITS.items()
        if key in block
    }


def _group(name: str, block: Block, above: str) -> Group:
    where = f"{above}.compute.{name}"
    _known(block, _GROUP, where)
    for key in ("class", "device", "count"):
        if key not in block:
            raise InputError(f"`{key}` is missing", where=where, hint="class, device and count")

    def fact(key: str) -> Fact | None:
        if key not in block:
            return None
        return _fact(block[key], block, f"{where}.{key}", _GROUP_UNITS[key])

    return Group(
        name=name,
        compute_class=ComputeClass(_choice(block["class"], ComputeClass, f"{where}.class")),
        device=_text(block["device"], f"{where}.device"),
        count=_fact(block["count"], block, f"{where}.count", _GROUP_UNITS["count"]),
        nodes=fact("nodes"),
        sellable=fact("sellable"),
        reserved=fact("reserved"),
        stated={key: found for key in PRECISIONS if (found := fact(key)) is not None},
        measured={
            key: found for key in PRECISIONS if (found := fact(f"measured_{key}")) is not None
        },
    )


def _fact(value: object, block: Block, where: str, unit: str) -> Fact:
    """Read `2000`, or `{value = 2000, grade = …}`; evidence not given is the block's."""
    own: Block = cast("Block", value) if isinstance(value, dict) else {"value": value}
    _known(own, ("value", "unit", "dense", *_EVIDENCE), where)
    _check_unit(own, where, unit)
    evidence = {**_evidence(block), **own}
    amount = own.get("value")
    if not isinstance(amount, int | float | str):
        raise InputError("not a figure", where=where, hint="such as 2000 or {value = 2000}")
    try:
        milli = parse_milli(amount, most=MOST_MILLI)
    except InputError as error:
        raise InputError(error.what, where=where, hint=error.hint) from error
    missing = [key for key in _EVIDENCE if key not in evidence]
    if missing:
        raise InputError(
            f"the figure has no {missing[0]}", where=where,
            hint="give grade, date and document, here or once for the block",
        )  # fmt: skip
    return Fact(
        milli=milli,
        grade=Grade(_choice(evidence["grade"], Grade, f"{where}.grade")),
        date=_text(evidence["date"], f"{where}.date"),
        document=_text(evidence["document"], f"{where}.document"),
    )


def _check_unit(own: Block, where: str, unit: str) -> None:
    """Refuse a figure in another unit, and a peak with sparsity: neither is reckoned over."""
    if own.get("unit", unit) != unit:
        raise InputError(
            f"the figure is in {str(own['unit'])[:40]!r}, {unit or 'no unit'} belongs here",
            where=f"{where}.unit",
            hint="give it in that unit; nothing is converted",
        )
    peak = unit in ("TFLOPS", "TOPS")
    if "dense" in own and not (peak and own["dense"] is True):
        raise InputError(
            "a peak with sparsity doubles what dense work can reach, and is not comparable"
            if peak
            else "only a peak is dense",
            where=f"{where}.dense",
            hint="give the dense peak" if peak else "leave it out",
        )


def _evidence(block: Block) -> Block:
    return {key: block[key] for key in _EVIDENCE if key in block}


def _hours(period: str, where: str) -> int:
    if not period:
        return 0
    try:
        found = parse_period(period)
    except InputError as error:
        raise InputError(error.what, where=where, hint=error.hint) from error
    return (found.to_ms - found.from_ms) // _HOUR_MS


def _mapping(value: object, where: str) -> Block:
    if not isinstance(value, dict):
        raise InputError("not a block", where=where, hint=f"write [{where}]")
    return cast("Block", value)


def _text(value: object, where: str) -> str:
    # TOML has dates of its own; they say the same as their text.
    found = value if isinstance(value, str) else str(value) if hasattr(value, "isoformat") else ""
    if not isinstance(value, str) and not found:
        raise InputError("not a text", where=where)
    return found


def _line(text: str, where: str) -> None:
    if not text or len(text) > MOST_TEXT or not text.isprintable():
        raise InputError(
            f"{text[:80]!r} cannot stand here", where=where, hint=f"1 to {MOST_TEXT} characters"
        )


def _choice(value: object, kind: type[StrEnum], where: str) -> str:
    if not isinstance(value, str) or value not in tuple(kind):
        raise InputError(
            f"{str(value)[:80]!r} is none of them", where=where, hint=f"one of {', '.join(kind)}"
        )
    return value


def _known(block: Mapping[str, object], keys: tuple[str, ...], where: str) -> None:
    for key in block:
        if key not in keys:
            raise InputError(
                f"unknown key {key[:80]!r}", where=where, hint=f"known here: {', '.join(keys)}"
            )
