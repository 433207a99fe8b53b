"""What `fenglin.toml` says of a site's place: labels, links to others, power, blocks of nodes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from fenglin.errors import InputError
from fenglin.intake.place import MAX_LABEL, MAX_LABELS, is_label
from fenglin.intake.report import suggest
from fenglin.model.site import Node, Site
from fenglin.quantities.shown import plain, shown

_REGION = re.compile(r"\w[\w.@+-]{0,127}")
_MEASURE = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s*([A-Za-zµμ/]*)")
_MOST = 10**12


class Measure(NamedTuple):
    """A physical amount as people write it.

    Attributes:
        units: Unit → how many of the smallest make one; the empty unit, where a bare number
            is allowed.
        example: For hints.
    """

    units: Mapping[str, int]
    example: str

    def parse(self, value: str | float) -> int:
        """Return the amount in the smallest unit.

        Raises:
            InputError: no such amount, negative, or finer than the smallest unit.
        """
        match = None if isinstance(value, bool) else _MEASURE.fullmatch(plain(value))
        if match is None or match[2] not in self.units:
            raise InputError(
                f"{shown(value)} cannot be understood", hint=f"write for example {self.example}"
            )
        exact = Decimal(match[1]) * self.units[match[2]]
        if exact != exact.to_integral_value() or exact > _MOST:
            raise InputError(
                f"{shown(value)} is finer or larger than is reckoned with",
                hint=f"write for example {self.example}",
            )
        return int(exact)


CARBON = Measure({"": 1, "g/kWh": 1}, "550 (g of CO2 per kWh)")
POWER = Measure({"": 1, "W": 1, "kW": 1_000}, '800 or "6.5kW" for a whole node')
LATENCY = Measure({"us": 1, "µs": 1, "μs": 1, "ms": 1_000, "s": 1_000_000}, '"12.5ms" or "800us"')
BANDWIDTH = Measure({"Mbit/s": 1, "Gbit/s": 1_000}, '"10Gbit/s" or "300Mbit/s"')


def labels_of(labels: Mapping[str, str | int | float], where: str) -> tuple[tuple[str, str], ...]:
    """Return sorted labels; numbers count as their shortest text.

    Raises:
        InputError: too many, or one that no job could require.
    """
    if len(labels) > MAX_LABELS:
        raise InputError(f"{len(labels)} labels", where=where, hint=f"at most {MAX_LABELS}")
    pairs = []
    for key, value in labels.items():
        word = value if isinstance(value, str) else repr(value)
        if not is_label(key):
            raise InputError(
                f"{shown(key)} is not a name of a label", where=where,
                hint="1 to 63 letters, digits and . _ / -, a letter or digit at both ends",
            )  # fmt: skip
        if not word.isprintable() or len(word) > MAX_LABEL:
            raise InputError(
                f"{shown(word)} is not a value of a label", where=f"{where}.{key}",
                hint=f"at most {MAX_LABEL} printable characters",
            )  # fmt: skip
        pairs.append((key, word))
    return tuple(sorted(pairs))


def region_of(region: str, where: str) -> str:
    """Return a region, or refuse one that no job could name.

    Raises:
        InputError: it holds what no name of a region may.
    """
    if region and not _REGION.fullmatch(region):
        raise InputError(
            f"{region[:80]!r} cannot be a region", where=where,
            hint="1 to 128 letters, digits, . _ @ + - and a letter or digit first",
        )  # fmt: skip
    return region


def nodes_of(flavor: str, count: int, blocks: int, block_size: int, where: str) -> list[Node]:
    """Return a flavor's nodes; `blocks` or `block_size` put neighbours into blocks.

    Raises:
        InputError: both are given, or do not suit the number of nodes.
    """
    if blocks and block_size:
        raise InputError(
            "blocks and block_size together", where=f"{where}.blocks", hint="keep one of them"
        )
    for key, value in (("blocks", blocks), ("block_size", block_size)):
        if not 0 <= value <= count:
            raise InputError(
                f"{key} is out of range", where=f"{where}.{key}", hint=f"1 to {count}, the nodes"
            )
    # The runs of neighbours are as equal as they can be.
    size = count if blocks else block_size
    scale = blocks or 1
    return [
        Node(f"{flavor}-{i}", flavor, block=f"block-{i * scale // size}" if size else "")
        for i in range(count)
    ]


def check_links(sites: tuple[Site, ...]) -> None:
    """Refuse links that lead nowhere.

    Raises:
        InputError: says which.
    """
    names = [site.name for site in sites]
    for site in sites:
        for link in site.links:
            where = f"site.{site.name}.link.{link.site[:80]}"
            if link.site == site.name:
                raise InputError("a link from a site to itself", where=where, hint="remove it")
            if link.site not in names:
                raise InputError(
                    f"no site is named {shown(link.site)}", where=where,
                    hint=suggest(link.site, names) or "name a site of this file",
                )  # fmt: skip
