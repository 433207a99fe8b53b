"""Price items from files: the book's own CSV, and price lists in SkyPilot's format.

Nothing is kept of a file in which one line is wrong.
"""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

from fenglin.catalog.offers.columns import (
    ACCELERATOR,
    COUNT,
    EMPTY,
    INSTANCE,
    MICRO,
    PRICE,
    PROVIDER,
    REGION,
    SPOT,
    ZONE,
)
from fenglin.catalog.offers.read import read_skypilot_csv
from fenglin.catalog.pricebook.items import (
    PriceDraft,
    PriceKey,
    PriceTerms,
    TierPeriod,
    Unit,
    check_key,
    check_span,
    check_terms,
    read_band,
)
from fenglin.errors import InputError, InputProblems, Problem
from fenglin.model.job import Mode
from fenglin.quantities.money import parse_money_micro
from fenglin.quantities.shown import shown
from fenglin.quantities.sizes import parse_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY_COLUMNS = (
    "unit", "provider", "site", "region", "zone", "flavor", "model", "user_class", "mode", "band",
)  # fmt: skip
TERM_COLUMNS = ("currency", "price", "tiers", "tier_period", "memory_per_core", "factors")
SPAN_COLUMNS = ("valid_from", "valid_to")
COLUMNS = (*KEY_COLUMNS, *TERM_COLUMNS, *SPAN_COLUMNS)
_NEEDED = ("unit", "currency", "price")
MOST_PROBLEMS = 1_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LIST_CURRENCY = "USD"


def parse_moment_ms(text: str, offset_min: int) -> int:
    """Return the Unix time of `2026-12-01` or `2026-12-01T08:00`, by the books' clock.

    Raises:
        InputError: it is no such moment.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InputError(f"{shown(text)} is no moment", hint="such as 2026-12-01") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone(timedelta(minutes=offset_min)))
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def parse_tiers(text: str, currency: str) -> tuple[tuple[int, int], ...]:
    """Return (above, price in micro-units) of `100000:0.10 500000:0.08`.

    Raises:
        InputError: it is no such list.
    """
    found = []
    for word in text.split():
        above, colon, price = word.partition(":")
        if not colon or not above.isascii() or not above.isdigit() or len(above) > 13:
            raise InputError(
                f"{shown(word)} is no tier", where="tiers", hint="such as 100000:0.10 500000:0.08"
            )
        found.append((int(above), parse_money_micro(price, currency)))
    return tuple(found)


def parse_factors(text: str) -> tuple[tuple[str, int], ...]:
    """Return (class of user, thousandths) of `school=60% partner=80%`.

    Raises:
        InputError: it is no such list.
    """
    found = []
    for word in text.split():
        name, _, percent = word.rpartition("=")
        head, dot, tail = percent.removesuffix("%").partition(".")
        digits = head + tail
        plain = digits.isascii() and digits.isdigit() and len(head) <= 5
        if not name or not percent.endswith("%") or not plain or not head or len(tail) != bool(dot):
            raise InputError(
                f"{shown(word)} is no factor", where="factors", hint="such as school=60%"
            )
        found.append((name, int(head) * 10 + int(tail or 0)))
    return tuple(sorted(found))


def make_terms(words: tuple[str, ...]) -> PriceTerms:
    """Return the terms of words in the order of `TERM_COLUMNS`.

    Raises:
        InputError: one is wrong; `where` says which.
    """
    currency, price, tiers, tier_period, memory_per_core, factors = words
    where = "price"
    try:
        price_micro = parse_money_micro(price, currency)
        where = "tiers"
        steps = parse_tiers(tiers, currency)
        where = "memory_per_core"
        per_core_bytes = parse_bytes(memory_per_core) if memory_per_core else 0
    except InputError as error:
        raise InputError(error.what, where=error.where or where, hint=error.hint) from error
    return check_terms(
        PriceTerms(
            currency,
            price_micro,
            steps,
            tier_period or TierPeriod.MONTH.value,
            per_core_bytes,
            parse_factors(factors),
        )
    )


def make_key(words: tuple[str, ...]) -> PriceKey:
    """Return the key of words in the order of `KEY_COLUMNS`.

    Raises:
        InputError: one is wrong; `where` says which.
    """
    unit, provider, site, region, zone, flavor, model, user_class, mode, band = words
    return check_key(
        PriceKey(
            unit, provider, site, region, zone, flavor, model, user_class, mode, read_band(band)
        )
    )


class _Reader:
    """One file of the book's own format while it is read; each distinct text is read once."""

    def __init__(self, header: list[str], offset_min: int) -> None:
        self.place = {name: n for n, name in enumerate(header)}
        self.width = len(header)
        self.offset_min = offset_min
        self.terms: dict[tuple[str, ...], PriceTerms] = {}
        self.spans: dict[tuple[str, ...], tuple[int, int]] = {}
        self.drafts: list[PriceDraft] = []
        self.problems: list[Problem] = []
        self.bad = 0

    def read(self, rows: Iterator[list[str]], line: Callable[[], int]) -> None:
        """Read all rows."""
        keys = self._picker(KEY_COLUMNS)
        terms = self._picker(TERM_COLUMNS)
        spans = self._picker(SPAN_COLUMNS)
        before = line()
        for row in rows:
            number, before = before + 1, line()
            if not row:
                continue
            try:
                self._check_width(row)
                self._add(make_key(keys(row)), terms(row), spans(row), number)
            except InputError as error:
                self._wrong(error, number, len(row))

    def _check_width(self, row: list[str]) -> None:
        if len(row) != self.width:
            what = f"{len(row)} fields where the header has {self.width}"
            raise InputError(what, hint="is a comma missing?")

    def _add(
        self, key: PriceKey, terms: tuple[str, ...], span: tuple[str, ...], number: int
    ) -> None:
        known = self.terms.get(terms)
        if known is None:
            known = self.terms[terms] = make_terms(terms)
        if known.memory_per_core_bytes and key.unit != Unit.CORE_HOUR:
            raise InputError("only cores are counted by memory", where="memory_per_core")
        times = self.spans.get(span)
        if times is None:
            times = self.spans[span] = self._span(span)
        self.drafts.append(PriceDraft(key, known, *times, number))

    def _span(self, words: tuple[str, ...]) -> tuple[int, int]:
        found = []
        for name, text in zip(SPAN_COLUMNS, words, strict=True):
            try:
                found.append(parse_moment_ms(text, self.offset_min) if text else 0)
            except InputError as error:
                raise InputError(error.what, where=name, hint=error.hint) from error
        check_span(*found)
        return found[0], found[1]

    def _picker(self, names: tuple[str, ...]) -> Callable[[list[str]], tuple[str, ...]]:
        places = [self.place.get(name, -1) for name in names]
        return lambda row: tuple([row[n].strip() if n >= 0 else "" for n in places])

    def _wrong(self, error: InputError, line: int, width: int) -> None:
        self.bad += 1
        if len(self.problems) < MOST_PROBLEMS:
            column = self.place.get(error.where, min(width, self.width) - 1) + 1
            self.problems.append(Problem(error.where, error.what, error.hint, line, column))


