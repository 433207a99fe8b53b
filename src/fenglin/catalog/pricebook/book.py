"""How the price of a use is found: the most specific version that is valid at that moment.

Of the versions that apply, the one that says more wins, and the parts of a key count in this
order: site, zone, region, provider, flavor, model, class of user, service mode, time band. So an
item that names the site goes before one that does not, whatever else that one names. Two versions
that say equally much cannot both apply, since the book refuses such versions.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from msgspec import Struct

from fenglin.catalog.pricebook.items import MINUTES_PER_DAY, Unit, band_minutes
from fenglin.model.job import Mode
from fenglin.quantities.period import DEFAULT_OFFSET_MIN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fenglin.catalog.pricebook.items import PriceKey, PriceVersion

ORDER = (
    "site", "zone", "region", "provider", "flavor", "model", "user_class", "mode", "band",
)  # fmt: skip
_NAMES = ORDER[:-1]
_MINUTE_MS = 60_000
# 1970-01-01 was a Thursday.
_FIRST_MINUTE = 3 * MINUTES_PER_DAY


class Ask(Struct, frozen=True, kw_only=True):
    """A use whose price is asked for; an empty name is one that is not known.

    Attributes:
        at_ms: When it begins.
        offset_min: Minutes by which the books' clock, which reads time bands, is ahead of UTC.
        provider: Who sells.
        site: Where.
        region: Where that is.
        zone: Within the region.
        flavor: Class of nodes.
        model: Registry name of its cards.
        user_class: Of the tenant.
        mode: How it is served.
    """

    at_ms: int
    offset_min: int = DEFAULT_OFFSET_MIN
    provider: str = ""
    site: str = ""
    region: str = ""
    zone: str = ""
    flavor: str = ""
    model: str = ""
    user_class: str = ""
    mode: str = Mode.SHARED.value


class PriceBook:
    """Versions, ready to be asked."""

    def __init__(self, versions: Iterable[PriceVersion]) -> None:
        """Index the versions; those of one key must not overlap."""
        self._found: defaultdict[tuple[str, str, str], list[PriceVersion]] = defaultdict(list)
        for version in versions:
            key = version.key
            self._found[key.unit, key.provider, key.flavor].append(version)

    def find(self, unit: Unit, ask: Ask) -> PriceVersion | None:
        """Return the version that prices a use; None when the book has none."""
        providers = {ask.provider, ""}
        flavors = {ask.flavor, ""}
        return max(
            (
                version
                for provider in providers
                for flavor in flavors
                for version in self._found.get((unit.value, provider, flavor), ())
                if version.from_ms <= ask.at_ms < version.end_ms and _applies(version.key, ask)
            ),
            key=_specificity,
            default=None,
        )


def _applies(key: PriceKey, ask: Ask) -> bool:
    for name in _NAMES:
        wanted = getattr(key, name)
        if wanted and wanted != getattr(ask, name):
            return False
    return not key.band or bool(band_minutes(key.band) >> _minute_of_week(ask) & 1)


def _minute_of_week(ask: Ask) -> int:
    minute = ask.at_ms // _MINUTE_MS + ask.offset_min
    return (minute + _FIRST_MINUTE) % (7 * MINUTES_PER_DAY)


def _specificity(version: PriceVersion) -> tuple[bool, ...]:
    return tuple(bool(getattr(version.key, name)) for name in ORDER)
