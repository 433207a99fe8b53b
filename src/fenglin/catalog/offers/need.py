"""What is asked of an offer, and the words that it is written in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from fenglin.catalog.offers.columns import parse_micro
from fenglin.errors import InputError
from fenglin.quantities.shown import plain, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_RATIO_MICRO = 10_000 * 10**6
_CARDS = re.compile(r"([^\s:]{1,100})(?::\s*([0-9.]{1,20})(\+?))?")


class Bound(Struct, frozen=True):
    """How much of something.

    Attributes:
        micro: Millionths of a vCPU or a GiB; of GiB per vCPU when `per_cpu`.
        at_least: Whether more will do.
        per_cpu: Whether the amount is for each vCPU of the machine; more will do then.
    """

    micro: int
    at_least: bool = False
    per_cpu: bool = False


class OfferNeed(Struct, frozen=True, kw_only=True):
    """What an offer must have.

    Attributes:
        card: Name of the accelerator, in any case; empty for machines without.
        count_micro: Cards in millionths.
        more_cards: Whether machines with more of them will do.
        cpus: vCPUs; None for any number.
        memory: GiB; None for any.
        providers: Names of those allowed; empty for all.
        regions: Names of those allowed, as `REGION` or `PROVIDER:REGION`; empty for all.
        spot: Whether machines that may be taken away are wanted, at their price.
        most_micro: Highest price in micro-USD per hour; None for any.
    """

    card: str = ""
    count_micro: int = 0
    more_cards: bool = False
    cpus: Bound | None = None
    memory: Bound | None = None
    providers: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    spot: bool = False
    most_micro: int | None = None


def parse_cards(text: str) -> tuple[str, int, bool]:
    """Return (name, count in millionths, whether more will do) for `A100:8`, `A100` or `T4:2+`.

    Raises:
        InputError: it is none of these, or asks for no card.
    """
    match = _CARDS.fullmatch(text.strip())
    read = parse_micro((match[2] or "1") if match else "")
    if match is None or read is None or read[0] <= 0 or read[1]:
        raise InputError(
            f"{shown(text)} names no accelerators", hint="write for example A100:8 or A100:4+"
        )
    return match[1], read[0], bool(match[3])


def parse_bound(value: str | float, what: str) -> Bound:
    """Return the bound for `4`, `4+`, or, for memory, `4x` (4 GiB per vCPU or more).

    Args:
        value: The text or number.
        what: `cpus` or `memory`, for messages.

    Raises:
        InputError: it is none of these.
    """
    text = "" if isinstance(value, bool) else plain(value)
    last = text[-1:]
    suffix = last if last == "+" or (last == "x" and what == "memory") else ""
    read = parse_micro(text.removesuffix(suffix))
    if read is None or read[1] or read[0] <= 0 or (suffix == "x" and read[0] > MAX_RATIO_MICRO):
        raise InputError(
            f"{shown(value)} is no amount of {what}",
            where=what,
            hint="write for example 4 (exactly) or 4+ (at least)"
            + (", in GiB, or 4x (per vCPU)" if what == "memory" else ""),
        )
    return Bound(read[0], at_least=suffix == "+", per_cpu=suffix == "x")


def alternatives(cards: Sequence[str], need: OfferNeed) -> tuple[OfferNeed, ...]:
    """Return one need per accelerator, all else alike; the need itself when there is none.

    Raises:
        InputError: a word names no accelerators.
    """
    parsed = [parse_cards(text) for text in cards]
    return tuple(
        replace(need, card=name, count_micro=count, more_cards=more) for name, count, more in parsed
    ) or (need,)
