"""A declaration of facilities: TOML, in which each figure has its evidence or its block's."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, cast

from fenglin.catalog.device import Grade
from fenglin.catalog.inventory.checks import PRECISIONS
from fenglin.catalog.inventory.facts import TEXTS, UNITS, Facility, Fact, Group, Status
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
_FACILITY = (*_EVIDENCE, "sites", "status", "period", "compute", *TEXTS, *UNITS)
_GROUP = (
    *_EVIDENCE, "class", "device", "count", "sellable", "reserved",
    *PRECISIONS, *(f"measured_{one}" for one in PRECISIONS),
)  # fmt: skip
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
            check_facility(facility)
    except InputError as error:
        where = f"{source}: {error.where}" if error.where else source
        raise InputError(error.what, where=where, hint=error.hint) from error
    return facilities


def check_facility(facility: Facility) -> None:
    """Check what a declaration must be whoever wrote it.

    Raises:
        InputError: a name, a key, a figure or a date is none; says which.
    """
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
    for key, fact in facility.facts.items():
        _check_fact(fact, f"{where}.{key}")
    for group in facility.groups:
        _check_group(group, f"{where}.compute.{group.name}")


def _check_group(group: Group, where: str) -> None:
    _line(group.device, f"{where}.device")
    _known(group.stated, PRECISIONS, where)
    _known(group.measured, PRECISIONS, where)
    facts: dict[str, Fact | None] = {
        "count": group.count,
        "sellable": group.sellable,
        "reserved": group.reserved,
        **group.stated,
        **{f"measured_{key}": fact for key, fact in group.measured.items()},
    }
    for key, fact in facts.items():
        if fact is not None:
            _check_fact(fact, f"{where}.{key}")


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
        facts={key: _fact(block[key], block, f"{where}.{key}") for key in UNITS if key in block},
        groups=tuple(
            _group(one, {**_evidence(block), **_mapping(group, f"{where}.compute.{one}")}, where)
            for one, group in sorted(groups.items())
        ),
    )


def _group(name: str, block: Block, above: str) -> Group:
    where = f"{above}.compute.{name}"
    _known(block, _GROUP, where)
    for key in ("class", "device", "count"):
        if key not in block:
            raise InputError(f"`{key}` is missing", where=where, hint="class, device and count")

    def fact(key: str) -> Fact | None:
        return _fact(block[key], block, f"{where}.{key}") if key in block else None

    return Group(
        name=name,
        compute_class=ComputeClass(_choice(block["class"], ComputeClass, f"{where}.class")),
        device=_text(block["device"], f"{where}.device"),
        count=_fact(block["count"], block, f"{where}.count"),
        sellable=fact("sellable"),
        reserved=fact("reserved"),
        stated={key: found for key in PRECISIONS if (found := fact(key)) is not None},
        measured={
            key: found for key in PRECISIONS if (found := fact(f"measured_{key}")) is not None
        },
    )


def _fact(value: object, block: Block, where: str) -> Fact:
    """Read `2000`, or `{value = 2000, grade = …}`; evidence not given is the block's."""
    own: Block = cast("Block", value) if isinstance(value, dict) else {"value": value}
    _known(own, ("value", *_EVIDENCE), where)
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
