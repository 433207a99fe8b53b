"""How items become versions: none overlaps another, and none is ever changed."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from fenglin.catalog.pricebook.items import FOREVER_MS, PriceVersion, band_minutes
from fenglin.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fenglin.catalog.pricebook.items import PriceDraft, PriceKey

MOST_PROBLEMS = 1_000
# A key without its band: versions of it whose bands share a minute must not be valid together.
_Series = tuple[str, ...]


class Merged(Struct, frozen=True):
    """What adding items comes to.

    Attributes:
        added: New versions.
        unchanged: How many items say what the book says already.
        superseded: How many of the new versions end an older one.
        problems: Why nothing may be added; the first few.
    """

    added: tuple[PriceVersion, ...]
    unchanged: int
    superseded: int
    problems: tuple[Problem, ...]


class _Merge:
    """Items on their way into the book."""

    def __init__(
        self, book: Iterable[PriceVersion], first: int, now_ms: int, *, supersede: bool
    ) -> None:
        self.series: defaultdict[_Series, list[PriceVersion]] = defaultdict(list)
        for version in book:
            self.series[_series(version.key)].append(version)
        self.first = first
        self.now_ms = now_ms
        self.supersede = supersede
        self.added: list[PriceVersion] = []
        self.unchanged = 0
        self.superseded = 0
        self.problems: list[Problem] = []

    def take(self, draft: PriceDraft) -> None:
        """Add one item as a version, or say why not."""
        start = draft.from_ms or self.now_ms
        end = draft.to_ms or FOREVER_MS
        series = self.series[_series(draft.key)]
        met = [
            n
            for n, one in enumerate(series)
            if one.from_ms < end and start < one.end_ms and _share(one.key.band, draft.key.band)
        ]
        ends = 0
        if met:
            old = series[met[0]]
            same = old.key == draft.key and old.terms == draft.terms and old.to_ms == end
            if len(met) == 1 and same and (not draft.from_ms or old.from_ms == start):
                self.unchanged += 1
                return
            why = self._refusal(draft, start, [series[n] for n in met])
            if why is not None:
                if len(self.problems) < MOST_PROBLEMS:
                    self.problems.append(why)
                return
            ends = old.number
            series[met[0]] = replace(old, end_ms=start)
            self.superseded += 1
        number = self.first + len(self.added)
        version = PriceVersion(number, draft.key, draft.terms, start, end, ends, end)
        series.append(version)
        self.added.append(version)

    def _refusal(self, draft: PriceDraft, start: int, met: list[PriceVersion]) -> Problem | None:
        """Return why an item may not take the place of the versions that it meets."""
        old = met[0]
        numbers = ", ".join(f"p{one.number}" for one in met[:3])
        if any(one.number >= self.first for one in met):
            what = "this file prices the same thing twice"
            return Problem(draft.key.unit, what, "leave one of the lines out", draft.line, 1)
        if not self.supersede:
            hint = "supersede it, or let one begin where the other ends"
            return Problem(draft.key.unit, f"overlaps {numbers}", hint, draft.line, 1)
        if len(met) > 1 or old.key != draft.key or start < old.from_ms:
            hint = "name a validity that meets one version, with the same time band"
            return Problem(draft.key.unit, f"would cut into {numbers}", hint, draft.line, 1)
        if start < self.now_ms:
            what = f"{numbers} would be superseded in the past"
            hint = "what was promised stays; begin now or later, and adjust past bills"
            return Problem("valid_from", what, hint, draft.line, 1)
        return None


def merge(
    book: Iterable[PriceVersion],
    drafts: Sequence[PriceDraft],
    first: int,
    now_ms: int,
    *,
    supersede: bool,
) -> Merged:
    """Return what adding items to a book comes to; with problems, nothing may be added.

    Args:
        book: All versions of the providers that the items name.
        drafts: The items.
        first: Number of the first new version.
        now_ms: From when an item without a beginning is valid.
        supersede: Whether an item may end the version that it meets.
    """
    merging = _Merge(book, first, now_ms, supersede=supersede)
    for draft in drafts:
        merging.take(draft)
    return Merged(
        tuple(merging.added), merging.unchanged, merging.superseded, tuple(merging.problems)
    )


def _series(key: PriceKey) -> _Series:
    return (
        key.unit, key.provider, key.site, key.region, key.zone, key.flavor, key.model,
        key.user_class, key.mode, "band" if key.band else "",
    )  # fmt: skip


def _share(one: str, other: str) -> bool:
    return one == other or bool(band_minutes(one) & band_minutes(other))
