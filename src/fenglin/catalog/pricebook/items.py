"""What a price book holds: items, each a key that says where it applies and the terms there.

A version is never edited. It ends where its `to_ms` says, or earlier where a version begins that
supersedes it. What was promised for a moment that has passed therefore stays what it was.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import cache

from msgspec import Struct

from fenglin.errors import InputError
from fenglin.model.job import Mode
from fenglin.quantities.money import MAX_MICRO
from fenglin.quantities.shown import shown

FOREVER_MS = 2**63 - 1
FULL_PERMILLE = 1_000
MOST_PERMILLE = 100_000
MOST_TIERS = 20
MOST_NAME_CHARS = 200
MINUTES_PER_DAY = 1_440
_HOUR_MS = 3_600_000
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_BAND = re.compile(
    r"(?:(?P<days>[a-z,-]+) )?(?P<h1>\d\d):(?P<m1>[0-5]\d)-(?P<h2>\d\d):(?P<m2>[0-5]\d)", re.ASCII
)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)


class Unit(StrEnum):
    """What one price is for; each holds its own period of time."""

    CORE_HOUR = "core_hour"
    CARD_HOUR = "card_hour"
    MEMORY_GIB_HOUR = "memory_gib_hour"
    NODE_HOUR = "node_hour"
    NODE_DAY = "node_day"
    STORAGE_TB_MONTH = "storage_tb_month"
    EGRESS_GB = "egress_gb"
    TASK = "task"
    FRAME = "frame"
    EXCHANGE = "exchange"


class TierPeriod(StrEnum):
    """In which span an account's use counts towards tiers, by the books' calendar."""

    MONTH = "month"
    YEAR = "year"


# How many whole quantities make one unit: milli-core-ms, milli-card-ms, byte-ms, node-ms, bytes,
# tasks, frames. A TB is 10^12 bytes, a GB 10^9, a GiB 2^30, and a month of storage 30 days.
PER_UNIT = {
    Unit.CORE_HOUR: 1_000 * _HOUR_MS,
    Unit.CARD_HOUR: 1_000 * _HOUR_MS,
    Unit.MEMORY_GIB_HOUR: 2**30 * _HOUR_MS,
    Unit.NODE_HOUR: _HOUR_MS,
    Unit.NODE_DAY: 24 * _HOUR_MS,
    Unit.STORAGE_TB_MONTH: 10**12 * 30 * 24 * _HOUR_MS,
    Unit.EGRESS_GB: 10**9,
    Unit.TASK: 1,
    Unit.FRAME: 1,
    Unit.EXCHANGE: 1,
}


class PriceKey(Struct, frozen=True, order=True):
    """Where an item applies; an empty name applies everywhere.

    Attributes:
        unit: A `Unit`.
        provider: Who sells.
        site: Of the pool.
        region: As the site declares it.
        zone: Within the region.
        flavor: Class of nodes, such as a cloud's instance type.
        model: Registry name of a card; of an `exchange`, the currency that is paid for.
        user_class: Of the tenant.
        mode: A `Mode`.
        band: Hours of the week as `read_band` writes them.
    """

    unit: str
    provider: str = ""
    site: str = ""
    region: str = ""
    zone: str = ""
    flavor: str = ""
    model: str = ""
    user_class: str = ""
    mode: str = ""
    band: str = ""


class PriceTerms(Struct, frozen=True):
    """What is promised.

    Attributes:
        currency: ISO 4217 code.
        price_micro: One unit up to the first tier.
        tiers: (units of the account in the tier period above which it holds, price of one unit),
            rising; marginal: only what lies above costs the tier's price.
        tier_period: A `TierPeriod`.
        memory_per_core_bytes: A use counts at least as many cores as its memory fills; 0 off.
        factors: (class of user, thousandths of the price it pays), sorted.
    """

    currency: str
    price_micro: int
    tiers: tuple[tuple[int, int], ...] = ()
    tier_period: str = TierPeriod.MONTH.value
    memory_per_core_bytes: int = 0
    factors: tuple[tuple[str, int], ...] = ()


class PriceDraft(Struct, frozen=True):
    """An item that is to become a version.

    Attributes:
        key: Where it applies.
        terms: What it promises.
        from_ms: First millisecond; 0 for the moment at which it is added.
        to_ms: First millisecond after it; 0 for no end.
        line: Of its file, for messages; 0 for none.
    """

    key: PriceKey
    terms: PriceTerms
    from_ms: int = 0
    to_ms: int = 0
    line: int = 0


class PriceVersion(Struct, frozen=True):
    """A version of an item, as it lies in the book for ever.

    Attributes:
        number: Unique in the book, rising.
        key: Where it applies.
        terms: What it promises.
        from_ms: First millisecond.
        to_ms: First millisecond after it; `FOREVER_MS` for no end.
        supersedes: Number of the version that ends where this one begins; 0 for none.
        end_ms: Where it really ends, as far as the book knows: the earliest of `to_ms` and the
            beginnings of those that supersede it.
    """

    number: int
    key: PriceKey
    terms: PriceTerms
    from_ms: int
    to_ms: int
    supersedes: int
    end_ms: int


def check_key(key: PriceKey) -> PriceKey:
    """Return the key with its band in the one way it is written.

    Raises:
        InputError: says which part is wrong.
    """
    if key.unit not in tuple(Unit):
        raise InputError(
            f"{shown(key.unit)} is no unit", where="unit", hint=f"one of {', '.join(Unit)}"
        )
    if key.mode and key.mode not in tuple(Mode):
        raise InputError(
            f"{shown(key.mode)} is no service mode",
            where="mode",
            hint=f"one of {', '.join(Mode)}, or nothing for any",
        )
    for name in ("provider", "site", "region", "zone", "flavor", "model", "user_class"):
        check_name(getattr(key, name), name)
    if key.unit == Unit.EXCHANGE:
        _check_exchange(key)
    return key


def _check_exchange(key: PriceKey) -> None:
    """Refuse a rate of exchange that names no currency, or more than who offers it."""
    if _CURRENCY.fullmatch(key.model) is None:
        raise InputError(
            "an exchange names the currency that it is for", where="model", hint="such as USD"
        )
    if key != PriceKey(key.unit, provider=key.provider, model=key.model):
        raise InputError(
            "a rate of exchange holds wherever its provider sells",
            where="unit",
            hint="name no site, region, flavor, class, mode or band",
        )


def check_name(text: str, where: str) -> None:
    """Refuse what is no name.

    Raises:
        InputError: it is too long or cannot be printed.
    """
    if len(text) > MOST_NAME_CHARS or not text.isprintable() or text != text.strip():
        raise InputError(
            f"{shown(text)} is not a name",
            where=where,
            hint=f"printable, at most {MOST_NAME_CHARS} characters, no blanks around it",
        )


def check_terms(terms: PriceTerms) -> PriceTerms:
    """Return the terms.

    Raises:
        InputError: says which part is wrong.
    """
    if _CURRENCY.fullmatch(terms.currency) is None:
        raise InputError(
            f"{shown(terms.currency)} is no currency", where="currency", hint="such as CNY"
        )
    _check_price(terms.price_micro, "price")
    before = 0
    for above, price_micro in terms.tiers:
        if above <= before or above > 10**12:
            raise InputError(
                "the tiers do not rise", where="tiers", hint="such as 100000:0.10 500000:0.08"
            )
        before = above
        _check_price(price_micro, "tiers")
    if len(terms.tiers) > MOST_TIERS:
        raise InputError(f"there are more than {MOST_TIERS} tiers", where="tiers")
    if terms.tier_period not in tuple(TierPeriod):
        raise InputError(
            f"{shown(terms.tier_period)} is no period", where="tier_period", hint="month or year"
        )
    if not 0 <= terms.memory_per_core_bytes < 2**60:
        raise InputError("out of range", where="memory_per_core", hint="such as 4GiB")
    if len({name for name, _ in terms.factors}) != len(terms.factors):
        raise InputError("a class of user is there twice", where="factors")
    for name, permille in terms.factors:
        check_name(name, "factors")
        if not name or not 0 <= permille <= MOST_PERMILLE:
            raise InputError("is no factor", where="factors", hint="such as school=60%")
    return terms


def check_draft(draft: PriceDraft) -> PriceDraft:
    """Return an item that came from outside, checked as a whole.

    Raises:
        InputError: says which part is wrong.
    """
    check_key(draft.key)
    if draft.key.band != read_band(draft.key.band):
        raise InputError(
            f"{shown(draft.key.band)} is not written as the book writes it",
            where="band",
            hint=f"write {read_band(draft.key.band)}",
        )
    check_terms(draft.terms)
    if draft.key.unit == Unit.EXCHANGE and (
        not draft.terms.price_micro
        or draft.terms != PriceTerms(draft.terms.currency, draft.terms.price_micro)
        or draft.terms.currency == draft.key.model
    ):
        raise InputError(
            "a rate of exchange is a price above zero in another currency, and nothing else",
            where="unit",
        )
    if draft.terms.memory_per_core_bytes and draft.key.unit != Unit.CORE_HOUR:
        raise InputError("only cores are counted by memory", where="memory_per_core")
    check_span(draft.from_ms, draft.to_ms)
    return draft


def check_span(from_ms: int, to_ms: int) -> None:
    """Refuse a validity that holds no moment.

    Raises:
        InputError: it ends before it begins, or lies outside the calendar.
    """
    if not 0 <= from_ms < 2**53 or not 0 <= to_ms < 2**53:
        raise InputError("the validity lies outside the calendar", where="valid_from")
    if to_ms and to_ms <= from_ms:
        raise InputError("the validity ends before it begins", where="valid_to")


def _check_price(price_micro: int, where: str) -> None:
    if not 0 <= price_micro <= MAX_MICRO:
        raise InputError("a price is never negative", where=where, hint="0 or more")


def read_band(text: str) -> str:
    """Return hours of the week in the one way they are written, `mon,tue 08:00-22:00`.

    Args:
        text: `08:00-22:00`, `mon-fri 08:00-22:00`, `sat,sun 00:00-24:00`; a band that ends before
            it begins runs to midnight and from midnight on, on each of its days. Empty: always.

    Raises:
        InputError: it is none.
    """
    text = " ".join(text.lower().split())
    if not text:
        return ""
    match = _BAND.fullmatch(text)
    if match is None:
        raise _no_band(text)
    start = int(match["h1"]) * 60 + int(match["m1"])
    end = int(match["h2"]) * 60 + int(match["m2"])
    if start == end or start >= MINUTES_PER_DAY or end > MINUTES_PER_DAY:
        raise _no_band(text)
    days = _days(match["days"], text)
    head = "" if len(days) == len(_DAYS) else ",".join(_DAYS[day] for day in days) + " "
    return f"{head}{match['h1']}:{match['m1']}-{match['h2']}:{match['m2']}"


def _days(text: str | None, band: str) -> list[int]:
    found: set[int] = set()
    for part in text.split(",") if text else ():
        first, dash, last = part.partition("-")
        if first not in _DAYS or (dash and last not in _DAYS):
            raise _no_band(band)
        begin, end = _DAYS.index(first), _DAYS.index(last if dash else first)
        found.update((begin + n) % 7 for n in range((end - begin) % 7 + 1))
    return sorted(found) if text else list(range(7))


def _no_band(text: str) -> InputError:
    return InputError(
        f"{shown(text)} is no time band", where="band", hint="such as mon-fri 08:00-22:00"
    )


@cache
def band_minutes(band: str) -> int:
    """Return the minutes of a week in a canonical band, bit by bit from Monday 00:00."""
    match = _BAND.fullmatch(band)
    if match is None:
        return (1 << 7 * MINUTES_PER_DAY) - 1
    start = int(match["h1"]) * 60 + int(match["m1"])
    end = int(match["h2"]) * 60 + int(match["m2"])
    spans = [(start, end)] if start < end else [(0, end), (start, MINUTES_PER_DAY)]
    return sum(
        ((1 << (to - since)) - 1) << (day * MINUTES_PER_DAY + since)
        for day in _days(match["days"], band)
        for since, to in spans
    )
