"""The price book at work: who may add to it, and how a file becomes versions all at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fenglin.catalog.pricebook.files import (
    KEY_COLUMNS,
    TERM_COLUMNS,
    make_key,
    make_terms,
    parse_moment_ms,
    read_book_csv,
    read_skypilot_drafts,
)
from fenglin.catalog.pricebook.items import PriceDraft, Unit, check_draft
from fenglin.catalog.pricebook.versions import merge
from fenglin.errors import (
    ConflictError,
    DeniedError,
    InputError,
    InputProblems,
    LimitError,
    NotFoundError,
    UnavailableError,
)
from fenglin.ledger.posting import CURRENCY
from fenglin.ports.prices import PriceBatch, PriceFilter
from fenglin.quantities.period import DEFAULT_OFFSET_MIN
from fenglin.quantities.shown import shown
from fenglin.wire.price_views import PriceAsk, PricesAdded, PriceView
from fenglin.wire.views import Page

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fenglin.catalog.pricebook.versions import Merged
    from fenglin.ports.clock import Clock
    from fenglin.ports.hub import Listing, Principal
    from fenglin.ports.prices import Prices

FORMATS = ("fenglin", "skypilot")
MOST_ITEMS = 4_000_000
_MOST_EXCHANGES = 10_000
# Others may add to the book while a file is compared with it.
_TRIES = 5


class PriceDesk:
    """Implements `ports.books.PriceDesk`."""

    def __init__(
        self,
        prices: Prices,
        clock: Clock,
        epoch: Callable[[], int],
        offset_min: int = DEFAULT_OFFSET_MIN,
    ) -> None:
        """Take the store's prices, the clock, the leader's epoch and the books' zone."""
        self._prices = prices
        self._clock = clock
        self._epoch = epoch
        self._offset_min = offset_min

    async def prices(self, listing: Listing, *, every: bool) -> Page[PriceView]:
        """See `ports.books.PriceDesk`."""
        wanted = PriceFilter(
            fields=listing.filters,
            at_ms=0 if every else self._clock.now_ms(),
            after=_number(listing.cursor) if listing.cursor else 0,
            limit=listing.limit + 1,
        )
        found = await self._prices.page(wanted)
        shown_ones = [PriceView.of(one) for one in found[: listing.limit]]
        more = len(found) > listing.limit
        return Page(shown_ones, shown_ones[-1].id if more else "")

    async def price(self, name: str) -> PriceView:
        """See `ports.books.PriceDesk`."""
        number = _number(name)
        found = await self._prices.page(PriceFilter(after=number - 1, limit=1))
        if not found or found[0].number != number:
            raise NotFoundError("no such price", where=name, hint="see `fenglin price list`")
        return PriceView.of(found[0])

    async def add(self, ask: PriceAsk, principal: Principal) -> PricesAdded:
        """See `ports.books.PriceDesk`."""
        _check_admin(principal)
        draft = check_draft(
            PriceDraft(
                make_key(tuple(getattr(ask, name) for name in KEY_COLUMNS)),
                make_terms(tuple(getattr(ask, name) for name in TERM_COLUMNS)),
                self._moment(ask.valid_from, "valid_from"),
                self._moment(ask.valid_to, "valid_to"),
            )
        )
        wanted = _number(ask.supersedes) if ask.supersedes else 0

        def check(done: Merged) -> None:
            if done.problems:
                why = done.problems[0]
                raise ConflictError(why.what, where=why.path, hint=why.hint)
            if wanted and done.added and done.added[0].supersedes != wanted:
                raise ConflictError(
                    f"{ask.supersedes} is not in force then, or is another item",
                    where="supersedes",
                    hint=f"see `fenglin price show {ask.supersedes}`",
                )

        batch = PriceBatch(self._clock.now_ms(), principal.name, "")
        return await self._add([draft], batch, check, supersede=bool(wanted))

    async def load(
        self,
        data: bytes,
        principal: Principal,
        *,
        form: str,
        source: str,
        provider: str,
        supersede: bool,
    ) -> PricesAdded:
        """See `ports.books.PriceDesk`."""
        _check_admin(principal)
        drafts = await asyncio.to_thread(self._read, data, form, source, provider)
        if not drafts:
            raise InputError("the file holds no prices", where=source)

        def check(done: Merged) -> None:
            if done.problems:
                raise InputProblems(source, done.problems)

        batch = PriceBatch(self._clock.now_ms(), principal.name, source)
        return await self._add(drafts, batch, check, supersede=supersede)

    async def _add(
        self,
        drafts: Sequence[PriceDraft],
        batch: PriceBatch,
        check: Callable[[Merged], None],
        *,
        supersede: bool,
    ) -> PricesAdded:
        """Merge items into the book and append what is new, all of it or nothing."""
        providers = {draft.key.provider for draft in drafts}
        for _ in range(_TRIES):
            last = await self._prices.last()
            book = await self._prices.versions(providers)
            done = await asyncio.to_thread(
                merge, book, drafts, last + 1, batch.time_ms, supersede=supersede
            )
            check(done)
            if done.added and not await self._prices.append(self._epoch(), last, done.added, batch):
                continue
            return PricesAdded(
                first=f"p{done.added[0].number}" if done.added else "",
                added=len(done.added),
                superseded=done.superseded,
                unchanged=done.unchanged,
                no_exchange=await self._without_exchange(drafts),
            )
        raise UnavailableError("others keep adding prices; nothing was added", hint="try again")

    async def _without_exchange(self, drafts: Sequence[PriceDraft]) -> list[str]:
        """Return the currencies among items that the hub could not charge in its own today."""
        priced = (draft for draft in drafts if draft.key.unit != Unit.EXCHANGE)
        foreign = {draft.terms.currency for draft in priced} - {CURRENCY}
        if foreign:
            wanted = PriceFilter(
                fields=(("unit", Unit.EXCHANGE.value),),
                at_ms=self._clock.now_ms(),
                limit=_MOST_EXCHANGES,
            )
            rates = await self._prices.page(wanted)
            foreign -= {one.key.model for one in rates if one.terms.currency == CURRENCY}
        return sorted(foreign)

    def _read(self, data: bytes, form: str, source: str, provider: str) -> list[PriceDraft]:
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise InputError("the file is not UTF-8", where=f"{source}:{line}") from error
        if form == "skypilot":
            drafts = read_skypilot_drafts(text, source, provider)
        else:
            drafts = read_book_csv(text, source, self._offset_min)
        if len(drafts) > MOST_ITEMS:
            raise LimitError(
                f"the file holds {len(drafts)} prices",
                where=source,
                hint=f"import at most {MOST_ITEMS} at once",
            )
        return drafts

    def _moment(self, text: str, where: str) -> int:
        try:
            return parse_moment_ms(text, self._offset_min) if text else 0
        except InputError as error:
            raise InputError(error.what, where=where, hint=error.hint) from error


def _check_admin(principal: Principal) -> None:
    if not principal.may("admin"):
        raise DeniedError("only an administrator adds prices")


def _number(name: str) -> int:
    digits = name.removeprefix("p")
    if digits == name or not (digits.isascii() and digits.isdigit()) or len(digits) > 18:
        raise InputError(f"{shown(name)} is no price", hint="such as p7")
    return int(digits)
