"""What keeps the price book."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from fenglin.catalog.pricebook.items import PriceVersion


class PriceFilter(Struct, frozen=True, kw_only=True):
    """Which versions of the book are wanted.

    Attributes:
        fields: (column of the key, value) pairs; all must hold, any value of one column.
        at_ms: Only versions valid then; 0 for all that ever were.
        after: Only versions with a higher number.
        limit: Most versions.
    """

    fields: tuple[tuple[str, str], ...] = ()
    at_ms: int = 0
    after: int = 0
    limit: int = 100


class PriceBatch(Struct, frozen=True):
    """Who adds versions, and from where.

    Attributes:
        time_ms: When.
        actor: Who.
        source: Name of the file; empty for a single item.
    """

    time_ms: int
    actor: str
    source: str


class Prices(Protocol):
    """The price book, as the store keeps it."""

    async def last(self) -> int:
        """Return the highest version number; 0 for an empty book."""
        ...

    async def versions(self, providers: Collection[str]) -> list[PriceVersion]:
        """Return every version of these providers' items, in the order of their numbers."""
        ...

    async def page(self, wanted: PriceFilter) -> list[PriceVersion]:
        """Return some versions, in the order of their numbers."""
        ...

    async def append(
        self, epoch: int, last: int, added: Sequence[PriceVersion], batch: PriceBatch
    ) -> bool:
        """Add versions, all of them or none.

        Args:
            epoch: The leader's.
            last: Highest number that the book had when `added` was worked out.
            added: Not empty, in the order of their numbers.
            batch: Who adds them.

        Returns:
            False when others have added versions since; nothing was added.
        """
        ...