def read_book_csv(text: str, source: str, offset_min: int) -> list[PriceDraft]:
    """Return the items of a file in the book's own format.

    Args:
        text: Its content; the first line names its columns, of `COLUMNS`, in any order.
        source: Its name, for messages.
        offset_min: Minutes by which the books' clock is ahead of UTC, for `valid_from`.

    Raises:
        InputProblems: every wrong line, with line and column (the number of the field).
    """
    table = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip().removeprefix("\ufeff") for name in next(table, [])]
        _check_header(header, source)
        reader = _Reader(header, offset_min)
        reader.read(table, lambda: table.line_num)
    except csv.Error as error:
        problem = Problem("", f"no CSV: {error}", "is the file cut short?", table.line_num, 1)
        raise InputProblems(source, (problem,)) from error
    if reader.bad:
        problems = reader.problems
        if reader.bad > len(problems):
            problems.append(Problem("", f"{reader.bad} bad lines in all, the first ones shown"))
        raise InputProblems(source, tuple(problems))
    return reader.drafts


def _check_header(header: list[str], source: str) -> None:
    """Refuse a header that lacks a column, or has one twice or an unknown one."""
    hint = f"columns: {', '.join(COLUMNS)}"
    problems = [
        Problem(name, "there is no such column", hint, 1, 1)
        for name in _NEEDED
        if name not in header
    ]
    problems += [
        Problem(name, what, hint, 1, n + 1)
        for n, name in enumerate(header)
        for what in [
            "is not a column of a price book" if name not in COLUMNS
            else "there are two such columns" if name in header[:n]
            else ""
        ]
        if what
    ]  # fmt: skip
    if problems:
        raise InputProblems(source, tuple(problems))


def read_skypilot_drafts(text: str, source: str, provider: str) -> list[PriceDraft]:
    """Return the items of a price list in SkyPilot's format.

    A machine's price becomes one for `node_hour` of the flavor with its name, in any service
    mode, and its spot price another, in the mode `spot`. What is listed without a machine, cards
    that are put onto one, is filed as the flavor `NAME:COUNT`. Prices are in USD.

    Args:
        text: Its content.
        source: Its name, for messages.
        provider: Whose list it is; empty when its `cloud` column says so.

    Raises:
        InputProblems: every wrong line, with line and column.
    """
    sheet = read_skypilot_csv(text, provider, source)
    names = [
        [known[code] for code in codes]
        for known, codes in zip(sheet.names, sheet.codes.tolist(), strict=True)
    ]
    counts, prices, spots = (sheet.amounts[kind].tolist() for kind in (COUNT, PRICE, SPOT))
    lines = _lines(text)
    terms: dict[int, PriceTerms] = {}
    drafts = []
    for row, line in enumerate(lines):
        card = names[ACCELERATOR][row]
        flavor = names[INSTANCE][row] or f"{card}:{_plain(counts[row])}"
        for mode, price_micro in (("", prices[row]), (Mode.SPOT.value, spots[row])):
            if price_micro == EMPTY:
                continue
            promised = terms.get(price_micro)
            if promised is None:
                promised = terms[price_micro] = PriceTerms(_LIST_CURRENCY, price_micro)
            key = PriceKey(
                unit=Unit.NODE_HOUR.value,
                provider=names[PROVIDER][row].lower(),
                region=names[REGION][row],
                zone=names[ZONE][row],
                flavor=flavor,
                mode=mode,
            )
            drafts.append(PriceDraft(key, promised, line=line))
    return drafts


def _lines(text: str) -> list[int]:
    """Return the line in which each row of a list that was read well begins."""
    table = csv.reader(io.StringIO(text, newline=""), strict=True)
    found = []
    before = 0
    for row in table:
        if row:
            found.append(before + 1)
        before = table.line_num
    return found[1:]


def _plain(micro: int) -> str:
    whole, rest = divmod(micro, MICRO)
    return f"{whole}.{rest:06d}".rstrip("0") if rest else str(whole)
