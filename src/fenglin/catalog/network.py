"""The network between sites as declared: distance, time and price of bringing data.

A round trip is the same both ways, and so is taken to be the bandwidth: where only one end of
a link declares it, that counts for both. The price of leaving a site is that site's alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fenglin.quantities.money import rate_micro

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fenglin.model.job import DataNeed
    from fenglin.model.site import Link, Site

# Where nobody has declared how fast a transfer is: a modest public line.
ASSUMED_MBIT_S = 100
_GIB = 2**30


class Moved(NamedTuple):
    """What it takes to bring a job's data to a site.

    Attributes:
        size_bytes: How much has to be brought.
        time_ms: How long that takes, one dataset after the other.
        egress_micro: What the sites that it leaves charge, as far as is known.
        assumed: Whether `time_ms` rests on the assumed bandwidth.
        unpriced: Whether some of it has no declared price.
    """

    size_bytes: int = 0
    time_ms: int = 0
    egress_micro: int = 0
    assumed: bool = False
    unpriced: bool = False


NOTHING_MOVED = Moved()


def transfer_ms(size_bytes: int, bandwidth_mbit_s: int) -> int:
    """Return bits / bandwidth in milliseconds, rounded up."""
    return -(-size_bytes * 8 // (bandwidth_mbit_s * 1_000))


class Network:
    """The declared links of a pool."""

    def __init__(self, sites: Iterable[Site]) -> None:
        """Take the sites with their links."""
        self._links = {(site.name, link.site): link for site in sites for link in site.links}

    def round_trip_us(self, here: str, there: str) -> int | None:
        """Return the round trip between two sites; 0 within one, None when undeclared."""
        return 0 if here == there else self._either("latency_us", here, there)

    def bandwidth_mbit_s(self, here: str, there: str) -> int | None:
        """Return what one transfer between two sites gets; None when undeclared."""
        return self._either("bandwidth_mbit_s", here, there)

    def bring(self, data: Iterable[DataNeed], site: str) -> Moved:
        """Return what it takes to have all datasets at the site.

        Each comes from where it is cheapest to take, of equally cheap ones from where it is
        soonest there. A dataset of which nobody declares a copy is not counted: wherever the
        job runs, it comes from outside.
        """
        total = NOTHING_MOVED
        for dataset in data:
            if not dataset.sites or site in dataset.sites:
                continue
            ways = (self._way(dataset.size_bytes, source, site) for source in dataset.sites)
            way = min(ways, key=lambda way: (way.unpriced, way.egress_micro, way.time_ms))
            total = Moved(
                total.size_bytes + way.size_bytes,
                total.time_ms + way.time_ms,
                total.egress_micro + way.egress_micro,
                total.assumed or way.assumed,
                total.unpriced or way.unpriced,
            )
        return total

    def _way(self, size_bytes: int, source: str, site: str) -> Moved:
        """Return what it takes to bring that much from one site to the other."""
        speed = self.bandwidth_mbit_s(source, site)
        link = self._links.get((source, site))
        return Moved(
            size_bytes,
            transfer_ms(size_bytes, speed or ASSUMED_MBIT_S),
            rate_micro(size_bytes, _GIB, link.egress_gib_micro) if link else 0,
            assumed=speed is None,
            unpriced=link is None,
        )

    def _either(self, field: str, here: str, there: str) -> int | None:
        """Return a figure of the link that either end declares; None when none is above 0."""
        ends: tuple[Link | None, ...] = (
            self._links.get((here, there)),
            self._links.get((there, here)),
        )
        for link in ends:
            figure: int = getattr(link, field) if link else 0
            if figure:
                return figure
        return None
